package imap

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
)

func accountFault(c mail.Class, err error, hint string) error {
	return mail.NewFault(mail.GradeAccount, c, err, hint)
}

// dialFault says why no connection came about.
func dialFault(ep *Endpoint, err error) error {
	var dns *net.DNSError
	hint := "check the network, then host and port"
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		hint = fmt.Sprintf("there is no host %q; check host", ep.Host)
	case errors.As(err, &dns):
		hint = "the name server does not answer; check the network"
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "nothing listens there; check port and tls (implicit: 993, starttls: 143)"
	case isTimeout(err):
		hint = "the server does not answer; check host, port and the firewall"
	}
	return accountFault(mail.ClassNetwork, fmt.Errorf("cannot connect to %s: %w", ep.address(), err), hint)
}

// startFault says why STARTTLS did not get as far as the handshake.
func startFault(ctx context.Context, ep *Endpoint, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var bye *byeError
	class, hint := mail.ClassTLS, ""
	switch {
	case errors.Is(err, errNoStartTLS):
		hint = `use tls = "implicit" (port 993); if the server used to offer STARTTLS, somebody on the way may be removing it`
	case errors.Is(err, errInjected), errors.Is(err, errPreauth):
		hint = `somebody on the way may be tampering; use tls = "implicit" (port 993)`
	case errors.As(err, &bye):
		return byeFault(bye)
	case errors.Is(err, context.Canceled):
		class = mail.ClassNetwork
	case isTimeout(err):
		class, hint = mail.ClassNetwork, `the server does not speak; if the port is 993, use tls = "implicit"`
	case isCut(err):
		class, hint = mail.ClassNetwork, "the connection was cut; try again later"
	}
	return accountFault(class, fmt.Errorf("no STARTTLS with %s: %w", ep.address(), err), hint)
}

func byeFault(bye *byeError) error {
	if p, ok := broadPlea("", bye.text); ok {
		return p.fault(bye)
	}
	return accountFault(mail.ClassServer, bye, "try again later")
}

// tlsFault says in plain words why the handshake failed.
func tlsFault(ctx context.Context, ep *Endpoint, err error) error {
	var (
		record    tls.RecordHeaderError
		unknown   x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		pin       *pinError
		wrap      = fmt.Errorf("no safe connection with %s: %w", ep.address(), err)
		otherwise = "see openssl s_client -connect " + ep.address()
	)
	if ctx.Err() != nil {
		hint := ""
		if isTimeout(ctx.Err()) {
			hint = "the server does not answer the handshake; check port and tls"
		}
		return accountFault(mail.ClassNetwork, fmt.Errorf("no safe connection with %s: %w", ep.address(), context.Cause(ctx)), hint)
	}
	switch {
	case errors.As(err, &record) && ep.mode() == TLSStart:
		wrap = fmt.Errorf("no safe connection with %s: %w", ep.address(), errInjected)
		otherwise = `somebody on the way may be tampering; use tls = "implicit" (port 993)`
	case errors.As(err, &record):
		otherwise = `the port does not speak TLS; use tls = "starttls" with port 143, or port 993`
	case errors.As(err, &pin):
		otherwise = fmt.Sprintf("if the server's certificate was replaced, set tls_fingerprint = %q", pin.seen)
	case errors.As(err, &name):
		otherwise = fmt.Sprintf("the certificate is not for %q; set host to a name that it bears", ep.serverName())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		otherwise = "the certificate has expired or is not valid yet; check this machine's clock, then tell the server's owner"
	case errors.As(err, &unknown):
		otherwise = "the certificate's issuer is not trusted; set ca_file, or tls_fingerprint" + seenFingerprint(unknown.Cert)
	case isCut(err), isTimeout(err):
		return accountFault(mail.ClassNetwork, wrap, "the connection was cut during the handshake; try again later")
	}
	return accountFault(mail.ClassTLS, wrap, otherwise)
}

func seenFingerprint(cert *x509.Certificate) string {
	if cert == nil || cert.IsCA {
		return ""
	}
	return fmt.Sprintf(" = %q if that is the right server", fingerprint(cert))
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// pinError is a certificate other than the one that was pinned.
type pinError struct{ seen string }

func (e *pinError) Error() string {
	return "the server's certificate has another fingerprint: " + e.seen
}

func verifyPin(state tls.ConnectionState, want [32]byte) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server showed no certificate")
	}
	leaf := state.PeerCertificates[0]
	if sha256.Sum256(leaf.Raw) != want {
		return &pinError{fingerprint(leaf)}
	}
	return nil
}

