package config

import "log/slog"

const redacted = "[redacted]"

// A Secret holds a password or a token. However it is printed, marshalled or
// logged, it shows as "[redacted]"; only Reveal gives it away. The text lies
// behind a pointer, so that printing a structure that holds a Secret in an
// unexported field shows an address.
type Secret struct{ text *string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{&text} }

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.text == nil || *s.text == "" }

// Reveal gives the secret itself, "" if there is none.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String hides the secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return "config.Secret(" + s.String() + ")" }

// MarshalText hides the secret from every encoding that uses text, JSON and
// TOML among them.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON hides the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
