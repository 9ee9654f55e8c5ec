package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/cmd/godwit/when"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
)

// A historyCall is what history was asked for.
type historyCall struct {
	folder   mail.MailboxName // "" for all
	diff     bool
	from, to string // of --diff
	find     string
}

func (a *app) historyCommand() *cobra.Command {
	var h historyCall
	cmd := &cobra.Command{
		Use:   "history ACCOUNT [FOLDER] [--diff A B | --find TEXT]",
		Short: "list the generations of a backup, and what differs between them",
		Long: "Lists the generations in the archive of an account, with what came, went, changed its flags and moved in each; with\n" +
			"FOLDER, those in which something happened to that mailbox, and what. It reads the archive alone, also while a backup runs.\n" +
			"--diff tells what differs between two generations, message by message. A and B are each a number (42, or #42; 0 is before\n" +
			"the first), or a time: " + when.Forms + ".\n" +
			"--find tells of the messages whose subject, sender or Message-ID contains TEXT where they lay, and when.",
		Example: "  godwit history personal\n  godwit history personal Work --diff 41 42\n  godwit history personal --diff yesterday now\n  godwit history personal --find invoice",
		Args:    cobra.RangeArgs(1, 4),
		RunE: func(cmd *cobra.Command, args []string) error {
			rest, err := h.take(args[1:])
			if err != nil {
				return &usageError{err}
			}
			if len(rest) == 1 {
				h.folder = mail.NewMailboxName(strings.Split(rest[0], "/")...)
			}
			return a.history(cmd.Context(), args[0], h)
		},
	}
	cmd.Flags().BoolVar(&h.diff, "diff", false, "tell what differs between the two generations that are named last")
	cmd.Flags().StringVar(&h.find, "find", "", "find messages with `TEXT` in their subject, sender or Message-ID")
	return cmd
}

// take takes the generations of --diff off the arguments behind the account.
func (h *historyCall) take(args []string) (rest []string, err error) {
	switch n := len(args) - 2; {
	case h.diff && h.find != "":
		return nil, errors.New("--diff and --find cannot be had together: give one of them")
	case h.diff && n < 0:
		return nil, errors.New("--diff needs two generations: history ACCOUNT [FOLDER] --diff A B")
	case h.diff:
		h.from, h.to, args = args[n], args[n+1], args[:n]
	}
	if len(args) > 1 {
		return nil, errors.New("history takes one account and one folder")
	}
	return args, nil
}

func (a *app) history(ctx context.Context, name string, h historyCall) error {
	conf, err := a.load()
	if err != nil {
		return err
	}
	accounts, err := choose(conf, []string{name})
	if err != nil {
		return err
	}
	x := &historian{app: a, acc: accounts[0], historyCall: h}
	if x.archive, err = archive.OpenReadOnly(ctx, x.acc.Archive); err != nil {
		if errors.Is(err, archive.ErrNone) && !x.acc.Archived() {
			err = &usageError{fmt.Errorf("%w in %s: add backup = true to the account, and run sync", archive.ErrNone, x.acc.Archive)}
		}
		return fmt.Errorf("%s: %w", x.acc.Name, err)
	}
	defer x.archive.Close()
	switch {
	case h.diff:
		return x.differences(ctx)
	case h.find != "":
		return x.findings(ctx)
	}
	return x.generations(ctx)
}

// A historian tells of one archive.
type historian struct {
	*app
	acc     *config.Account
	archive *archive.Archive
	historyCall
}

// object prints a record where JSON is asked for.
func (x *historian) object(r record) {
	if x.json {
		x.out.object(r)
	}
}

// concerns tells whether a difference is one of the mailbox asked for.
func (x *historian) concerns(d archive.Difference) bool {
	return x.folder == "" || d.Mailbox == x.folder || d.Was == x.folder
}

