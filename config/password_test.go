package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSecretSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(file, []byte("from file\r\nsecond line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "e")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		source    SecretSource
		want, err string
	}{
		{"password", SecretSource{Password: NewSecret("x")}, "x", ""},
		{"file", SecretSource{File: file}, "from file", ""},
		{"empty file", SecretSource{File: empty}, "", "must be the password"},
		{"missing file", SecretSource{File: file + "x"}, "", "read the password"},
		{"command", SecretSource{Command: "echo 'a b'; echo more"}, "a b", ""},
		{"command fails", SecretSource{Command: "echo hunter2; echo no hunter2 in store >&2; exit 3"}, "", "exit status 3): it said: no [redacted] in store"},
		{"command says nothing", SecretSource{Command: "echo; echo hunter2"}, "", "printed no password on its first line"},
		{"command leaves a child", SecretSource{Command: "echo x; sleep 30 & exit 0"}, "x", ""},
		{"keyring", SecretSource{Keyring: true}, "", "not supported yet"},
		{"oauth2", SecretSource{OAuth2: &OAuth2{}}, "", "not supported yet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.source.Get(t.Context())
			if got.Reveal() != tt.want {
				t.Errorf("got %q", got.Reveal())
			}
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestPasswordCommandEnds(t *testing.T) {
	began := time.Now()
	if _, err := runPasswordCommand(t.Context(), "sleep 60", 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("limit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runPasswordCommand(ctx, "sleep 60", time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
