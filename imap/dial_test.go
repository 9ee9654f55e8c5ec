package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// wantFault checks that err is a Fault of the account, of a class, that says
// each of says, in its text or hint.
func wantFault(t *testing.T, err error, class mail.Class, says ...string) {
	t.Helper()
	var f *mail.Fault
	if !errors.As(err, &f) {
		t.Fatalf("no Fault: %v", err)
	}
	if f.Class != class || f.Grade != mail.GradeAccount {
		t.Errorf("class %s, grade %d of %v, want %s", f.Class, f.Grade, err, class)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

// try dials and logs in.
func try(ep Endpoint, password string) (*link, error) {
	l, err := dial(context.Background(), ep, wire.Options{}, nil)
	if err != nil {
		return nil, err
	}
	if err := l.login(context.Background(), ep.Host, "me", password); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func year() time.Time { return time.Now().Add(365 * 24 * time.Hour) }

// TestDial connects in every way that works, and speaks.
func TestDial(t *testing.T) {
	cert := imaptest.NewCertificate(t, "127.0.0.1", year())
	other := imaptest.NewCertificate(t, "mail.example.org", time.Now().Add(-24*time.Hour))
	colons := "sha256:"
	for i := 7; i < len(other.Fingerprint); i += 2 {
		colons += ":" + strings.ToUpper(other.Fingerprint[i:i+2])
	}
	colons = strings.Replace(colons, "::", ":", 1)
	named := imaptest.NewCertificate(t, "mail.example.org", year())
	for _, row := range []struct {
		name   string
		script *imaptest.Script
		ep     Endpoint
	}{
		{"implicit", &imaptest.Script{TLS: cert.TLS, Implicit: true}, Endpoint{CAFile: cert.CAFile}},
		{"starttls, told in the greeting", &imaptest.Script{TLS: cert.TLS, Caps: "IMAP4rev1 STARTTLS"}, Endpoint{TLS: TLSStart, CAFile: cert.CAFile}},
		{"starttls, asked for", &imaptest.Script{Greeting: "* OK hello\r\n", TLS: cert.TLS, Caps: "IMAP4rev1 STARTTLS LOGINDISABLED AUTH=PLAIN"},
			Endpoint{TLS: TLSStart, CAFile: cert.CAFile}},
		{"plaintext to loopback", &imaptest.Script{}, Endpoint{TLS: TLSNone}},
		{"pinned, expired, of another name", &imaptest.Script{TLS: other.TLS, Implicit: true}, Endpoint{Fingerprint: other.Fingerprint}},
		{"pinned, with colons", &imaptest.Script{TLS: other.TLS, Caps: "IMAP4rev1 STARTTLS"}, Endpoint{TLS: TLSStart, Fingerprint: colons}},
		{"another name", &imaptest.Script{TLS: named.TLS, Implicit: true}, Endpoint{CAFile: named.CAFile, ServerName: "mail.example.org"}},
		{"preauth inside TLS", &imaptest.Script{TLS: cert.TLS, Implicit: true, Greeting: "* PREAUTH [CAPABILITY IMAP4rev1 LOGINDISABLED] hello\r\n"},
			Endpoint{CAFile: cert.CAFile}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.ep.Host, row.ep.Port = row.script.Listen(t)
			l, err := try(row.ep, "secret")
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			if err := l.client.Noop().Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDialRefuses connects to servers that must not be trusted, or cannot be.
func TestDialRefuses(t *testing.T) {
	cert := imaptest.NewCertificate(t, "127.0.0.1", year())
	other := imaptest.NewCertificate(t, "127.0.0.1", year())
	expired := imaptest.NewCertificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	named := imaptest.NewCertificate(t, "mail.example.org", year())
	old := cert.TLS.Clone()
	old.MaxVersion = tls.VersionTLS11
	start := Endpoint{TLS: TLSStart, CAFile: cert.CAFile}
	const offers = "IMAP4rev1 STARTTLS"
	for _, row := range []struct {
		name   string
		script *imaptest.Script
		ep     Endpoint
		class  mail.Class
		says   []string
	}{
		{"expired", &imaptest.Script{TLS: expired.TLS, Implicit: true}, Endpoint{CAFile: expired.CAFile}, mail.ClassTLS, []string{"expired"}},
		{"unknown authority", &imaptest.Script{TLS: cert.TLS, Implicit: true}, Endpoint{}, mail.ClassTLS, []string{"ca_file", cert.Fingerprint}},
		{"another authority", &imaptest.Script{TLS: cert.TLS, Caps: offers}, Endpoint{TLS: TLSStart, CAFile: other.CAFile}, mail.ClassTLS, []string{"not trusted"}},
		{"another name", &imaptest.Script{TLS: named.TLS, Implicit: true}, Endpoint{CAFile: named.CAFile}, mail.ClassTLS, []string{"not for \"127.0.0.1\""}},
		{"another fingerprint", &imaptest.Script{TLS: cert.TLS, Implicit: true}, Endpoint{CAFile: cert.CAFile, Fingerprint: other.Fingerprint},
			mail.ClassTLS, []string{cert.Fingerprint}},
		{"TLS 1.1", &imaptest.Script{TLS: old, Implicit: true}, Endpoint{CAFile: cert.CAFile}, mail.ClassTLS, nil},
		{"implicit to a plain port", &imaptest.Script{}, Endpoint{CAFile: cert.CAFile}, mail.ClassTLS, []string{"does not speak TLS"}},
		{"STARTTLS stripped", &imaptest.Script{}, start, mail.ClassTLS, []string{"does not offer STARTTLS", "implicit"}},
		{"STARTTLS stripped, asked", &imaptest.Script{Greeting: "* OK hi\r\n"}, start, mail.ClassTLS, []string{"does not offer STARTTLS"}},
		{"STARTTLS refused", &imaptest.Script{Caps: offers, Answers: map[string]string{"STARTTLS": "{tag} BAD no\r\n"}}, start,
			mail.ClassTLS, []string{"refused STARTTLS"}},
		{"PREAUTH", &imaptest.Script{Greeting: "* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n"}, start, mail.ClassTLS, []string{"PREAUTH"}},
		{"injected with the consent", &imaptest.Script{Caps: offers, TLS: cert.TLS, Answers: map[string]string{
			"STARTTLS": "{tag} OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nT1 OK evil\r\n"}}, start, mail.ClassTLS, []string{"in the clear"}},
		{"injected behind the consent", &imaptest.Script{Caps: offers, Handle: injectLater}, start, mail.ClassTLS, []string{"in the clear"}},
		{"injected before", &imaptest.Script{Caps: offers, Answers: map[string]string{
			"STARTTLS": "S2 OK evil\r\n{tag} OK go\r\n"}}, start, mail.ClassTLS, []string{"unexpected answer"}},
		{"no end before STARTTLS", &imaptest.Script{Caps: offers, Answers: map[string]string{
			"STARTTLS": strings.Repeat("* OK x\r\n", 1000)}}, start, mail.ClassTLS, []string{"talks on"}},
		{"an endless line before STARTTLS", &imaptest.Script{Greeting: "* OK " + strings.Repeat("x", 1<<20)}, start, mail.ClassTLS, []string{"a line of over"}},
		{"BYE before STARTTLS", &imaptest.Script{Greeting: "* BYE too many connections\r\n"}, start, mail.ClassThrottle, []string{"too many connections"}},
		{"BYE", &imaptest.Script{Greeting: "* BYE [UNAVAILABLE] closed for today\r\n"}, Endpoint{TLS: TLSNone}, mail.ClassServer, []string{"closed for today"}},
		{"no IMAP", &imaptest.Script{Greeting: "220 smtp\r\n"}, Endpoint{TLS: TLSNone}, mail.ClassNetwork, []string{"no IMAP server"}},
		{"no IMAP, starttls", &imaptest.Script{Greeting: "220 smtp\r\n"}, start, mail.ClassTLS, []string{"no IMAP server"}},
		{"cut", &imaptest.Script{Greeting: imaptest.Drop}, start, mail.ClassNetwork, []string{"cut"}},
		{"cut in the greeting", &imaptest.Script{Greeting: "* O" + imaptest.Drop}, Endpoint{TLS: TLSNone}, mail.ClassNetwork, []string{"inside a line"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.ep.Host, row.ep.Port = row.script.Listen(t)
			l, err := try(row.ep, "secret")
			if err == nil {
				l.close()
				t.Fatal("it was let through")
			}
			wantFault(t, err, row.class, row.says...)
		})
	}
}

// injectLater agrees to STARTTLS and sends an answer in the clear where the
// handshake belongs.
func injectLater(p *imaptest.Peer, cmd imaptest.Command) bool {
	if cmd.Name != "STARTTLS" {
		return false
	}
	p.OK(cmd)
	p.Line() // some of the client's hello
	p.Send("* PREAUTH welcome\r\nT1 OK evil\r\n" + imaptest.Drop)
	return true
}

// TestDialConfiguration refuses endpoints before anything is sent.
func TestDialConfiguration(t *testing.T) {
	for says, ep := range map[string]Endpoint{
		"unprotected":      {Host: "mail.example.org", TLS: TLSNone},
		"none of implicit": {Host: "127.0.0.1", TLS: "maybe"},
		"no host":          {},
		"64 hexadecimal":   {Host: "127.0.0.1", Fingerprint: "sha256:abc"},
		"tls_fingerprint":  {Host: "127.0.0.1", Fingerprint: "md5:" + strings.Repeat("0", 64)},
		"cannot be read":   {Host: "127.0.0.1", CAFile: "/does/not/exist"},
		"no certificate":   {Host: "127.0.0.1", CAFile: "/dev/null"},
	} {
		ep.Dialer = func(context.Context, string, string) (net.Conn, error) {
			t.Errorf("%s: dialled", says)
			return nil, io.EOF
		}
		_, err := dial(context.Background(), ep, wire.Options{}, nil)
		wantFault(t, err, mail.ClassConfig, says)
	}
	for host, want := range map[string]bool{"localhost": true, "LocalHost.": true, "127.1.2.3": true, "::1": true,
		"localhost.example.org": false, "10.0.0.1": false, "127.0.0.1.example.org": false, "": false} {
		if isLoopback(host) != want {
			t.Errorf("isLoopback(%q) is %v", host, !want)
		}
	}
}

// TestDialUnreachable says plainly why there is no connection.
func TestDialUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	_, err = try(Endpoint{Host: "127.0.0.1", Port: port}, "x")
	wantFault(t, err, mail.ClassNetwork, "nothing listens there")

	fails := func(err error) Endpoint {
		return Endpoint{Host: "mail.example.org", Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, err }}
	}
	_, err = try(fails(&net.DNSError{Err: "no such host", Name: "mail.example.org", IsNotFound: true}), "x")
	wantFault(t, err, mail.ClassNetwork, `there is no host "mail.example.org"`)
	_, err = try(fails(&net.DNSError{Err: "timeout", Name: "mail.example.org", IsTimeout: true}), "x")
	wantFault(t, err, mail.ClassNetwork, "name server")
	_, err = try(fails(context.DeadlineExceeded), "x")
	wantFault(t, err, mail.ClassNetwork, "firewall")
}

// TestDialSilent gives up servers that do not speak, each in its own phase.
// The clock is the bubble's.
func TestDialSilent(t *testing.T) {
	for _, mode := range []string{TLSImplicit, TLSStart, TLSNone} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go io.Copy(io.Discard, theirs)
			defer theirs.Close()
			begun := time.Now()
			_, err := dial(context.Background(), Endpoint{Host: "127.0.0.1", TLS: mode, Timeout: time.Minute,
				Dialer: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}, wire.Options{IdleTimeout: time.Hour}, nil)
			wantFault(t, err, mail.ClassNetwork)
			if d := time.Since(begun); d != time.Minute {
				t.Errorf("%s: given up after %v", mode, d)
			}
		})
	}
}

// TestLogin checks the choice of mechanism and what is said of refusals.
func TestLogin(t *testing.T) {
	const secret = `schl"üs\sel`
	refuse := func(text string) map[string]string {
		return map[string]string{"LOGIN": text, "AUTHENTICATE": text}
	}
	for _, row := range []struct {
		name   string
		script *imaptest.Script
		class  mail.Class
		says   []string
	}{
		{name: "LOGIN", script: &imaptest.Script{}},
		{name: "LOGIN, LITERAL+", script: &imaptest.Script{Caps: "IMAP4rev1 LITERAL+"}},
		{name: "PLAIN", script: &imaptest.Script{Caps: "IMAP4rev1 AUTH=PLAIN LOGINDISABLED"}},
		{name: "PLAIN, SASL-IR", script: &imaptest.Script{Caps: "IMAP4rev1 AUTH=PLAIN SASL-IR"}},
		{"nothing", &imaptest.Script{Caps: "IMAP4rev1 LOGINDISABLED AUTH=GSSAPI"}, mail.ClassAuth, []string{"GSSAPI"}},
		{"wrong", &imaptest.Script{Answers: refuse("{tag} NO [AUTHENTICATIONFAILED] no\r\n")}, mail.ClassAuth, []string{"check username and password"}},
		{"wrong, PLAIN", &imaptest.Script{Caps: "IMAP4rev1 AUTH=PLAIN", Answers: refuse("{tag} NO nope\r\n")}, mail.ClassAuth, []string{"nope", "check username"}},
		{"app password", &imaptest.Script{Answers: refuse("* NO [ALERT] see https://example.org\r\n{tag} NO [ALERT] Application-specific password required\r\n")},
			mail.ClassAuth, []string{"app password", "https://example.org"}},
		{"unavailable", &imaptest.Script{Answers: refuse("{tag} NO [UNAVAILABLE] no\r\n")}, mail.ClassServer, []string{"try again later"}},
		{"limit", &imaptest.Script{Answers: refuse("{tag} NO [LIMIT] slow down\r\n")}, mail.ClassThrottle, []string{"slow down"}},
		{"too many", &imaptest.Script{Answers: refuse("{tag} NO Too many simultaneous connections\r\n")}, mail.ClassThrottle, []string{"wait 1 minute"}},
		{"expired", &imaptest.Script{Answers: refuse("{tag} NO [EXPIRED] x\r\n")}, mail.ClassAuth, []string{"expired"}},
		{"bye", &imaptest.Script{Answers: refuse("* BYE rate limit\r\n" + imaptest.Drop)}, mail.ClassThrottle, []string{"rate limit"}},
		{"cut", &imaptest.Script{Answers: refuse("{tag} O" + imaptest.Drop)}, mail.ClassNetwork, []string{"cut"}},
		{"capabilities cut", &imaptest.Script{Greeting: "* OK hi\r\n", Answers: map[string]string{"CAPABILITY": imaptest.Drop}}, mail.ClassNetwork, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			first := make(chan string, 1)
			row.script.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
				select {
				case first <- cmd.Name:
				default:
				}
				return false
			}
			ep := Endpoint{TLS: TLSNone}
			ep.Host, ep.Port = row.script.Listen(t)
			l, err := try(ep, secret)
			if strings.Contains(fmt.Sprint(err), "sel") {
				t.Errorf("the error tells the password: %v", err)
			}
			if row.class != "" {
				wantFault(t, err, row.class, row.says...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			// The library sets its state only after it tells of the answer.
			if err := l.client.Noop().Wait(); err != nil || l.client.State() != goimap.ConnStateAuthenticated {
				t.Errorf("not logged in: %v", err)
			}
			if name := <-first; strings.HasPrefix(row.name, "PLAIN") != (name == "AUTHENTICATE") {
				t.Errorf("sent %s", name)
			}
		})
	}
}

// TestLoginCancelled ends a login that is not answered with its context.
func TestLoginCancelled(t *testing.T) {
	asked := make(chan struct{})
	s := &imaptest.Script{Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if cmd.Name == "LOGIN" {
			close(asked)
		}
		return cmd.Name == "LOGIN"
	}}
	ep := Endpoint{TLS: TLSNone}
	ep.Host, ep.Port = s.Listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	l, err := dial(ctx, ep, wire.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	go func() {
		<-asked
		cancel()
	}()
	err = l.login(ctx, ep.Host, "me", "secret")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("login: %v", err)
	}
}

