package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
)

func (a *app) holdCommand() *cobra.Command {
	release := false
	cmd := &cobra.Command{
		Use:   "hold ACCOUNT [FOLDER | #N] [--release]",
		Short: "keep retention away from a mailbox or a generation of a backup",
		Long: "Holds a mailbox in the archive of an account: of each of its states that is there now, and of each that comes, a generation is\n" +
			"kept, so that it can be restored as of any time, whatever keep says, also after it was renamed or deleted. Or holds one\n" +
			"generation. --release ends the hold; without FOLDER the holds are listed.",
		Example: "  godwit hold personal\n  godwit hold personal Work/Contract\n  godwit hold personal '#42' --release",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if release && len(args) < 2 {
				return &usageError{errors.New("--release needs the mailbox or the generation that is held: hold ACCOUNT FOLDER --release")}
			}
			conf, err := a.load()
			if err != nil {
				return err
			}
			accounts, err := choose(conf, args[:1])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.listHolds(cmd.Context(), accounts[0])
			}
			return a.hold(cmd.Context(), accounts[0], holdOf(args[1]), release)
		},
	}
	cmd.Flags().BoolVar(&release, "release", false, "end the hold")
	return cmd
}

// holdOf is what a person calls a mailbox or a generation.
func holdOf(text string) archive.Hold {
	if number, ok := strings.CutPrefix(text, "#"); ok {
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && n > 0 {
			return archive.Hold{Generation: n}
		}
	}
	return archive.Hold{Mailbox: mail.NewMailboxName(strings.Split(text, "/")...)}
}

func (a *app) hold(ctx context.Context, acc *config.Account, h archive.Hold, release bool) error {
	err := a.changeArchive(ctx, acc, func(kept *archive.Archive) error {
		if release {
			return kept.Release(ctx, h)
		}
		return kept.Hold(ctx, h)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", acc.Name, err)
	}
	what := "is held"
	if release {
		what = "is no longer held: what nothing else keeps goes with the next backup or prune"
	}
	a.out.info("%s: %s %s", acc.Name, h, what)
	if a.json {
		a.out.object(record{Type: "hold", Account: acc.Name, Mailbox: string(h.Mailbox), Hold: &holdRecord{Generation: h.Generation, Held: !release}})
	}
	return nil
}

// A holdRecord is a hold, for scripts; its mailbox is that of the record.
type holdRecord struct {
	Generation int64  `json:"generation,omitempty"`
	Held       bool   `json:"held"`
	Since      string `json:"since,omitempty"`
}

func (a *app) listHolds(ctx context.Context, acc *config.Account) error {
	var list []archive.Hold
	err := a.readArchive(ctx, acc, func(kept *archive.Archive) (err error) {
		list, err = kept.Holds(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", acc.Name, err)
	}
	if len(list) == 0 {
		a.out.line("%s: nothing is held", acc.Name)
	}
	for _, h := range list {
		a.out.line("%s: %s is held since %s", acc.Name, h, stamp(h.Since))
		if a.json {
			a.out.object(record{Type: "hold", Account: acc.Name, Mailbox: string(h.Mailbox), Hold: &holdRecord{Generation: h.Generation, Held: true, Since: h.Since.Format(time.RFC3339)}})
		}
	}
	return nil
}
