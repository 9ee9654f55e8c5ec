package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-mail/godwit/mail"
)

// A builder turns the raw file into a Config, and notes all that is wrong.
type builder struct {
	*reader
	env    Env
	config *Config
}

func (b *builder) build(raw rawFile) {
	b.config.StateDir = b.stateDir(raw.StateDir)
	if raw.Daemon.Metrics != nil {
		var err error
		if b.config.Daemon.Metrics, err = parseLoopback(*raw.Daemon.Metrics); err != nil {
			b.fail(b.at["daemon.metrics"], "daemon.metrics", "%v", err)
		}
	}
	if len(raw.Accounts) == 0 {
		b.fail(position{}, "accounts", "there is no account: add a table [accounts.NAME] with host, username, a password and maildir")
		return
	}
	folded := map[string]string{}
	for _, name := range b.accountNames(raw) {
		key := joinKey("accounts", name)
		if why := badName(name); why != "" {
			b.fail(b.at[key], key, "%s", why)
			continue
		}
		if other, ok := folded[strings.ToLower(name)]; ok {
			b.fail(b.at[key], key, "differs from account %q by case only: give it another name, a disk may not tell them apart", other)
			continue
		}
		folded[strings.ToLower(name)] = name
		a := &accountBuilder{builder: b, key: key, raw: raw.Accounts[name].merged(raw.Defaults)}
		b.config.Accounts = append(b.config.Accounts, a.build(name))
	}
	b.checkRoots()
}

func (b *builder) stateDir(written *string) string {
	if written != nil {
		dir, err := b.path(*written)
		if err != nil {
			b.fail(b.at["state_dir"], "state_dir", "%v", err)
		}
		return dir
	}
	if dir := b.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "godwit")
	}
	dir, err := b.path("~/.local/state/godwit")
	if err != nil {
		b.fail(position{}, "state_dir", "%v", err)
	}
	return dir
}

// accountNames gives the names in the order of the file.
func (b *builder) accountNames(raw rawFile) []string {
	place := map[string]int{}
	for i, key := range b.order {
		place[key] = i
	}
	names := make([]string, 0, len(raw.Accounts))
	for name := range raw.Accounts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		return place[joinKey("accounts", x)] - place[joinKey("accounts", y)]
	})
	return names
}

// badName says why name cannot be an account's, "" if it can: it is the name
// of a directory below state_dir, where "migrate" has a use of its own.
func badName(name string) string {
	switch {
	case name == "":
		return "an account needs a name"
	case name[0] == '.':
		return "an account's name must not begin with a dot"
	case len(name) > 64:
		return "an account's name must not be longer than 64 characters"
	case strings.EqualFold(name, "migrate"):
		return "\"migrate\" is the name of a directory of godwit's own: call the account otherwise"
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return "an account's name is made of letters a-z, digits, dots, hyphens and underscores"
		}
	}
	return ""
}

// path expands "~" and demands an absolute path: godwit is run by cron, where
// the current directory means nothing.
func (b *builder) path(text string) (string, error) {
	switch {
	case text == "":
		return "", fmt.Errorf("the path is empty: leave the key out, or write a path")
	case strings.ContainsRune(text, 0):
		return "", fmt.Errorf("the path has a NUL character in it")
	case text == "~" || strings.HasPrefix(text, "~/"):
		home := b.env("HOME")
		if !filepath.IsAbs(home) {
			return "", fmt.Errorf("%q needs $HOME, which is not set: write the full path", text)
		}
		return filepath.Join(home, text[1:]), nil
	case text[0] == '~':
		return "", fmt.Errorf("%q: only ~/ is understood, write another user's path in full", text)
	case !filepath.IsAbs(text):
		return "", fmt.Errorf("%q must be a full path, or begin with ~/", text)
	}
	return filepath.Clean(text), nil
}

// An accountBuilder checks one account.
type accountBuilder struct {
	*builder
	key string // "accounts.NAME"
	raw rawAccount
}

