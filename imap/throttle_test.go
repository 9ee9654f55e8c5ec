package imap

import (
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
)

// waitOf is how long a fault asks to wait.
func waitOf(err error) time.Duration {
	w, ok := err.(interface{ Wait() time.Duration })
	if !ok {
		return -1
	}
	return w.Wait()
}

// TestPleas reads what servers really say when they want fewer of us, and
// what they say of single mailboxes and messages.
func TestPleas(t *testing.T) {
	const account, mailbox = mail.GradeAccount, mail.GradeMailbox
	for _, row := range []struct {
		code, text string
		grade      mail.Grade
		class      mail.Class
		wait       time.Duration
	}{
		{"", "Request is throttled. Suggested Backoff Time: 299961 milliseconds", account, mail.ClassThrottle, 299961 * time.Millisecond},
		{"", "request is throttled. suggested backoff time: 5 seconds", account, mail.ClassThrottle, 5 * time.Second},
		{"", "Request is throttled. Suggested Backoff Time: 99999999999999999999 milliseconds", account, mail.ClassThrottle, 24 * time.Hour},
		{"", "Request is throttled.", account, mail.ClassThrottle, 5 * time.Minute},
		{"", "Server Unavailable. 15", account, mail.ClassThrottle, 5 * time.Minute},
		{"", "User is authenticated but not connected.", account, mail.ClassThrottle, 5 * time.Minute},
		{"OVERQUOTA", "Account exceeded command or bandwidth limits.", account, mail.ClassThrottle, time.Hour},
		{"ALERT", "Account exceeded command or bandwidth limits. (Failure)", account, mail.ClassThrottle, time.Hour},
		{"ALERT", "Too many simultaneous connections. (Failure)", account, mail.ClassThrottle, time.Minute},
		{"", "System error (Failure) [THROTTLED]", account, mail.ClassThrottle, 5 * time.Minute},
		{"THROTTLED", "not now", account, mail.ClassThrottle, 5 * time.Minute},
		{"LIMIT", "UID FETCH Rate limit hit.", account, mail.ClassThrottle, 5 * time.Minute},
		{"UNAVAILABLE", "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)", account, mail.ClassThrottle, time.Minute},
		{"UNAVAILABLE", "UID FETCH Server error - Please try again later", mailbox, mail.ClassThrottle, time.Minute},
		{"INUSE", "Mailbox is locked", mailbox, mail.ClassThrottle, time.Minute},
		{"LIMIT", "too many keywords in the mailbox", mailbox, mail.ClassQuota, 0},
		{"OVERQUOTA", "Quota exceeded (mailbox for user is full)", mailbox, mail.ClassQuota, 0},
		{"NONEXISTENT", "Mailbox doesn't exist: Rate limit exceeded", mailbox, mail.ClassServer, 0},
		{"TRYCREATE", "Mailbox doesn't exist: Too many connections", mailbox, mail.ClassServer, 0},
		{"", "Mailbox doesn't exist: Bandwidth", mailbox, mail.ClassServer, 0},
		{"", "no", mailbox, mail.ClassServer, 0},
	} {
		for _, kind := range []goimap.StatusResponseType{goimap.StatusResponseTypeNo, goimap.StatusResponseTypeBad} {
			err := refusal(mailbox, &goimap.Error{Type: kind, Code: goimap.ResponseCode(row.code), Text: row.text})
			if mail.GradeOf(err, 0) != row.grade || mail.ClassOf(err) != row.class || waitOf(err) != row.wait || !refusedByServer(err) {
				t.Errorf("%s [%s] %s: grade %d, class %s, wait %v", kind, row.code, row.text, mail.GradeOf(err, 0), mail.ClassOf(err), waitOf(err))
			}
		}
	}
}

