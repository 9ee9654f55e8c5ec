package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
)

func (a *app) logCommand() *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use:   "log [ACCOUNT]",
		Short: "tell what happened to messages, and why",
		Long: "Prints the event log: what godwit did to which message, when and why. With --message, the events of one\n" +
			"message only, named by the digest that the log shows, or the beginning of it.",
		Example: "  godwit log personal\n  godwit log --message 3f2a91c04b7e",
		Args:    cobra.MaximumNArgs(1),
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
				if err := a.logAccount(cmd.Context(), acc, message); err != nil {
					if cmd.Context().Err() != nil {
						return err
					}
					a.fail(acc.Name, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "only the message with this digest, or one that begins with `ID`")
	return cmd
}

func (a *app) logAccount(ctx context.Context, acc *config.Account, message string) error {
	index, err := store.OpenReadOnly(ctx, acc.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // never synchronised: nothing happened
	}
	if err != nil {
		return err
	}
	defer index.Close()
	return index.Events(ctx, store.EventFilter{Message: message}, func(e plan.Event) error {
		if a.json {
			a.out.object(record{
				Type: "log", Time: e.At.Format(time.RFC3339), Account: acc.Name, Mailbox: string(e.Mailbox), Verb: e.Verb,
				Side: e.Side.String(), Digest: e.Ident.String(), Run: e.Run, Text: e.Text,
			})
		}
		a.out.line("%s", logText(acc.Name, e))
		return ctx.Err()
	})
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
	}
	return text
}
