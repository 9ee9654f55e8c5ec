package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
	"unicode"
)

const (
	// commandTimeout leaves a person time to unlock a password store.
	commandTimeout = 2 * time.Minute
	// maxSecret is the most that is read of a secret, in bytes.
	maxSecret = 64 << 10
	// maxComplaint is how much of a command's error output is shown, in bytes.
	maxComplaint = 500
)

// Get reads the secret from where it is: it may run a command and take as
// long as its user takes to answer it. The error never shows the secret.
func (s SecretSource) Get(ctx context.Context) (Secret, error) {
	switch {
	case !s.Password.IsZero():
		return s.Password, nil
	case s.Command != "":
		return runPasswordCommand(ctx, s.Command, commandTimeout)
	case s.File != "":
		return readPasswordFile(s.File)
	case s.Keyring:
		return Secret{}, errors.New("keyring = true is not supported yet: use password_command or password_file")
	case s.OAuth2 != nil:
		return Secret{}, errors.New("signing in with oauth2 is not supported yet: use an app password with password_command or password_file")
	}
	return Secret{}, errors.New("the account has no source for its password")
}

func readPasswordFile(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read the password: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return Secret{}, fmt.Errorf("read the password: %w", err)
	}
	line := firstLine(data)
	if line == "" {
		return Secret{}, fmt.Errorf("the first line of %s is empty: it must be the password", path)
	}
	return NewSecret(line), nil
}

func runPasswordCommand(ctx context.Context, command string, limit time.Duration) (Secret, error) {
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, complaint := &capped{max: maxSecret}, &capped{max: maxSecret}
	cmd := exec.CommandContext(timed, "sh", "-c", command)
	cmd.Stdout, cmd.Stderr = out, complaint
	// A child that keeps the pipes open must not keep us.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	line := firstLine(out.Bytes())
	switch {
	case ctx.Err() != nil:
		return Secret{}, ctx.Err()
	case timed.Err() != nil:
		return Secret{}, fmt.Errorf("password_command gave no answer within %v%s", limit, complained(complaint, line))
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return Secret{}, fmt.Errorf("password_command failed (%w)%s", err, complained(complaint, line))
	case line == "":
		return Secret{}, fmt.Errorf("password_command printed no password on its first line%s", complained(complaint, line))
	}
	return NewSecret(line), nil
}

// complained is what a command wrote to its error output, made fit to be
// shown, with the secret taken out.
func complained(out *capped, secret string) string {
	text := out.String()
	if secret != "" {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, text)
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	if len(text) > maxComplaint { // cut only now, so that no part of a secret is left over
		text = strings.ToValidUTF8(text[:maxComplaint], "") + " …"
	}
	return ": it said: " + text
}

func firstLine(data []byte) string {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return strings.TrimSuffix(string(line), "\r")
}

// capped keeps the first max bytes of what is written to it.
type capped struct {
	bytes.Buffer
	max int
}

func (c *capped) Write(p []byte) (int, error) {
	if room := c.max - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