// TestLoginPleas tells a wrong password, which no waiting mends, from a
// server that is busy, which a new password does not mend (RFC 5530, section 3).
func TestLoginPleas(t *testing.T) {
	for text, want := range map[string]struct {
		class mail.Class
		wait  time.Duration
		says  string
	}{
		"NO [AUTHENTICATIONFAILED] Authentication failed.":   {mail.ClassAuth, 0, "check username and password"},
		"NO [AUTHENTICATIONFAILED] Too many failures":        {mail.ClassAuth, 0, "check username and password"},
		"NO [EXPIRED] That password has expired":             {mail.ClassAuth, 0, "has expired"},
		"NO [CONTACTADMIN] Call the help desk":               {mail.ClassAuth, 0, "administrator"},
		"NO LOGIN failed.":                                   {mail.ClassAuth, 0, "check username and password"},
		"NO Login failed: Server errors are for others":      {mail.ClassAuth, 0, "check username and password"},
		"NO [UNAVAILABLE] Temporary authentication failure.": {mail.ClassServer, time.Minute, "try again later"},
		"NO LOGIN Server error - Please try again later":     {mail.ClassServer, time.Minute, "try again later"},
		"NO [SERVERBUG] oops":                                {mail.ClassServer, time.Minute, "try again later"},
		"NO [INUSE] another login is under way":              {mail.ClassThrottle, time.Minute, "another program"},
		"NO [LIMIT] LOGIN Rate limit hit":                    {mail.ClassThrottle, 5 * time.Minute, "wait 5 minutes"},
		"NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)": {mail.ClassThrottle, time.Minute, "lower connections"},
		"NO [ALERT] Too many simultaneous connections. (Failure)":                                               {mail.ClassThrottle, time.Minute, "lower connections"},
		"NO Too many login attempts, please try again later.":                                                   {mail.ClassThrottle, 15 * time.Minute, "wait 15 minutes"},
		"BAD Request is throttled. Suggested Backoff Time: 300000 milliseconds":                                 {mail.ClassThrottle, 5 * time.Minute, "the server asks to be left alone for 5 minutes"},
		"NO [OVERQUOTA] Account exceeded command or bandwidth limits. See https://support.google.com (Failure)": {mail.ClassThrottle, time.Hour, "wait 1 hour"},
	} {
		script := imaptest.Script{Answers: map[string]string{"LOGIN": "{tag} " + text + "\r\n"}}
		ep := Endpoint{TLS: TLSNone}
		ep.Host, ep.Port = script.Listen(t)
		_, err := try(ep, "secret")
		wantFault(t, err, want.class, want.says)
		if waitOf(err) != want.wait {
			t.Errorf("%s: wait %v, want %v", text, waitOf(err), want.wait)
		}
	}
}

// TestGreetingPleas are servers that do not even let one log in.
func TestGreetingPleas(t *testing.T) {
	for text, want := range map[string]struct {
		class mail.Class
		wait  time.Duration
	}{
		"* BYE Too many connections from your address\r\n":               {mail.ClassThrottle, time.Minute},
		"* BYE [LIMIT] come back later\r\n":                              {mail.ClassThrottle, 5 * time.Minute},
		"* BYE Suggested Backoff Time: 1500 milliseconds\r\n":            {mail.ClassThrottle, 1500 * time.Millisecond},
		"* BYE [ALERT] Account exceeded command or bandwidth limits\r\n": {mail.ClassThrottle, time.Hour},
		"* BYE shutting down\r\n":                                        {mail.ClassServer, 0},
	} {
		script := imaptest.Script{Greeting: text}
		ep := Endpoint{TLS: TLSNone}
		ep.Host, ep.Port = script.Listen(t)
		_, err := try(ep, "secret")
		wantFault(t, err, want.class)
		if waitOf(err) != want.wait {
			t.Errorf("%q: wait %v, want %v", text, waitOf(err), want.wait)
		}
	}
}

func TestTimesToWaitAreSpelt(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 second", 1500 * time.Millisecond: "2 seconds", time.Minute: "1 minute", 299961 * time.Millisecond: "5 minutes",
		time.Hour: "1 hour", 90 * time.Minute: "90 minutes", 24 * time.Hour: "24 hours", 25*time.Hour - 1: "25 hours",
	} {
		if got := spell(d); got != want {
			t.Errorf("%v is spelt %q, want %q", d, got, want)
		}
	}
}
