package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
)

// A restoreOptions is what the flags of restore say.
type restoreOptions struct {
	deleted, dryRun bool
	messages        []string // digests, or beginnings of them
	to, into, at    string
	folder          mail.MailboxName // "" for all
}

func (a *app) restoreCommand() *cobra.Command {
	var r restoreOptions
	cmd := &cobra.Command{
		Use:   "restore ACCOUNT [FOLDER] --deleted",
		Short: "list what godwit deleted and keeps, and put it back",
		Long: "Lists the messages that godwit deleted, on either side, and still keeps (keep_deleted). With --message, puts them\n" +
			"back into the mailbox of the Maildir that they came from, with flags and date; the next sync carries them to\n" +
			"the server as new messages. With --to, writes them elsewhere instead: all of them, or those that --message\n" +
			"and FOLDER name. Nothing is overwritten, and what is there already is not written twice.",
		Example: "  godwit restore personal --deleted\n" +
			"  godwit restore personal --deleted --message 3f2a91c04b7e\n" +
			"  godwit restore personal INBOX --deleted --to mbox:inbox.mbox",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				r.folder = mail.NewMailboxName(strings.Split(args[1], "/")...)
			}
			return a.restore(cmd.Context(), args[0], r)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&r.deleted, "deleted", false, "from what godwit deleted")
	flags.StringArrayVar(&r.messages, "message", nil, "only the message whose digest begins with `DIGEST`; can be given more than once")
	flags.StringVar(&r.to, "to", "", "write to `PLACE`: maildir:DIR, mbox:FILE or eml:DIR")
	flags.StringVar(&r.into, "into", "", "put all into the mailbox `FOLDER`")
	flags.BoolVar(&r.dryRun, "dry-run", false, "show what would be written, and write nothing")
	flags.StringVar(&r.at, "at", "", "as of this `TIME` (needs an archive)")
	return cmd
}

// errNoArchive answers what only a backup can.
var errNoArchive = errors.New("restoring a mailbox as it was needs an archive of generations, which this version does not keep yet: restore ACCOUNT --deleted puts back what godwit deleted")

func (a *app) restore(ctx context.Context, name string, r restoreOptions) error {
	conf, err := a.load()
	if err != nil {
		return err
	}
	accounts, err := choose(conf, []string{name})
	if err != nil {
		return err
	}
	acc := accounts[0]
	if !r.deleted || r.at != "" {
		return &usageError{errNoArchive}
	}
	kind, path, err := a.target(conf, r.to)
	if err != nil {
		return &usageError{err}
	}
	list, err := a.chosen(ctx, acc, r)
	if err != nil {
		return err
	}
	switch {
	case kind == "" && len(r.messages) == 0:
		a.listDeleted(acc, list)
		return nil
	case len(list) == 0:
		a.out.info("%s: nothing that was deleted is kept here", acc.Name)
		return nil
	case kind == "":
		return a.putBack(ctx, acc, list, r)
	}
	return a.writeOut(ctx, acc, kind, path, list, r)
}

// target takes apart what --to says.
func (a *app) target(conf *config.Config, to string) (kind, path string, err error) {
	if to == "" {
		return "", "", nil
	}
	kind, path, _ = strings.Cut(to, ":")
	switch {
	case kind == "imap":
		return "", "", errors.New("--to imap:ACCOUNT is not supported yet: leave out --to, and the next sync carries what was put back to the server")
	case kind != "maildir" && kind != "mbox" && kind != "eml", path == "":
		return "", "", fmt.Errorf("--to %q: write maildir:DIR, mbox:FILE or eml:DIR", to)
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok && a.env("HOME") != "" {
		path = filepath.Join(a.env("HOME"), rest)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", "", err
	}
	if owner := conf.Owner(path); owner != "" {
		return "", "", fmt.Errorf("%s is or lies in %s: name another place, or leave out --to to put messages back", path, owner)
	}
	return kind, path, nil
}