// generations lists them, the oldest first.
func (x *historian) generations(ctx context.Context) error {
	all, err := x.archive.Generations(ctx)
	if err != nil {
		return err
	}
	if x.folder != "" {
		if all, err = x.ofFolder(ctx, all); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		x.out.line("%s: no generation%s yet", x.acc.Name, map[bool]string{true: " in which anything happened to " + string(x.folder)}[x.folder != ""])
		return nil
	}
	x.out.line("%-10s  %-16s  %8s  %8s  %8s  %8s  %9s  %10s", "generation", "made", "came", "went", "changed", "moved", "messages", "added")
	for _, g := range all {
		x.out.line("%s", generationLine(g, x.folder != ""))
		x.object(record{Type: "generation", Account: x.acc.Name, Mailbox: string(x.folder), Generation: newGenerationRecord(&g)})
	}
	return nil
}

// generationLine is a line of the list; of a mailbox alone it is not told how
// much it holds.
func generationLine(g archive.Generation, part bool) string {
	made, holds, added := "under way", strconv.Itoa(g.Messages), bytesText(g.Stored)
	if !g.Ended.IsZero() {
		made = stamp(g.Ended)
	}
	if part {
		holds, added = "", ""
	}
	line := fmt.Sprintf("%-10s  %-16s  %8d  %8d  %8d  %8d  %9s  %10s", "#"+strconv.FormatInt(g.Number, 10), made, g.Came, g.Went, g.Changed, g.Moved, holds, added)
	switch {
	case !g.Retired.IsZero():
		line += "  given up " + stamp(g.Retired)
	case !g.Complete && g.Why != "":
		line += "  not complete: " + g.Why
	case !g.Complete && !g.Ended.IsZero():
		line += "  not complete: it was interrupted"
	}
	return strings.TrimRight(line, " ")
}