// written is the full name of key where it is written: in the account, else
// in [defaults]; otherwise as it would stand in the account.
func (a *accountBuilder) written(key string) string {
	if _, ok := a.at[a.key+"."+key]; !ok && a.at["defaults."+key].line > 0 {
		return "defaults." + key
	}
	return a.key + "." + key
}

// place is where key is written, else the account's own header.
func (a *accountBuilder) place(key string) position {
	if at, ok := a.at[a.written(key)]; ok {
		return at
	}
	return a.at[a.key]
}

func (a *accountBuilder) fail(key, format string, args ...any) {
	a.builder.fail(a.place(key), a.written(key), format, args...)
}

func (a *accountBuilder) build(name string) *Account {
	acc := &Account{Name: name, State: filepath.Join(a.config.StateDir, name)}
	a.server(acc)
	acc.Username = a.text("username", a.raw.Username)
	if a.raw.Username == nil {
		a.fail("username", "is missing: write the name you sign in with, often the whole address")
	}
	a.secret(acc)
	a.local(acc)
	a.behaviour(acc)
	return acc
}

// text gives a string that must be one line and not empty; "" if not written.
func (a *accountBuilder) text(key string, v *string) string {
	if v == nil {
		return ""
	}
	switch {
	case strings.TrimSpace(*v) == "":
		a.fail(key, "is empty: write a value, or leave the key out")
	case !utf8.ValidString(*v) || strings.IndexFunc(*v, unicode.IsControl) >= 0:
		a.fail(key, "has a control character in it")
	}
	return *v
}

func (a *accountBuilder) dir(key string, v *string) string {
	if v == nil {
		return ""
	}
	p, err := a.path(*v)
	if err != nil {
		a.fail(key, "%v", err)
	}
	return p
}

func (a *accountBuilder) local(acc *Account) {
	acc.Maildir = a.dir("maildir", a.raw.Maildir)
	acc.Inbox = a.dir("inbox", a.raw.Inbox)
	acc.Layout = oneOf(a, "layout", a.raw.Layout, LayoutFS, LayoutMaildirPlus)
	usual := []FolderEncoding{EncodingUTF8, EncodingUTF7}
	if acc.Layout == LayoutMaildirPlus {
		usual = []FolderEncoding{EncodingUTF7, EncodingUTF8} // as Dovecot and Courier write it
	}
	acc.FolderEncoding = oneOf(a, "folder_encoding", a.raw.FolderEncoding, usual...)
	if acc.Inbox != "" && acc.Maildir == "" {
		a.fail("inbox", "means nothing without maildir")
	}
	acc.Folders = Everything()
	if a.raw.Folders != nil {
		if len(a.raw.Folders) == 0 {
			a.fail("folders", "is empty, so no mailbox would take part: leave it out to take all")
		}
		p, err := ParsePatterns(a.raw.Folders)
		if bad, ok := err.(*patternError); ok {
			a.fail(fmt.Sprintf("folders[%d]", bad.index), "%v", bad)
		}
		acc.Folders = p
	}
	for i, name := range a.raw.Idle {
		if name == "" || strings.IndexFunc(name, unicode.IsControl) >= 0 {
			a.fail(fmt.Sprintf("idle[%d]", i), "is no name of a mailbox")
		}
		acc.Idle = append(acc.Idle, mail.NewMailboxName(strings.Split(name, "/")...))
	}
}

