package imap

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
)

// A link is one connection to a server: the IMAP library over a protected
// wire. It is disposable: after any fault of the connection it is killed and
// another is dialled.
type link struct {
	wire   *wire.Conn
	client *imapclient.Client
}

// dial connects to the endpoint, makes the connection safe as the endpoint
// demands, and waits for the greeting. The context limits dialling only.
//
// Errors are mail.Faults of the whole account, with a hint. The caller logs in
// before anything else is sent, unless the server greeted with PREAUTH: then
// client.State is authenticated (allowed only inside implicit TLS, or where
// plaintext was).
func dial(ctx context.Context, ep Endpoint, wopt wire.Options, copt *imapclient.Options) (*link, error) {
	if err := ep.check(); err != nil {
		return nil, err
	}
	timeout := ep.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, greeting, err := ep.connect(ctx)
	if err != nil {
		return nil, err
	}
	wopt.Greeting = greeting
	l := &link{wire: wire.New(conn, wopt)}
	l.client = imapclient.New(l.wire, copt)
	if err := l.await(ctx, l.client.WaitGreeting); err != nil {
		err = l.explain(ctx, ep.Host, err)
		l.close()
		return nil, err
	}
	return l, nil
}

// connect gives a connection that is as safe as the endpoint demands. With
// STARTTLS the greeting was read already: a greeting to show in its place.
func (ep *Endpoint) connect(ctx context.Context) (conn net.Conn, greeting string, err error) {
	var cfg *tls.Config
	if ep.mode() != TLSNone {
		if cfg, err = ep.tlsConfig(); err != nil {
			return nil, "", err
		}
	}
	dialer := ep.Dialer
	if dialer == nil {
		dialer = tcp().DialContext
	}
	raw, err := dialer(ctx, "tcp", ep.address())
	if err != nil {
		return nil, "", dialFault(ep, err)
	}
	if ep.mode() == TLSNone {
		return raw, "", nil
	}
	// Whatever blocks below, the end of the context ends it.
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if ep.mode() == TLSStart {
		words, err := startTLS(raw)
		if err != nil {
			raw.Close()
			return nil, "", startFault(ctx, ep, err)
		}
		greeting = "* OK " + cmp.Or(words, "the connection is protected")
	}
	secure := tls.Client(raw, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, "", tlsFault(ctx, ep, err)
	}
	return secure, greeting, nil
}

// login authenticates: AUTHENTICATE PLAIN where it is offered, since it
// carries any bytes, otherwise LOGIN unless the server forbids it. Without
// SASL-IR (RFC 4959) LOGIN saves a round trip, and is preferred where it can
// carry the words. Afterwards the capabilities are known. Nothing else may be
// in flight; nothing may be sent before it returns.
func (l *link) login(ctx context.Context, host, username, password string) error {
	if l.client.State() == goimap.ConnStateAuthenticated {
		return nil // PREAUTH
	}
	var caps goimap.CapSet
	err := l.await(ctx, func() error {
		if caps = l.client.Caps(); caps == nil {
			return errors.New("the server does not tell its capabilities")
		}
		return nil
	})
	if err != nil {
		return l.explain(ctx, host, err)
	}
	l.wire.Hide(forms(username, password)...)
	quick := caps.Has(goimap.CapSASLIR) || caps.Has(goimap.CapLoginDisabled) || !quotable(username+password)
	switch {
	case caps.Has(goimap.AuthCap("PLAIN")) && quick && !strings.Contains(username+password, "\x00"):
		err = l.await(ctx, func() error { return l.client.Authenticate(&plainMechanism{username, password}) })
	case caps.Has(goimap.CapLoginDisabled):
		return noMechanism(host, caps)
	default:
		err = l.await(ctx, func() error { return l.client.Login(username, password).Wait() })
	}
	if err != nil {
		return loginFault(host, username, l.explain(ctx, host, err))
	}
	if !l.wire.LoginTold() {
		err = l.await(ctx, func() error { _, err := l.client.Capability().Wait(); return err })
	}
	if err != nil {
		return l.explain(ctx, host, err)
	}
	return nil
}

// quotable tells whether LOGIN carries text as a quoted string (RFC 3501,
// section 9), and not as a literal.
func quotable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f })
}

// forms are those in which a password may come back from a server: as it is,
// as LOGIN quotes it (RFC 3501, section 9), and as SASL encodes it.
func forms(username, password string) []string {
	b64 := base64.StdEncoding.EncodeToString
	return []string{
		password, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password),
		b64([]byte(password)), b64([]byte("\x00" + username + "\x00" + password)),
	}
}

// await runs f, which waits for the server, and kills the connection when the
// context ends, so that f ends.
func (l *link) await(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { l.wire.Kill() })
	err := f()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// close ends the connection without waiting for the network.
func (l *link) close() {
	l.wire.Kill()
	l.client.Close()
}

// plainMechanism is SASL PLAIN (RFC 4616) with an empty authorization identity.
type plainMechanism struct{ username, password string }

// Start implements sasl.Client.
func (m *plainMechanism) Start() (string, []byte, error) {
	return "PLAIN", []byte("\x00" + m.username + "\x00" + m.password), nil
}

// Next implements sasl.Client. PLAIN knows no second step.
func (m *plainMechanism) Next([]byte) ([]byte, error) {
	return nil, fmt.Errorf("the server asked for more than PLAIN has to say")
}
