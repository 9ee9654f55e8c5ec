package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/cmd/godwit/migrate/folders"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
)

// A migrateOptions is what the flags of migrate say.
type migrateOptions struct {
	dryRun, foldersOnly, sizes         bool
	automap, deltaFlags, subscriptions bool
	merge                              bool
	folders, maps, exprs               []string
	subfolder, verify                  string
	maxErrors                          int
	which                              selection
}

func (a *app) migrateCommand() *cobra.Command {
	var m migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate FROM TO",
		Short: "copy the mail of an account to another server",
		Long: "Copies the mail of one account to the server of another: mailboxes, messages with their dates, flags and\n" +
			"keywords, and subscriptions. Both are accounts of the configuration; they need no maildir. FROM is only read,\n" +
			"and nothing is ever removed from TO.\n\n" +
			"It can be interrupted at any moment and run again: it goes on where it was, and a run later copies only what is\n" +
			"new since. What TO has already is matched, not copied twice. What the user deletes there between two runs\n" +
			"is not copied again. Flags that changed at FROM are carried over one by one (--delta-flags).\n\n" +
			"Mailboxes keep their names, as far as TO takes them; those for sent mail, drafts, junk, trash and archive\n" +
			"become those of TO (--automap). --dry-run shows all of it.\n\n" +
			"At the end it compares what each side has, mailbox by mailbox; --verify=bytes reads everything again at TO.\n\n" +
			"Exit codes: 0 all mail is there, 1 something failed, 2 usage or configuration, 4 another run of the same\n" +
			"migration is under way, 10 no connection, 11 no login, 12 a quota or limit, 130 interrupted.",
		Example: "  godwit migrate old new --dry-run\n  godwit migrate old new\n  godwit migrate old new --map \"Clients=Work/Clients\" --folder \"!Spam\"\n" +
			"  godwit migrate old shared --subfolder \"From Ada\"",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.migrate(cmd.Context(), names[0], names[1], m)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&m.dryRun, "dry-run", false, "show what would be done, and change nothing")
	flags.BoolVar(&m.foldersOnly, "folders-only", false, "make the mailboxes, and copy no messages")
	flags.BoolVar(&m.sizes, "sizes", false, "tell how much mail there is on each side, and change nothing")
	flags.StringArrayVar(&m.folders, "folder", nil, "only mailboxes of FROM that match `PATTERN`; !PATTERN leaves out; can be given more than once")
	flags.StringArrayVar(&m.maps, "map", nil, "copy the mailbox OLD, and all below it, to NEW (`OLD=NEW`); can be given more than once")
	flags.StringArrayVar(&m.exprs, "map-regex", nil, "change names of mailboxes by `s/PATTERN/REPLACEMENT/`; can be given more than once")
	flags.StringVar(&m.subfolder, "subfolder", "", "put all mailboxes below `FOLDER`")
	flags.BoolVar(&m.automap, "automap", true, "copy sent mail, drafts, junk, trash and archive to the mailboxes that TO has for them")
	flags.BoolVar(&m.merge, "merge-folders", false, "let mailboxes whose names TO takes for the same become one")
	flags.BoolVar(&m.deltaFlags, "delta-flags", true, "carry over flags that changed after a message was copied")
	flags.BoolVar(&m.subscriptions, "subscriptions", true, "carry over which mailboxes are subscribed to")
	m.which.flags(flags)
	flags.StringVar(&m.verify, "verify", "counts", "how to compare at the end: counts, bytes or none (`HOW`)")
	flags.IntVar(&m.maxErrors, "max-errors", 0, "give up after `N` errors; 0 goes on with what can be done")
	return cmd
}

// rules reads the flags that are about names of mailboxes.
func (m migrateOptions) rules(from *config.Account) (o folders.Options, err error) {
	s := scope{account: from.Folders}
	if len(m.folders) > 0 {
		only, err := config.ParsePatterns(m.folders)
		if err != nil {
			return o, fmt.Errorf("--folder: %w", err)
		}
		s.flags = only
	}
	o = folders.Options{Scope: s, NoAutomap: !m.automap, Merge: m.merge}
	for _, text := range m.maps {
		r, err := folders.ParseRename(text)
		if err != nil {
			return o, fmt.Errorf("--map: %w", err)
		}
		o.Maps = append(o.Maps, r)
	}
	for _, text := range m.exprs {
		e, err := folders.ParseExpression(text)
		if err != nil {
			return o, fmt.Errorf("--map-regex: %w", err)
		}
		o.Exprs = append(o.Exprs, e)
	}
	if m.subfolder != "" {
		o.Subfolder = mail.NewMailboxName(strings.Split(strings.Trim(m.subfolder, "/"), "/")...)
	}
	return o, nil
}

// contradiction says which flags do not go together.
func (m migrateOptions) contradiction() error {
	switch {
	case m.foldersOnly && m.sizes:
		return errors.New("--folders-only and --sizes contradict each other: give one of them")
	case m.verify != "counts" && m.verify != "bytes" && m.verify != "none":
		return fmt.Errorf("--verify=%s: write counts, bytes or none", m.verify)
	case m.maxErrors < 0:
		return errors.New("--max-errors is a number of errors, or 0")
	}
	return nil
}

func (a *app) migrate(ctx context.Context, from, to string, o migrateOptions) error {
	if err := o.contradiction(); err != nil {
		return &usageError{err}
	}
	conf, err := a.load()
	if err != nil {
		return err
	}
	accounts, err := choose(conf, []string{from, to})
	if err != nil {
		return err
	}
	if len(accounts) < 2 || boundTo(accounts[0]) == boundTo(accounts[1]) && accounts[0].Port == accounts[1].Port {
		return &usageError{fmt.Errorf("%s and %s are the same mail: name another account to copy to", from, to)}
	}
	names, err := o.rules(accounts[0])
	if err != nil {
		return &usageError{err}
	}
	wanted, err := o.which.wanted(a.now())
	if err != nil {
		return &usageError{err}
	}
	m := &migration{app: a, migrateOptions: o, from: accounts[0], to: accounts[1], names: names, wanted: wanted}
	return m.run(ctx, conf.StateDir)
}
