package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile is the most that a configuration may measure, in bytes.
const maxFile = 1 << 20

// An Env gives the value of an environment variable, "" if it is not set.
type Env func(string) string

// DefaultFile is where the configuration lies when nobody says otherwise:
// $XDG_CONFIG_HOME/godwit/config.toml, or the same below ~/.config.
func DefaultFile(env Env) (string, error) {
	if dir := env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "godwit", "config.toml"), nil
	}
	home := env("HOME")
	if !filepath.IsAbs(home) {
		return "", errors.New("cannot tell where the configuration lies, because $HOME is not set: name it with --config FILE")
	}
	return filepath.Join(home, ".config", "godwit", "config.toml"), nil
}

// Load reads the configuration at path. The error is an Errors if the file
// was read and is wrong. A file with secrets in it must be readable by its
// owner alone.
func Load(path string, env Env) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no configuration at %s: write one after config.example.toml, or name another with --config FILE", path)
		}
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: --config wants a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB: this is no configuration of godwit", path)
	}
	return parse(path, data, info.Mode().Perm(), env)
}

// Parse reads a configuration that is already in memory; name stands for the
// file in errors.
func Parse(name string, data []byte, env Env) (*Config, error) {
	return parse(name, data, 0o600, env)
}

func parse(name string, data []byte, perm fs.FileMode, env Env) (*Config, error) {
	// Syntax and doubled keys first: the walk below expects valid TOML.
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, Errors{syntaxError(name, err)}
	}
	r := &reader{file: name}
	r.read(data)
	if len(r.errs) > 0 {
		return nil, sorted(r.errs)
	}
	var raw rawFile
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, Errors{syntaxError(name, err)}
	}
	b := &builder{reader: r, env: env, config: &Config{File: name}}
	b.build(raw)
	b.checkSecrecy(raw, perm)
	if len(r.errs) > 0 {
		return nil, sorted(r.errs)
	}
	return b.config, nil
}

// syntaxError tells where the parser stopped. It never quotes the line, which
// may hold a secret.
func syntaxError(name string, err error) *Error {
	e := &Error{File: name, Text: strings.TrimPrefix(err.Error(), "toml: ")}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		e.Line, e.Column = at.Position()
		for _, part := range at.Key() {
			e.Key = joinKey(e.Key, part)
		}
	}
	return e
}

// checkSecrecy refuses a file with secrets in it that others can read.
func (b *builder) checkSecrecy(raw rawFile, perm fs.FileMode) {
	if perm&0o077 == 0 {
		return
	}
	prefixes := []string{"defaults"}
	for name := range raw.Accounts {
		prefixes = append(prefixes, joinKey("accounts", name))
	}
	for _, prefix := range prefixes {
		for _, key := range []string{prefix + ".password", prefix + ".oauth2.client_secret"} {
			if at, ok := b.at[key]; ok {
				b.fail(at, key, "the file has a secret in it and others can read it; run:\n    chmod 600 %s", shellQuote(b.file))
				return
			}
		}
	}
}

// shellQuote makes a path fit to be pasted into a shell.
func shellQuote(path string) string {
	plain := strings.IndexFunc(path, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("/._-+,@:", c))
	}) < 0
	if plain && path != "" && path[0] != '-' {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func sorted(errs Errors) Errors {
	slices.SortStableFunc(errs, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return errs
}
