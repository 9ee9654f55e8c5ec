package imap_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// TestNoSecretIsTold runs against servers that refuse, repeat and garble what
// they are sent, and looks for the password, in every form that it has on the
// wire, in all that is traced, reported and remembered.
func TestNoSecretIsTold(t *testing.T) {
	// What is left of it when a server cuts it at the blank. No port and no
	// random number, in decimal or hexadecimal, has these letters in it.
	const part = "zyxw"
	const password = `Pa55 "wörd\ ` + part
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password)
	b64 := base64.StdEncoding.EncodeToString([]byte(password))
	plain := base64.StdEncoding.EncodeToString([]byte("\x00ann\x00" + password))
	secrets := []string{password, escaped, b64, plain, part}
	everything := password + " " + escaped + " " + b64 + " " + plain
	for _, caps := range []string{fullCaps, fullCaps + " AUTH=PLAIN", fullCaps + " AUTH=PLAIN SASL-IR", fullCaps + " LITERAL+"} {
		for name, answer := range map[string]string{
			"refused":   "{tag} NO [AUTHENTICATIONFAILED] not with " + everything + "\r\n",
			"repeated":  "{tag} BAD unknown command LOGIN ann " + everything + "\r\n",
			"BYE":       "* BYE " + everything + "\r\n" + imaptest.Drop,
			"alert":     "* OK [ALERT] " + everything + "\r\n{tag} NO " + everything + "\r\n",
			"let in":    "* OK [ALERT] " + everything + "\r\n{tag} OK " + everything + "\r\n",
			"cut":       "* OK " + imaptest.Drop,
			"a code":    "{tag} NO [" + everything + "] x\r\n",
			"no answer": "+ " + everything + "\r\n" + everything + "\r\n" + imaptest.Drop,
		} {
			t.Run(caps+" "+name, func(t *testing.T) {
				told := tell(t, caps, password, answer)
				if !strings.Contains(told, "(secret)") {
					t.Errorf("the trace shows no login:\n%s", told)
				}
				for _, s := range secrets {
					if i := strings.Index(told, s); i >= 0 {
						t.Errorf("%q is told: …%s", s, told[max(0, i-80):i+len(s)])
					}
				}
			})
		}
	}
}

// tell logs in to a server that gives this answer to it, and to every command
// that comes after 20 others, and gives all that is told of that.
func tell(t *testing.T, caps, password, answer string) string {
	t.Helper()
	store := imaptest.NewMailstore(caps)
	store.Deliver("INBOX", letter(1), day)
	script := store.Script()
	next := script.Handle
	var mu sync.Mutex
	var all strings.Builder
	commands := 0
	script.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
		mu.Lock()
		commands++
		n := commands
		mu.Unlock()
		if cmd.Name != "LOGIN" && cmd.Name != "AUTHENTICATE" && n < 20 {
			return next(p, cmd)
		}
		if cmd.Name == "AUTHENTICATE" && len(strings.Fields(cmd.Args)) < 2 {
			p.Send("+ \r\n")
			_, _ = p.Line()
		}
		return p.Send(strings.ReplaceAll(answer, "{tag}", cmd.Tag))
	}
	host, port := script.Listen(t)
	say := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		all.WriteString(text + "\n")
	}
	opt := imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann",
		Password: func(context.Context) (string, error) { return password, nil },
		Trace:    func(dir, line string) { say(dir + " " + line) },
	}
	if _, err := imap.Probe(ctx, opt); err != nil {
		say(fmt.Sprintf("%v %+v", err, err))
	}
	remote, err := imap.Open(ctx, opt)
	if err != nil {
		say(err.Error())
		return all.String()
	}
	defer remote.Close()
	w := settled(t, fullCaps)
	local := w.local.Open()
	defer local.Close()
	rep, err := engine.Run(ctx, engine.Options{
		Account: "ann", Mode: "mirror", Policy: plan.Mirror(), Bound: "other", KeepsRef: [2]bool{true, false},
		Local: local, Remote: remote, Index: w.index, Keeper: w.kept, Clock: func() time.Time { return w.now },
		Scope:    func(mail.MailboxName, mail.Role) bool { return true },
		Observer: func(e engine.Event) { say(fmt.Sprintf("%+v", e)) },
	})
	say(fmt.Sprintf("%v %+v", err, rep))
	for _, f := range rep.Faults {
		say(f.Error())
	}
	pending, _ := w.index.Pending(ctx)
	say(fmt.Sprintf("%+v %+v %+v", pending, w.index.Events(), w.index.Runs()))
	return all.String()
}
