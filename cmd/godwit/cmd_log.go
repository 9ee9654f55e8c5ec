package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A logOptions is what the flags of log say.
type logOptions struct {
	message, folder, since string
	limit                  int
}

func (a *app) logCommand() *cobra.Command {
	var l logOptions
	cmd := &cobra.Command{
		Use:   "log [ACCOUNT]",
		Short: "tell what happened to messages, and why",
		Long: "Prints the event log, the newest last: what godwit did to which message, when and why, and what it did not do:\n" +
			"held, pending, declined. With --message, the events of one message only, named by the digest that the log\n" +
			"shows, the beginning of it, or its Message-ID.",
		Example: "  godwit log personal\n  godwit log --message 3f2a91c04b7e\n  godwit log --message '<20261120.1234@example.org>' --since 30d",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.log(cmd.Context(), names, l)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&l.message, "message", "", "only the message with this digest, one that begins with `ID`, or with this Message-ID")
	flags.StringVar(&l.folder, "folder", "", "only what happened in the mailbox `NAME`, or was moved to it")
	flags.StringVar(&l.since, "since", "", "only what happened since `TIME`: 2026-11-20, 2026-11-20 18:00, or 90m, 12h, 30d ago")
	flags.IntVar(&l.limit, "limit", 1000, "only the newest `N` events of an account; 0 for all")
	return cmd
}

func (a *app) log(ctx context.Context, names []string, l logOptions) error {
	conf, err := a.load()
	if err != nil {
		return err
	}
	accounts, err := choose(conf, names)
	if err != nil {
		return err
	}
	filter := store.EventFilter{Limit: max(l.limit, 0)}
	if l.folder != "" {
		filter.Mailbox = mail.NewMailboxName(strings.Split(l.folder, "/")...)
	}
	if l.since != "" {
		if filter.Since, err = since(l.since, a.now()); err != nil {
			return &usageError{fmt.Errorf("--since: %w", err)}
		}
	}
	if l.limit < 0 {
		return &usageError{errors.New("--limit: give a number, or 0 for all")}
	}
	isID := strings.ContainsAny(l.message, "@<>")
	if !isID && strings.Trim(strings.ToLower(l.message), "0123456789abcdef") != "" {
		return &usageError{fmt.Errorf("--message %q: give a digest as the log shows it, the beginning of one, or a Message-ID such as <…@…>", l.message)}
	}
	found := false
	for _, acc := range accounts {
		mine, err, n := filter, error(nil), 0
		if isID {
			mine.MessageID = mail.TrimMessageID(l.message)
			mine.Digests, err = a.findMessageID(ctx, acc, mine.MessageID)
		} else {
			mine.Message = l.message
		}
		if err == nil {
			n, err = a.logAccount(ctx, acc, mine)
		}
		found = found || n+len(mine.Digests) > 0
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.fail(acc.Name, err)
		}
	}
	if isID && !found && a.code == exitOK {
		return fmt.Errorf("no message with Message-ID %s is in the log, in the Maildir, or kept after its deletion", l.message)
	}
	return nil
}

// since reads a time, or a span before now.
func since(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	span, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok && err != nil {
		var n int
		n, err = strconv.Atoi(days)
		span = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || span < 0 {
		return time.Time{}, fmt.Errorf("%q is no time: write 2026-11-20, \"2026-11-20 18:00\", or a span such as 12h or 30d", text)
	}
	return now.Add(-span), nil
}

// logAccount prints the events of one account that the filter chooses, and counts them.
func (a *app) logAccount(ctx context.Context, acc *config.Account, filter store.EventFilter) (int, error) {
	index, err := store.OpenReadOnly(ctx, acc.State)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // never synchronised: nothing happened
	}
	if err != nil {
		return 0, err
	}
	defer index.Close()
	limit := filter.Limit
	if limit > 0 {
		filter.Limit++ // to know whether there are more
	}
	var events []plan.Event
	shown := 0
	show := func() {
		for _, e := range events {
			a.showEvent(acc, e)
		}
		shown += len(events)
		events = events[:0]
	}
	err = index.Events(ctx, filter, func(e plan.Event) error {
		if events = append(events, e); limit == 0 {
			show()
		}
		return ctx.Err()
	})
	if limit > 0 && len(events) > limit {
		events = events[1:]
		a.complain(acc.Name, fmt.Sprintf("only the newest %d events are shown: --limit 0 shows all", limit))
	}
	show()
	return shown, err
}

func (a *app) showEvent(acc *config.Account, e plan.Event) {
	if a.json {
		a.out.object(record{
			Type: "log", Time: e.At.Format(time.RFC3339), Account: acc.Name, Mailbox: string(e.Mailbox), Verb: e.Verb, To: string(e.To),
			Side: e.Side.String(), Digest: e.Ident.String(), Run: e.Run, Text: e.Text,
		})
	}
	a.out.line("%s", logText(acc.Name, e))
}

// logText is one line of the log.
func logText(account string, e plan.Event) string {
	text := fmt.Sprintf("%s %s: %s %s", e.At.Local().Format("2006-01-02 15:04:05"), account, e.Verb, place(e.Side))
	if e.Mailbox != "" {
		text += " in " + string(e.Mailbox)
	}
	if !e.Ident.IsZero() {
		text += " [" + e.Ident.String()[:12] + "]"
	}
	if e.Text != "" {
		text += ": " + e.Text
	} else if e.To != "" {
		text += ": to " + string(e.To)
	}
	return text
}
