package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/config"
)

func (a *app) pruneCommand() *cobra.Command {
	dryRun := false
	cmd := &cobra.Command{
		Use:   "prune [ACCOUNT]... [--dry-run]",
		Short: "give up generations of a backup that keep does not keep",
		Long: "Decides which generations in the archive of an account are kept, as keep in the configuration says, gives up the others, and\n" +
			"removes messages that have lain in none for the time of keep.grace. For each generation it says what keeps it. What is kept\n" +
			"stays as it is, byte for byte; the newest complete generation, and what hold names, always stay.\n\n" +
			"Backups do this by themselves, once a day, in accounts with keep. Without keep no generation is given up; only what runs left\n" +
			"behind that were interrupted is removed.",
		Example: "  godwit prune --dry-run\n  godwit prune personal",
		RunE: func(cmd *cobra.Command, names []string) error {
			conf, err := a.load()
			if err != nil {
				return err
			}
			accounts, err := choose(conf, names)
			if err != nil {
				return err
			}
			for _, acc := range accounts {
				there, err := archive.There(acc.Archive)
				if err == nil && !there.Catalogue && len(names) == 0 {
					continue
				}
				if err == nil {
					err = a.prune(cmd.Context(), acc, dryRun)
				}
				if err != nil {
					a.fail(acc.Name, err)
				}
				if err := cmd.Context().Err(); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be given up, and change nothing")
	return cmd
}

// prune does the work of retention for one account.
func (a *app) prune(ctx context.Context, acc *config.Account, dryRun bool) error {
	var out *archive.Retained
	do := func(kept *archive.Archive) (err error) {
		out, err = kept.Retain(ctx, retention(acc, dryRun))
		return err
	}
	var err error
	if dryRun {
		err = a.readArchive(ctx, acc, do)
	} else {
		err = a.changeArchive(ctx, acc, do)
	}
	if err != nil {
		return err
	}
	for _, v := range out.Verdicts {
		what := "kept"
		if !v.Keep {
			what = "given up"
		}
		made := "under way"
		if !v.Generation.Ended.IsZero() {
			made = stamp(v.Generation.Ended)
		}
		a.out.info("%s: #%-6d %-16s  %-8s  %s", acc.Name, v.Generation.Number, made, what, strings.Join(v.Why, ", "))
		if a.json {
			a.out.object(record{Type: "generation", Account: acc.Name, Generation: newGenerationRecord(&v.Generation), Keep: &v.Keep, Why: v.Why})
		}
	}
	a.out.info("%s: %s", acc.Name, retainedText(out, acc.KeepGrace, dryRun))
	if a.json {
		a.out.object(record{Type: "prune", Account: acc.Name, Retention: newRetainedRecord(out, dryRun)})
	}
	return nil
}

// readArchive gives the archive of an account to be read.
func (a *app) readArchive(ctx context.Context, acc *config.Account, do func(*archive.Archive) error) error {
	kept, err := archive.OpenReadOnly(ctx, acc.Archive)
	if err != nil {
		return err
	}
	return errors.Join(do(kept), kept.Close())
}

// changeArchive gives the archive of an account to be changed, while nobody
// else writes to it or reads what must not go.
func (a *app) changeArchive(ctx context.Context, acc *config.Account, do func(*archive.Archive) error) error {
	if there, err := archive.There(acc.Archive); err != nil || !there.Catalogue {
		return errors.Join(err, a.readArchive(ctx, acc, do)) // its errors say what is wrong
	}
	lock, err := lockState(acc.State)
	if err != nil {
		return err
	}
	reading, err := lockState(filepath.Join(acc.State, restoreState))
	if err != nil {
		return errors.Join(err, lock.Unlock())
	}
	kept, err := archive.Open(ctx, archive.Options{Dir: acc.Archive, Clock: a.now})
	if err == nil {
		err = errors.Join(do(kept), kept.Close())
	}
	return errors.Join(err, reading.Unlock(), lock.Unlock())
}
