package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// server checks the keys that say where the server is and how the connection
// to it is protected.
func (a *accountBuilder) server(acc *Account) {
	acc.Host = a.host()
	acc.TLS = oneOf(a, "tls", a.raw.TLS, TLSImplicit, TLSStartTLS, TLSNone)
	acc.AllowPlaintext = a.raw.AllowPlaintext != nil && *a.raw.AllowPlaintext
	port := 993 // RFC 8314, section 3.2
	if acc.TLS != TLSImplicit {
		port = 143
	}
	acc.Port = a.number("port", a.raw.Port, port, 1, 65535)
	if acc.TLS == TLSNone && !acc.AllowPlaintext && acc.Host != "" && !loopback(acc.Host) {
		a.fail("tls", "\"none\" would send the password to %s unprotected: use \"implicit\" or \"starttls\", or add allow_plaintext = true", acc.Host)
	}
	if a.raw.CAFile != nil {
		acc.CAFile = a.dir("ca_file", a.raw.CAFile)
	}
	acc.Fingerprint = parsed(a, "tls_fingerprint", a.raw.TLSFingerprint, "", parseFingerprint)
	for _, key := range []string{"ca_file", "tls_fingerprint"} {
		written := key == "ca_file" && a.raw.CAFile != nil || key == "tls_fingerprint" && a.raw.TLSFingerprint != nil
		if written && acc.TLS == TLSNone {
			a.fail(key, "means nothing with tls = \"none\"")
		}
	}
}

func (a *accountBuilder) host() string {
	if a.raw.Host == nil {
		a.fail("host", "is missing: write the name of the IMAP server")
		return ""
	}
	host := *a.raw.Host
	_, err := netip.ParseAddr(host)
	isAddr := err == nil
	switch {
	case host == "":
		a.fail("host", "is empty: write the name of the IMAP server")
	case strings.Contains(host, "://"):
		a.fail("host", "%q: write the name of the server alone, without %q", host, host[:strings.Index(host, "://")+3])
	case strings.Contains(host, "@"):
		a.fail("host", "%q: write the name of the server alone, and the user under username", host)
	case strings.HasPrefix(host, "["):
		a.fail("host", "%q: write the address without brackets", host)
	case !isAddr && strings.Contains(host, ":"):
		a.fail("host", "%q: write the name of the server alone, and the port under port", host)
	case strings.ContainsAny(host, "/\\") || strings.IndexFunc(host, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }) >= 0:
		a.fail("host", "%q is no name of a server", host)
	}
	return host
}

// loopback tells whether host is this machine for certain, without asking a
// resolver.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// secret checks that there is exactly one source of the account's secret.
func (a *accountBuilder) secret(acc *Account) {
	var written []string
	source := func(key string, there bool) {
		if there {
			written = append(written, key)
		}
	}
	source("password", a.raw.Password != nil)
	source("password_command", a.raw.PasswordCommand != nil)
	source("password_file", a.raw.PasswordFile != nil)
	source("keyring", a.raw.Keyring != nil && *a.raw.Keyring)
	source("oauth2", a.raw.OAuth2 != nil)
	switch {
	case len(written) == 0:
		a.fail("password_command", "nothing says where the password comes from: add password_command, password_file or password")
		return
	case len(written) > 1:
		slices.SortFunc(written, func(x, y string) int { return a.place(x).line - a.place(y).line })
		a.fail(written[1], "there is %s already: only one of %s can be used", written[0], strings.Join(secretSources[:], ", "))
		return
	}
	s := &acc.Secret
	if a.raw.Password != nil {
		if *a.raw.Password == "" || strings.ContainsAny(*a.raw.Password, "\x00\r\n") {
			a.fail("password", "is empty, or has a line break in it")
		}
		s.Password = NewSecret(*a.raw.Password)
	}
	if a.raw.PasswordCommand != nil {
		s.Command = *a.raw.PasswordCommand
		if strings.TrimSpace(s.Command) == "" || strings.ContainsRune(s.Command, 0) {
			a.fail("password_command", "is no command")
		}
	}
	s.File = a.dir("password_file", a.raw.PasswordFile)
	s.Keyring = a.raw.Keyring != nil && *a.raw.Keyring
	s.OAuth2 = a.oauth2()
}

func (a *accountBuilder) oauth2() *OAuth2 {
	raw := a.raw.OAuth2
	if raw == nil {
		return nil
	}
	o := &OAuth2{
		Provider:  a.text("oauth2.provider", raw.Provider),
		ClientID:  a.text("oauth2.client_id", raw.ClientID),
		AuthURL:   a.endpoint("oauth2.auth_url", raw.AuthURL),
		TokenURL:  a.endpoint("oauth2.token_url", raw.TokenURL),
		DeviceURL: a.endpoint("oauth2.device_url", raw.DeviceURL),
		Scopes:    raw.Scopes,
	}
	if raw.ClientSecret != nil {
		o.ClientSecret = NewSecret(*raw.ClientSecret)
	}
	if o.Provider == "" && o.TokenURL == "" {
		a.fail("oauth2", "needs a provider, or client_id and token_url")
	}
	return o
}

// endpoint checks the address of an OAuth2 server: tokens travel there.
func (a *accountBuilder) endpoint(key string, v *string) string {
	if v == nil {
		return ""
	}
	u, err := url.Parse(*v)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		a.fail(key, "must be an address that begins with https://")
	}
	return *v
}