// ofFolder counts what happened to one mailbox in each generation, and leaves
// out those in which nothing did.
func (x *historian) ofFolder(ctx context.Context, all []archive.Generation) ([]archive.Generation, error) {
	var out []archive.Generation
	var before int64
	for _, g := range all {
		if !g.Retired.IsZero() {
			continue // what it changed is told of the next one
		}
		part := g
		part.Came, part.Went, part.Changed, part.Moved, part.Messages, part.Mailboxes, part.Bytes, part.Stored = 0, 0, 0, 0, 0, 0, 0, 0
		touched := false
		err := x.archive.Diff(ctx, before, g.Number, func(d archive.Difference) error {
			if !x.concerns(d) {
				return nil
			}
			touched = true
			switch d.What {
			case archive.Came:
				part.Came++
			case archive.Went:
				part.Went++
			case archive.Flagged:
				part.Changed++
			case archive.Moved:
				part.Moved++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if touched {
			out = append(out, part)
		}
		before = g.Number
	}
	return out, nil
}

// generation finds what a person calls a generation. 0 is before the first.
func (x *historian) generation(ctx context.Context, text string) (archive.Generation, error) {
	if n, err := strconv.ParseInt(strings.TrimPrefix(text, "#"), 10, 64); err == nil {
		if n == 0 {
			return archive.Generation{}, nil
		}
		g, err := x.archive.Generation(ctx, n)
		if errors.Is(err, archive.ErrNoGeneration) {
			err = fmt.Errorf("there is no generation #%d: see history %s", n, x.acc.Name)
		}
		return g, err
	}
	moment, err := when.Parse(text, x.now().Local())
	if err != nil {
		return archive.Generation{}, &usageError{err}
	}
	g, err := x.archive.AsOf(ctx, moment.Time)
	if errors.Is(err, archive.ErrNoGeneration) {
		return archive.Generation{}, nil // what there was before the first
	}
	return g, err
}

// differences tells what differs between two generations.
func (x *historian) differences(ctx context.Context) error {
	from, err := x.generation(ctx, x.from)
	if err != nil {
		return err
	}
	to, err := x.generation(ctx, x.to)
	if err != nil {
		return err
	}
	if from.Number > to.Number {
		from, to = to, from
	}
	var all []archive.Difference
	err = x.archive.Diff(ctx, from.Number, to.Number, func(d archive.Difference) error {
		if x.concerns(d) {
			all = append(all, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(p, q archive.Difference) int {
		return strings.Compare(mailboxOrder(p.Mailbox), mailboxOrder(q.Mailbox))
	})
	x.out.line("%s: from %s to %s: %s", x.acc.Name, generationName(from), generationName(to), differencesText(all))
	var box mail.MailboxName
	for i, d := range all {
		if i == 0 || d.Mailbox != box {
			box = d.Mailbox
			x.out.line("%s", box)
		}
		x.out.line("%s", differenceLine(d))
		x.object(record{Type: "difference", Account: x.acc.Name, Mailbox: string(d.Mailbox), Difference: newDifferenceRecord(d)})
	}
	return nil
}

func generationName(g archive.Generation) string {
	if g.Number == 0 {
		return "the beginning"
	}
	return fmt.Sprintf("#%d (%s)", g.Number, stamp(g.Ended))
}

// differencesText counts them.
func differencesText(all []archive.Difference) string {
	var sum archive.Generation
	boxes := 0
	for _, d := range all {
		switch d.What {
		case archive.Came:
			sum.Came++
		case archive.Went:
			sum.Went++
		case archive.Flagged:
			sum.Changed++
		case archive.Moved:
			sum.Moved++
		default:
			boxes++
		}
	}
	text := changesText(sum)
	if boxes > 0 {
		text += fmt.Sprintf(", %s created, renamed or removed", count(boxes, "mailbox"))
	}
	return text
}

func differenceLine(d archive.Difference) string {
	what := string(d.What)
	switch d.What {
	case archive.Made, archive.Removed:
		return "  mailbox " + what
	case archive.Renamed:
		return "  mailbox renamed, it was " + string(d.Was)
	case archive.Flagged:
		what = "changed"
	}
	line := fmt.Sprintf("  %-8s  %s  %-30s  %s", what, d.Message.Digest.String()[:12], shortened(orDash(d.Message.Sender), 30), orDash(d.Message.Subject))
	if d.What == archive.Moved {
		line += "  from " + string(d.Was)
	}
	for _, f := range flagNames(flagsAdded(d)) {
		line += " +" + f
	}
	for _, f := range flagNames(flagsRemoved(d)) {
		line += " -" + f
	}
	return line
}

// shortened cuts a text to so many characters.
func shortened(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// flagsAdded are the flags that a message has got between two generations.
func flagsAdded(d archive.Difference) mail.FlagSet {
	if d.What == archive.Went {
		return mail.FlagSet{}
	}
	return d.Flags.Minus(d.Before)
}

// flagsRemoved are the flags that a message has lost.
func flagsRemoved(d archive.Difference) mail.FlagSet { return d.Before.Minus(d.Flags) }

// findings tells where and when messages lay.
func (x *historian) findings(ctx context.Context) error {
	n := 0
	err := x.archive.Find(ctx, x.find, func(f archive.Found) error {
		f.Places = slices.DeleteFunc(f.Places, func(p archive.Placement) bool { return x.folder != "" && p.Mailbox != x.folder })
		if len(f.Places) == 0 {
			return nil
		}
		n++
		m := f.Message
		x.out.line("%s  %-16s  %10s  %-30s  %s", m.Digest.String()[:12], dateText(m.Date), bytesText(m.Size), shortened(orDash(m.Sender), 30), orDash(m.Subject))
		for _, p := range f.Places {
			x.out.line("    %s: %s%s", p.Mailbox, spanText(p), flagsOf(p))
		}
		x.object(record{Type: "found", Account: x.acc.Name, Digest: m.Digest.String(), Found: newFoundRecord(f)})
		return nil
	})
	if err == nil && n == 0 {
		x.out.line("%s: no message has %q in its subject, sender or Message-ID", x.acc.Name, x.find)
	}
	return err
}

func dateText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return stamp(t)
}

// spanText says in which generations a message lay in a place.
func spanText(p archive.Placement) string {
	switch p.To {
	case 0:
		return fmt.Sprintf("since #%d", p.From)
	case p.From:
		return fmt.Sprintf("in #%d", p.From)
	}
	return fmt.Sprintf("from #%d to #%d", p.From, p.To)
}

func flagsOf(p archive.Placement) string {
	if p.Flags.Empty() {
		return ""
	}
	return "  " + p.Flags.String()
}

// mailboxOrder is listOrder for a name.
func mailboxOrder(name mail.MailboxName) string { return nameOrder(string(name)) }
