package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/cmd/godwit/when"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
)

// A restoreOptions is what the flags of restore say.
type restoreOptions struct {
	deleted, dryRun, exact, yes bool
	messages                    []string // digests, or beginnings of them
	search                      string
	place, into, at             string           // place is --to
	folder                      mail.MailboxName // "" for all
}

// target is where the mail of a mailbox goes.
func (r *restoreOptions) target(name mail.MailboxName) mail.MailboxName {
	if r.into != "" {
		return mail.NewMailboxName(strings.Split(r.into, "/")...)
	}
	return name
}

func (a *app) restoreCommand() *cobra.Command {
	var r restoreOptions
	cmd := &cobra.Command{
		Use:   "restore ACCOUNT [FOLDER] --to PLACE",
		Short: "bring back mail as it was, or what godwit deleted",
		Long: "Brings back the mail of an account, or of one mailbox, as its archive has it (backup = true): as of the newest\n" +
			"generation, or of the one that --at names. What the place has already is not written twice, and nothing there is\n" +
			"changed or removed, unless --exact asks for it. A restore that was interrupted is simply run again.\n\n" +
			"--message and --search bring back single messages. Without --at they are looked for in all generations, and come\n" +
			"back as they were last.\n\n" +
			"imap:ACCOUNT is the server of an account in the configuration, this one or another. If that is synchronised, its\n" +
			"Maildir gets the mail, too, and a sync follows.\n\n" +
			"With --deleted: lists the messages that godwit deleted, on either side, and still keeps (keep_deleted). With\n" +
			"--message, puts them back into the mailbox of the Maildir that they came from, with flags and date; the next sync\n" +
			"carries them to the server as new messages. With --to, writes them elsewhere instead: all of them, or those that\n" +
			"--message and FOLDER name.",
		Example: "  godwit restore personal --to maildir:~/as-it-was --at \"last tuesday\"\n" +
			"  godwit restore personal Work --at \"2026-11-17 18:00\" --to imap:personal --into Work/Restored\n" +
			"  godwit restore personal --search invoice --to eml:~/invoices --dry-run\n" +
			"  godwit restore personal --deleted --message 3f2a91c04b7e",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				r.folder = mail.NewMailboxName(strings.Split(args[1], "/")...)
			}
			return a.restore(cmd.Context(), args[0], r)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.at, "at", "", "as of this `TIME`: "+when.Forms)
	flags.StringVar(&r.place, "to", "", "bring it to `PLACE`: imap:ACCOUNT, maildir:DIR, mbox:FILE or eml:DIR")
	flags.StringVar(&r.into, "into", "", "put all into the mailbox `FOLDER`")
	flags.StringArrayVar(&r.messages, "message", nil, "only the message whose digest begins with `DIGEST`; can be given more than once")
	flags.StringVar(&r.search, "search", "", "only messages with `TEXT` in their subject, sender or Message-ID")
	flags.BoolVar(&r.dryRun, "dry-run", false, "show what would be written, and write nothing")
	flags.BoolVar(&r.exact, "exact", false, "make the mailboxes just as they were: also delete what was not there, and set flags as they were; asks first")
	flags.BoolVar(&r.yes, "yes", false, "do not ask")
	flags.BoolVar(&r.deleted, "deleted", false, "from what godwit deleted")
	return cmd
}

func (a *app) restore(ctx context.Context, name string, r restoreOptions) error {
	conf, err := a.load()
	if err != nil {
		return err
	}
	accounts, err := choose(conf, []string{name})
	if err != nil {
		return err
	}
	to, err := a.destination(conf, r.place)
	if err != nil {
		return &usageError{err}
	}
	if err := contradiction(r, to); err != nil {
		return &usageError{err}
	}
	x := &restoring{app: a, conf: conf, acc: accounts[0], restoreOptions: r, to: to}
	if r.deleted {
		return x.deletedOnes(ctx)
	}
	return x.fromArchive(ctx)
}

// contradiction says which flags do not go together.
func contradiction(r restoreOptions, to destination) error {
	switch {
	case r.deleted && (r.at != "" || r.search != "" || r.exact):
		return errors.New("--deleted is about what godwit deleted, whenever that was: leave out --at, --search and --exact")
	case !r.deleted && to.kind == "":
		return errors.New("say where to with --to: imap:ACCOUNT, maildir:DIR, mbox:FILE or eml:DIR (or --deleted to see what godwit deleted)")
	case r.exact && to.kind != toServer:
		return errors.New("--exact is for --to imap:ACCOUNT")
	case r.exact && (len(r.messages) > 0 || r.search != "" || r.into != ""):
		return errors.New("--exact makes whole mailboxes what they were: leave out --message, --search and --into")
	case r.yes && !r.exact:
		return errors.New("--yes is for --exact: nothing else asks")
	case !r.deleted && to.kind == toMbox && r.folder == "" && r.into == "" && len(r.messages) == 0 && r.search == "":
		return errors.New("an mbox takes one mailbox: name the FOLDER, or put all into one with --into, or use maildir:DIR or eml:DIR")
	}
	return nil
}

// The kinds of places that mail is restored to.
const (
	toServer  = "imap"
	toMaildir = "maildir"
	toMbox    = "mbox"
	toEML     = "eml"
)

// A destination is what --to says.
type destination struct {
	kind   string          // "" for none
	path   string          // absolute, of a file or directory
	server *config.Account // imap
}

func (p destination) String() string {
	if p.kind == toServer {
		return toServer + ":" + p.server.Name
	}
	return p.path
}

// destination takes apart what --to says.
func (a *app) destination(conf *config.Config, to string) (destination, error) {
	if to == "" {
		return destination{}, nil
	}
	kind, path, _ := strings.Cut(to, ":")
	switch {
	case kind == toServer:
		acc, ok := conf.Account(path)
		if !ok {
			return destination{}, fmt.Errorf("--to %q: there is no account %q: the configuration has %s", to, path, strings.Join(conf.Names(), ", "))
		}
		return destination{kind: kind, server: acc}, nil
	case kind != toMaildir && kind != toMbox && kind != toEML, path == "":
		return destination{}, fmt.Errorf("--to %q: write imap:ACCOUNT, maildir:DIR, mbox:FILE or eml:DIR", to)
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok && a.env("HOME") != "" {
		path = filepath.Join(a.env("HOME"), rest)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return destination{}, err
	}
	if owner := conf.Owner(path); owner != "" {
		return destination{}, fmt.Errorf("%s is or lies in %s: name another place, or use imap:ACCOUNT, which fills the account's Maildir, too", path, owner)
	}
	return destination{kind: kind, path: path}, nil
}