// TestDialDovecot connects to a real server in each way, and sends it what
// only a real one can judge: an odd password, literals unasked, a refusal.
func TestDialDovecot(t *testing.T) {
	server := imaptest.Dovecot(t, imaptest.WithTLS())
	for _, ep := range []Endpoint{
		{Port: server.TLSPort, TLS: TLSImplicit, CAFile: server.CAFile},
		{Port: server.Port, TLS: TLSStart, CAFile: server.CAFile},
		{Port: server.Port, TLS: TLSNone},
	} {
		ep.Host = server.Host
		_, err := try(ep, "wröng \"\\")
		wantFault(t, err, mail.ClassAuth, "check username and password")
		l, err := try(ep, imaptest.Password)
		if err != nil {
			t.Fatal(ep.TLS, err)
		}
		for range 3 {
			for box, want := range map[string]bool{"INBOX": true, "Missing": false} {
				cmd := l.client.Append(box, 9, nil)
				io.WriteString(cmd, "A: b\r\n\r\nc")
				cmd.Close()
				if _, err := cmd.Wait(); want != (err == nil) {
					t.Errorf("%s: APPEND to %s: %v, %v", ep.TLS, box, err, l.wire.Err())
				}
			}
		}
		if err := l.client.Noop().Wait(); err != nil {
			t.Error(err)
		}
		l.close()
	}
}

// TestTheGreetingBeforeTLSIsKept: it tells which server this is. The
// capabilities that it names are forgotten.
func TestTheGreetingBeforeTLSIsKept(t *testing.T) {
	cert := imaptest.NewCertificate(t, "127.0.0.1", year())
	for greeting, want := range map[string]string{
		"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=ODD] The Microsoft Exchange service\r\n": "The Microsoft Exchange service",
		"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=ODD] [ALERT] odd\r\n":                    "odd",
		"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=ODD]\r\n":                                "the connection is protected",
	} {
		s := &imaptest.Script{TLS: cert.TLS, Greeting: greeting, Caps: "IMAP4rev1 STARTTLS"}
		host, port := s.Listen(t)
		l, err := try(Endpoint{Host: host, Port: port, TLS: TLSStart, CAFile: cert.CAFile}, "secret")
		if err != nil {
			t.Fatal(err)
		}
		if got := l.wire.Greeting(); got != want || l.client.Caps().Has("AUTH=ODD") {
			t.Errorf("%q: %q, want %q", greeting, got, want)
		}
		l.close()
	}
}
