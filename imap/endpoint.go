package imap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// How a connection is protected.
const (
	TLSImplicit = "implicit" // TLS from the first byte (RFC 8314), port 993
	TLSStart    = "starttls" // TLS after STARTTLS, which is demanded, port 143
	TLSNone     = "none"     // no protection, port 143
)

// An Endpoint says where a server is and how it proves that it is the one.
type Endpoint struct {
	Host string
	Port int // 0: 993 for TLSImplicit, else 143
	// TLS is TLSImplicit (also ""), TLSStart or TLSNone.
	TLS string
	// CAFile is a PEM file of authorities to trust in place of the system's.
	CAFile string
	// Fingerprint, if not "", is "sha256:" and the SHA-256 of the server's own
	// certificate in hexadecimal, with or without colons. That certificate is
	// then accepted, whatever its name, dates and issuer, and no other.
	Fingerprint string
	// ServerName is the name that the certificate must bear; "" is Host.
	ServerName string
	// AllowPlaintext permits TLSNone to hosts other than loopback.
	AllowPlaintext bool
	// Timeout limits connecting, the handshake and the greeting together; 0 is 30 s.
	Timeout time.Duration
	// Dialer makes the TCP connection; nil is a net.Dialer.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
}

const defaultTimeout = 30 * time.Second

func (ep *Endpoint) mode() string {
	if ep.TLS == "" {
		return TLSImplicit
	}
	return ep.TLS
}

func (ep *Endpoint) address() string {
	port := ep.Port
	if port == 0 {
		port = 143
		if ep.mode() == TLSImplicit {
			port = 993
		}
	}
	return net.JoinHostPort(ep.Host, strconv.Itoa(port))
}

func (ep *Endpoint) serverName() string {
	if ep.ServerName != "" {
		return ep.ServerName
	}
	return ep.Host
}

// check refuses an endpoint that cannot be used, before anything is sent.
func (ep *Endpoint) check() error {
	switch ep.mode() {
	case TLSImplicit, TLSStart, TLSNone:
	default:
		return configFault(fmt.Errorf("tls = %q is none of implicit, starttls, none", ep.TLS), "")
	}
	if ep.Host == "" {
		return configFault(errors.New("no host to connect to"), "set host")
	}
	if ep.mode() == TLSNone && !ep.AllowPlaintext && !isLoopback(ep.Host) {
		return configFault(fmt.Errorf("%s would be sent the password unprotected", ep.Host),
			`set tls = "implicit" or "starttls", or allow_plaintext = true if the way there is safe`)
	}
	return nil
}

// isLoopback tells whether host can be nothing but this machine. A name other
// than localhost could resolve to anything (RFC 6761, section 6.3).
func isLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// tlsConfig says how the server is verified. At least TLS 1.2 (RFC 8314,
// section 4; RFC 9325, section 3.1.1).
func (ep *Endpoint) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{ServerName: ep.serverName(), MinVersion: tls.VersionTLS12}
	if ep.Fingerprint != "" {
		want, err := parseFingerprint(ep.Fingerprint)
		if err != nil {
			return nil, configFault(err, "")
		}
		// The pin takes the place of the chain: VerifyConnection runs on
		// every handshake, resumed ones too.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			return verifyPin(state, want)
		}
		return cfg, nil
	}
	if ep.CAFile != "" {
		pem, err := os.ReadFile(ep.CAFile)
		if err != nil {
			return nil, configFault(fmt.Errorf("ca_file cannot be read: %w", err), "")
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, configFault(fmt.Errorf("ca_file %s holds no certificate in PEM form", ep.CAFile), "")
		}
	}
	return cfg, nil
}

func parseFingerprint(s string) ([32]byte, error) {
	var sum [32]byte
	rest, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(s)), "sha256:")
	b, err := hex.DecodeString(strings.ReplaceAll(rest, ":", ""))
	if !ok || err != nil || len(b) != len(sum) {
		return sum, fmt.Errorf("tls_fingerprint %q is not sha256: and 64 hexadecimal digits", s)
	}
	copy(sum[:], b)
	return sum, nil
}

func configFault(err error, hint string) error {
	return mail.NewFault(mail.GradeAccount, mail.ClassConfig, err, hint)
}
