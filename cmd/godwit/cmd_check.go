package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [ACCOUNT…]",
		Short: "look whether everything is ready for a sync, and say what to mend",
		Long: "Loads the configuration, connects to each account's server, logs in, lists its mailboxes and tests that\n" +
			"the Maildir and the archive can be written to. Changes nothing. Each line that fails says what to mend.",
		Example: "  godwit check\n  godwit check personal -v",
		RunE: func(cmd *cobra.Command, names []string) error {
			conf, err := a.load()
			if err != nil {
				return err
			}
			accounts, err := choose(conf, names)
			if err != nil {
				return err
			}
			c := &checker{app: a}
			c.good("configuration", "%s, %s", conf.File, count(len(conf.Accounts), "account"))
			for _, acc := range accounts {
				c.account = acc.Name
				c.check(cmd.Context(), acc)
				if err := cmd.Context().Err(); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// A checker tells of one thing after the other.
type checker struct {
	*app
	account string
}

func (c *checker) good(what, format string, args ...any) {
	c.result(what, true, fmt.Sprintf(format, args...))
}

// bad tells of something that must be mended.
func (c *checker) bad(what string, err error) {
	c.code = worse(c.code, exitFailed)
	c.result(what, false, err.Error())
}

// note tells of something that is allowed and may surprise.
func (c *checker) note(what, text string) {
	if c.json {
		c.out.object(record{Type: "note", Account: c.account, What: what, Text: text})
	}
	c.out.info("note %s", c.named(what, text))
}

func (c *checker) result(what string, ok bool, text string) {
	if c.json {
		c.out.object(record{Type: "check", Account: c.account, What: what, OK: &ok, Text: text})
	}
	if ok {
		c.out.info("ok   %s", c.named(what, text))
		return
	}
	c.out.line("FAIL %s", c.named(what, text))
}

func (c *checker) named(what, text string) string {
	if c.account != "" {
		what = c.account + ": " + what
	}
	return what + ": " + text
}

func (c *checker) check(ctx context.Context, acc *config.Account) {
	if acc.Synced() {
		c.directory("Maildir", acc.Maildir)
		if acc.Inbox != "" {
			c.directory("inbox", acc.Inbox)
		}
	}
	if acc.Archived() {
		c.archive(ctx, acc)
	}
	c.directory("state", acc.State)
	c.index(ctx, acc)
	c.server(ctx, acc)
}

// directory looks whether dir, or where it would be made, can be written to.
func (c *checker) directory(what, dir string) {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		c.bad(what, fmt.Errorf("%s is not a directory: move it away, or name another in the configuration", dir))
		return
	case errors.Is(err, fs.ErrNotExist):
		parent := filepath.Dir(dir)
		for {
			if _, err := os.Stat(parent); err == nil || parent == filepath.Dir(parent) {
				break
			}
			parent = filepath.Dir(parent)
		}
		if err := writable(parent); err != nil {
			c.bad(what, fmt.Errorf("%s does not exist and cannot be made: %w", dir, err))
			return
		}
		c.good(what, "%s does not exist yet, the first sync makes it", dir)
		return
	case err != nil:
		c.bad(what, err)
		return
	}
	if err := writable(dir); err != nil {
		c.bad(what, err)
		return
	}
	c.good(what, "%s can be written to", dir)
}

// writable makes a file in dir and removes it again.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".godwit-check-")
	if err != nil {
		return fmt.Errorf("%s cannot be written to (%w): give yourself the right to, or make room", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (c *checker) index(ctx context.Context, acc *config.Account) {
	index, err := store.OpenReadOnly(ctx, acc.State)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.good("index", "there is none yet, the first sync makes it")
		return
	case err != nil:
		c.bad("index", err)
		return
	}
	defer index.Close()
	boxes, err := index.Boxes(ctx)
	if err != nil {
		c.bad("index", err)
		return
	}
	c.good("index", "%s", count(len(boxes), "mailbox"))
}

func (c *checker) server(ctx context.Context, acc *config.Account) {
	if _, err := acc.Secret.Get(ctx); err != nil {
		c.bad("password", err)
		return
	}
	remote, err := imap.Open(ctx, imapOptions(acc))
	if err != nil {
		c.bad("server", err)
		return
	}
	defer remote.Close()
	c.good("server", "logged in to %s port %d as %s (tls = %q)", acc.Host, acc.Port, acc.Username, acc.TLS)
	if on, why := remote.Compression(); on {
		c.good("compression", "the connection is compressed (COMPRESS=DEFLATE)")
	} else if why != "" {
		c.note("compression", why+`: compress = "on" does nothing here`)
	}
	boxes, err := remote.Survey(ctx, nil)
	if err != nil {
		c.bad("mailboxes", err)
		return
	}
	c.mailboxes(acc, boxes)
	for _, r := range remote.Refused() {
		c.note("mailboxes", fmt.Sprintf("%q cannot take part: %s", r.Name, r.Reason))
	}
	if acc.Synced() {
		c.local(ctx, acc)
	}
}

// mailboxes compares what the server lists with the account's patterns.
func (c *checker) mailboxes(acc *config.Account, boxes []plan.Box) {
	var in, out []string
	for _, b := range boxes {
		switch {
		case b.Container:
		case acc.Folders.InScope(b.Name, b.Role):
			in = append(in, string(b.Name))
		default:
			out = append(out, string(b.Name))
		}
	}
	slices.Sort(in)
	slices.Sort(out)
	if len(in) == 0 {
		c.bad("mailboxes", fmt.Errorf("folders = %s takes in none of the %d that the server lists: change it", acc.Folders, len(out)))
		return
	}
	c.good("mailboxes", "%d of %d take part", len(in), len(in)+len(out))
	if c.verbose {
		c.note("mailboxes", "in: "+strings.Join(in, ", "))
	}
	if len(out) > 0 {
		c.note("mailboxes", "left out: "+strings.Join(out, ", "))
	}
	for _, name := range acc.Idle {
		if !slices.Contains(in, string(name)) {
			c.note("idle", fmt.Sprintf("%q is no mailbox that takes part", name))
		}
	}
}

// local looks at the Maildir as a sync would.
func (c *checker) local(ctx context.Context, acc *config.Account) {
	tree, err := maildir.Open(ctx, maildirOptions(acc))
	var boxes []plan.Box
	if err == nil {
		defer tree.Close()
		boxes, err = tree.Survey(ctx, map[mail.MailboxName]plan.Since{})
	}
	if err != nil {
		c.bad("Maildir", err)
		return
	}
	c.good("Maildir", "%s, layout %s", count(len(boxes), "mailbox"), acc.Layout)
	for _, name := range tree.Strange() {
		c.note("Maildir", strangeText(acc, name))
	}
}