func (a *accountBuilder) behaviour(acc *Account) {
	acc.Mode = oneOf(a, "mode", a.raw.Mode, ModeMirror, ModePull, ModePush, ModeBackup)
	if acc.Mode == ModeBackup && acc.Maildir != "" {
		a.fail("mode", "\"backup\" keeps an archive only: take maildir away, or write mode = \"pull\" with backup = true")
	}
	acc.Backup = a.raw.Backup != nil && *a.raw.Backup
	acc.Archive = filepath.Join(acc.State, "archive")
	if a.raw.Archive != nil {
		acc.Archive = a.dir("archive", a.raw.Archive)
	}
	a.keep(acc)
	if a.raw.Schedule != nil {
		acc.Schedule = *a.raw.Schedule
		if err := checkSchedule(acc.Schedule); err != nil {
			a.fail("schedule", "%v", err)
		}
	}
	acc.DeleteGuard = parsed(a, "delete_guard", a.raw.DeleteGuard, 25, parseGuard)
	acc.DeleteFolders = a.raw.DeleteFolders != nil && *a.raw.DeleteFolders
	acc.KeepDeleted = parsed(a, "keep_deleted", a.raw.KeepDeleted, 90*24*time.Hour, parseDuration)
	acc.Connections = a.number("connections", a.raw.Connections, 4, 1, 32)
	acc.LimitRate = parsed(a, "limit_rate", a.raw.LimitRate, 0, parseRate)
	acc.FSync = a.raw.FSync == nil || *a.raw.FSync
	acc.Compress = oneOf(a, "compress", a.raw.Compress, "off", "on") == "on"
	acc.Hooks = Hooks{
		OnNewMail: a.command("on_new_mail", a.raw.OnNewMail), OnChange: a.command("on_change", a.raw.OnChange),
		OnError: a.command("on_error", a.raw.OnError), AfterBackup: a.command("after_backup", a.raw.AfterBackup),
		Timeout: parsed(a, "hook_timeout", a.raw.HookTimeout, time.Minute, parseTimeout),
	}
}

// command gives a command line for a shell. An empty one is none: so an
// account takes back what [defaults] gives it.
func (a *accountBuilder) command(key string, v *string) string {
	if v == nil || strings.TrimSpace(*v) == "" {
		return ""
	}
	if strings.ContainsRune(*v, 0) {
		a.fail(key, "has a NUL character in it")
	}
	return *v
}

func (a *accountBuilder) keep(acc *Account) {
	const grace = 14 * 24 * time.Hour
	k := a.raw.Keep
	if acc.KeepGrace = grace; k == nil {
		return
	}
	const most = 1 << 20
	acc.Keep = Keep{
		Within:  parsed(a, "keep.within", k.Within, 0, parseDuration),
		Last:    a.number("keep.last", k.Last, 0, 0, most),
		Daily:   a.number("keep.daily", k.Daily, 0, 0, most),
		Weekly:  a.number("keep.weekly", k.Weekly, 0, 0, most),
		Monthly: a.number("keep.monthly", k.Monthly, 0, 0, most),
		Yearly:  a.number("keep.yearly", k.Yearly, 0, 0, most),
	}
	acc.KeepGrace = parsed(a, "keep.grace", k.Grace, grace, parseDuration)
	if acc.Keep == (Keep{}) {
		a.fail("keep", "would keep no generation at all: leave it out to keep all")
	}
}

func (a *accountBuilder) number(key string, v *int64, usual, low, high int) int {
	if v == nil {
		return usual
	}
	if *v < int64(low) || *v > int64(high) {
		a.fail(key, "must be from %d to %d, not %d", low, high, *v)
		return usual
	}
	return int(*v)
}

// oneOf reads a word that must be one of choices; the first is the default.
func oneOf[T ~string](a *accountBuilder, key string, v *string, choices ...T) T {
	if v == nil {
		return choices[0]
	}
	words := make([]string, len(choices))
	for i, c := range choices {
		if string(c) == *v {
			return c
		}
		words[i] = string(c)
	}
	slices.Sort(words)
	if near := nearest(*v, words); near != "" {
		a.fail(key, "%q is not one of %s, did you mean %q?", *v, strings.Join(words, ", "), near)
	} else {
		a.fail(key, "%q is not one of %s", *v, strings.Join(words, ", "))
	}
	return choices[0]
}

// parsed reads a value by its parser; usual if it is not written.
func parsed[T any](a *accountBuilder, key string, v *string, usual T, parse func(string) (T, error)) T {
	if v == nil {
		return usual
	}
	got, err := parse(*v)
	if err != nil {
		a.fail(key, "%v", err)
		return usual
	}
	return got
}