// explain turns an error of the library into the Fault behind it: what the
// server said last, what the wire saw, or the context's end.
func (l *link) explain(ctx context.Context, host string, err error) error {
	if err == nil {
		return nil
	}
	var answer *goimap.Error
	if errors.As(err, &answer) {
		if answer.Type == goimap.StatusResponseTypeBye {
			return byeFault(&byeError{answerText(answer)})
		}
		return accountFault(classOfCode(answer.Code), l.withAlerts(err), "")
	}
	if bye := l.wire.Bye(); bye != "" {
		return byeFault(&byeError{printable(bye)})
	}
	if ctx.Err() != nil {
		return accountFault(mail.ClassNetwork, fmt.Errorf("no answer from %s: %w", host, context.Cause(ctx)), "")
	}
	if why := l.wire.Err(); why != nil {
		err = why
	}
	hint := "try again later"
	if isTimeout(err) {
		hint = "the server stopped answering; try again later"
	}
	return accountFault(mail.ClassNetwork, fmt.Errorf("connection with %s: %w", host, err), hint)
}

// withAlerts adds what the server wants the user to read (RFC 9051, section 7.1).
func (l *link) withAlerts(err error) error {
	var texts []string
	for _, a := range l.wire.Alerts() {
		if a = printable(a); !strings.Contains(err.Error(), a) {
			texts = append(texts, a)
		}
	}
	if len(texts) == 0 {
		return err
	}
	return fmt.Errorf("%w (the server says: %s)", err, strings.Join(texts, "; "))
}

func answerText(e *goimap.Error) string {
	text := printable(e.Text)
	if e.Code != "" {
		text = "[" + string(e.Code) + "] " + text
	}
	return text
}

// classOfCode sorts a refusal by its response code (RFC 5530).
func classOfCode(code goimap.ResponseCode) mail.Class {
	switch code {
	case goimap.ResponseCodeAuthenticationFailed, goimap.ResponseCodeAuthorizationFailed,
		goimap.ResponseCodeExpired, goimap.ResponseCodePrivacyRequired, goimap.ResponseCodeContactAdmin:
		return mail.ClassAuth
	case goimap.ResponseCodeOverQuota:
		return mail.ClassQuota
	}
	return mail.ClassServer
}

// loginFault turns a refusal of a login into what to do about it. It never
// shows the password.
func loginFault(host, username string, err error) error {
	var answer *goimap.Error
	if !errors.As(err, &answer) {
		return err
	}
	inner := err
	var fault *mail.Fault
	if errors.As(err, &fault) {
		inner = fault.Err
	}
	inner = fmt.Errorf("%s does not let %s in: %w", host, username, inner)
	if p, ok := broadPlea(string(answer.Code), answer.Text); ok && classOfCode(answer.Code) != mail.ClassAuth {
		f := p.fault(inner)
		if p.after == afterConnections {
			f.Hint += ", or lower connections"
		}
		return f
	}
	fault = mail.NewFault(mail.GradeAccount, mail.ClassAuth, inner, "check username and password")
	switch code := answer.Code; {
	case code == goimap.ResponseCodeUnavailable, code == goimap.ResponseCodeServerBug, code == "" && troubled.MatchString(answer.Text):
		fault.Class, fault.After = mail.ClassServer, afterBusy
		fault.Hint = "the server cannot check passwords at the moment; try again later"
	case code == goimap.ResponseCodeInUse:
		fault.Class, fault.After = mail.ClassThrottle, afterBusy
		fault.Hint = "another program uses the account; try again later"
	case code == goimap.ResponseCodeExpired:
		fault.Hint = "the password has expired; set another one at the provider"
	case code == goimap.ResponseCodeContactAdmin:
		fault.Hint = "the server asks you to speak to its administrator"
	case strings.Contains(strings.ToUpper(answer.Text), "APPLICATION-SPECIFIC"):
		fault.Hint = "the provider wants an app password; make one in its settings"
	}
	// Any other NO to a login is a wrong password (RFC 9051, section 6.2.3).
	return fault
}

// troubled are words without a response code by which a server says that it
// could not look at the password. A wrong one that is taken for this would be
// sent again and again.
var troubled = regexp.MustCompile(`(?i)\b(server error|system error|internal error|server unavailable|temporary (authentication|server|system|internal) (failure|error))\b`)

func noMechanism(host string, caps goimap.CapSet) error {
	var offers []string
	for c := range caps {
		if name, ok := strings.CutPrefix(string(c), "AUTH="); ok {
			offers = append(offers, name)
		}
	}
	return accountFault(mail.ClassAuth,
		fmt.Errorf("%s forbids LOGIN and does not offer AUTHENTICATE PLAIN (it offers %s)", host, listOr(offers, "nothing")),
		`if the connection is in the clear, use tls = "starttls" or "implicit"`)
}

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
}

func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
