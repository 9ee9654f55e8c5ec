package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
)

// A drillOptions is what the flags of drill say.
type drillOptions struct {
	generations int
	scratch     string
}

func (a *app) drillCommand() *cobra.Command {
	var d drillOptions
	cmd := &cobra.Command{
		Use:   "drill [ACCOUNT]",
		Short: "restore a random sample of a backup into a scratch folder, and compare",
		Long: "Restores a random sample of the generations of an archive, each into a Maildir in a folder of its own, as\n" +
			"restore does, reads that back, and compares mailboxes, bytes, flags, keywords and dates of arrival with what the\n" +
			"catalogue says. The folder is removed afterwards; the account's own Maildir and server are not touched. status\n" +
			"and the metrics tell when a drill last succeeded.\n\n" +
			"Exit codes: 0 all was as it should be, 1 something differed or failed.",
		Example: "  godwit drill\n  godwit drill personal --generations 10 --scratch /var/tmp",
		RunE: func(cmd *cobra.Command, names []string) error {
			if d.generations < 1 {
				return &usageError{errors.New("--generations: give a number above 0")}
			}
			conf, err := a.load()
			if err != nil {
				return err
			}
			accounts, err := choose(conf, names)
			if err != nil {
				return err
			}
			if d.scratch != "" {
				if owner := conf.Owner(d.scratch); owner != "" {
					return &usageError{fmt.Errorf("--scratch %s is or lies in %s: name another place", d.scratch, owner)}
				}
			}
			for _, acc := range accounts {
				if !acc.Archived() {
					if len(names) > 0 {
						a.fail(acc.Name, &usageError{errors.New("the account has no archive: backup = true keeps one")})
					}
					continue
				}
				if err := a.drill(cmd.Context(), conf, acc, d); err != nil {
					if cmd.Context().Err() != nil {
						return err
					}
					a.fail(acc.Name, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&d.generations, "generations", 3, "how many generations to restore, chosen by chance")
	cmd.Flags().StringVar(&d.scratch, "scratch", "", "restore below this `DIR` (default: the account's state directory)")
	return cmd
}

// A drilling is one drill of an account.
type drilling struct {
	app  *app
	conf *config.Config
	acc  *config.Account
	out  store.LastDrill
}

// drill restores a sample, and remembers what came of it.
func (a *app) drill(ctx context.Context, conf *config.Config, acc *config.Account, d drillOptions) error {
	x := &drilling{app: a, conf: conf, acc: acc, out: store.LastDrill{Generations: []int64{}}}
	sample, err := x.sample(ctx, d.generations)
	if err != nil {
		return err
	}
	if len(sample) == 0 {
		a.out.info("%s: no generation is complete yet: there is nothing to restore", acc.Name)
		return nil
	}
	for _, g := range sample {
		if err := x.generation(ctx, g, d.scratch); err != nil {
			if ctx.Err() != nil {
				return err
			}
			err = fmt.Errorf("generation #%d: %w", g.Number, err)
			x.out.Errors = append(x.out.Errors, err.Error())
			a.fail(acc.Name, err)
		}
	}
	x.out.Ended = a.now()
	x.finish()
	return store.WriteLastDrill(acc.State, x.out)
}

// sample chooses among the generations that can be restored.
func (x *drilling) sample(ctx context.Context, n int) ([]archive.Generation, error) {
	kept, err := archive.OpenReadOnly(ctx, x.acc.Archive)
	if errors.Is(err, archive.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := kept.Generations(ctx)
	if err = errors.Join(err, kept.Close()); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(g archive.Generation) bool { return !g.Complete || !g.Retired.IsZero() })
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(n, len(all))]
	slices.SortFunc(all, func(a, b archive.Generation) int { return int(a.Number - b.Number) })
	return all, nil
}

// generation restores one into a folder of its own, and compares.
func (x *drilling) generation(ctx context.Context, g archive.Generation, scratch string) (err error) {
	if scratch == "" {
		scratch = x.acc.State
	}
	if free, ok := freeSpace(scratch); ok && g.Bytes > free {
		return fmt.Errorf("it has %s, and %s has room for %s: name another place with --scratch", bytesText(g.Bytes), scratch, bytesText(free))
	}
	dir, err := os.MkdirTemp(scratch, "drill-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &restoring{
		app: x.app, conf: x.conf, acc: x.acc, silent: true,
		restoreOptions: restoreOptions{at: fmt.Sprintf("#%d", g.Number)}, to: destination{kind: toMaildir, path: dir},
	}
	if err := r.openArchive(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.closeArchive()) }()
	selection, err := r.choose(ctx)
	if err != nil {
		return err
	}
	if _, err := r.toMaildir(ctx, selection); err != nil {
		return err
	}
	return x.compare(ctx, r.view(g.Number), dir, g.Number)
}

// compare holds what was restored against the catalogue.
func (x *drilling) compare(ctx context.Context, should *archive.View, dir string, n int64) error {
	c, err := expect(ctx, should)
	if err != nil {
		return err
	}
	tree, err := maildir.Open(ctx, maildir.Options{Root: dir, Layout: maildir.FS})
	if err != nil {
		return err
	}
	err = errors.Join(c.read(ctx, tree), tree.Close())
	if err != nil {
		return err
	}
	x.out.Generations = append(x.out.Generations, n)
	x.out.Messages += c.messages
	x.out.Bytes += c.bytes
	list := c.differences()
	x.out.Differences += len(list)
	for i, text := range list {
		x.app.code = worse(x.app.code, exitFailed)
		if i == mostDifferences && !x.app.verbose {
			x.app.out.line("%s: generation #%d: %d more differences (-v shows all)", x.acc.Name, n, len(list)-i)
			break
		}
		x.app.out.line("%s: generation #%d: %s", x.acc.Name, n, text)
	}
	return nil
}

// mostDifferences is how many differences of a generation are told.
const mostDifferences = 20

// finish sums up.
func (x *drilling) finish() {
	var names []string
	for _, n := range x.out.Generations {
		names = append(names, fmt.Sprintf("#%d", n))
	}
	text := fmt.Sprintf("restored and compared %s (%s): %s, %s", count(len(names), "generation"), strings.Join(names, ", "),
		count(x.out.Messages, "message"), bytesText(x.out.Bytes))
	switch {
	case x.out.Differences > 0:
		text += fmt.Sprintf("; %s", count(x.out.Differences, "difference"))
	case len(x.out.Errors) == 0:
		text += "; mailboxes, bytes, flags and dates are as they should be"
	}
	if x.app.json {
		x.app.out.object(record{Type: "drill", Account: x.acc.Name, Text: text, Drill: &x.out})
	}
	x.app.out.info("%s: %s", x.acc.Name, text)
}
