package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/worker"
)

// statusCounts is what is known of an account, or of one of its mailboxes.
type statusCounts struct {
	Here     int    `json:"here"` // messages known in the Maildir
	There    int    `json:"there"`
	Waiting  int    `json:"pending_changes"`
	HeldNow  int    `json:"held_deletions"`
	Since    string `json:"held_since,omitempty"`
	Refused  int    `json:"declined_asymmetries"`
	Dormant  bool   `json:"dormant,omitempty"`
	Vanished string `json:"vanished,omitempty"` // the side that lists it no longer

	LastRun  string `json:"last_run,omitempty"`
	LastExit *int   `json:"last_exit,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [ACCOUNT…]",
		Short: "tell how each account and mailbox stands",
		Long: "Tells of each account and mailbox when it last ran, how much mail it has, and what is held, pending or declined,\n" +
			"and how old its backup is;\n" +
			"where a daemon runs, also what it does, watches and waits for. Otherwise it reads the index only: it works without\n" +
			"the network, and while a sync runs.",
		RunE: func(cmd *cobra.Command, names []string) error {
			conf, err := a.load()
			if err != nil {
				return err
			}
			accounts, err := choose(conf, names)
			if err != nil {
				return err
			}
			live, err := a.liveStatuses(cmd.Context(), conf)
			if err != nil {
				a.fail("", err)
			}
			for _, acc := range accounts {
				if err := a.statusAccount(cmd.Context(), acc, live[acc.Name]); err != nil {
					if cmd.Context().Err() != nil {
						return err
					}
					a.fail(acc.Name, err)
				}
			}
			return nil
		},
	}
}

// A state is all that status tells of one account.
type state struct {
	last     store.LastRun
	ran      bool
	boxes    []store.MailboxStatus
	held     []plan.Held
	pending  []plan.Pending
	declines []plan.Decline
	proof    store.Proof
	live     *liveStatus // nil: no daemon runs
}

// liveStatuses asks a running daemon, by account; there are none if none runs.
func (a *app) liveStatuses(ctx context.Context, conf *config.Config) (map[string]*liveStatus, error) {
	all := map[string]*liveStatus{}
	_, _, err := a.askDaemon(ctx, conf, "status", nil, func(told sent) error {
		if told.Status != nil {
			all[told.Status.Account] = told.Status
		}
		return nil
	})
	return all, err
}

func (a *app) statusAccount(ctx context.Context, acc *config.Account, live *liveStatus) error {
	s, err := readState(ctx, acc)
	if err != nil {
		return err
	}
	s.live = live
	if a.json {
		a.statusObjects(acc, s)
	}
	a.out.line("%s  %s@%s  %s", acc.Name, acc.Username, acc.Host, maildirText(acc))
	a.liveLines(s.live)
	a.out.line("  last run: %s", a.lastRunText(s))
	for _, e := range s.last.Errors {
		a.out.line("  error: %s", e)
	}
	a.backupLines(acc, s.last.Backup)
	a.proofLines(acc, s.proof)
	a.statusTable(s)
	a.statusWaiting(acc, s)
	for _, h := range s.last.Hints {
		a.out.line("  to do: %s", h)
	}
	return nil
}

// statusWaiting tells what is held, pending and declined.
func (a *app) statusWaiting(acc *config.Account, s *state) {
	names := map[mail.BoxID]string{}
	for _, b := range s.boxes {
		names[b.Box.ID] = boxName(b.Box)
	}
	held := heldByBox(s.held)
	for _, box := range slices.Sorted(maps.Keys(held)) {
		h := held[box]
		a.out.line("  held: %s from %s, for %s: godwit sync %s --accept-deletes carries them out, --reject-deletes undoes them",
			count(h.n, "deletion"), names[box], ageText(a.now().Sub(h.since)), acc.Name)
	}
	for _, p := range pendingGroups(s.pending) {
		a.out.line("  pending: %s in %s, for %s: %s", count(p.n, "change"), names[p.box], ageText(a.now().Sub(p.since)), p.text)
	}
	for _, d := range s.declines {
		a.out.line("  declined by %s: %s: %s", sideName(d.Side), names[d.Box], d.Text)
	}
}

func readState(ctx context.Context, acc *config.Account) (*state, error) {
	s := &state{}
	var err error
	s.last, err = store.ReadLastRun(acc.State)
	s.ran = err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if s.proof, err = store.ReadProof(acc.State); err != nil {
		return nil, err
	}
	index, err := store.OpenReadOnly(ctx, acc.State)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	defer index.Close()
	if s.boxes, err = index.Status(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(s.boxes, func(a, b store.MailboxStatus) int { return cmp.Compare(listOrder(a.Box), listOrder(b.Box)) })
	if s.held, err = index.Held(ctx); err != nil {
		return nil, err
	}
	pending, err := index.Pending(ctx)
	if err != nil {
		return nil, err
	}
	s.pending = withoutHeld(pending, s.held)
	s.declines, err = index.Declines(ctx)
	return s, err
}

// listOrder puts INBOX and its children first in a list, then goes by name,
// with children behind their parents.
func listOrder(b plan.BoxRecord) string { return nameOrder(boxName(b)) }

func nameOrder(name string) string {
	name = strings.ReplaceAll(name, "/", "\x00")
	if rest, ok := strings.CutPrefix(name, string(mail.Inbox)); ok && (rest == "" || rest[0] == 0) {
		return rest
	}
	return name
}

func (a *app) lastRunText(s *state) string {
	if !s.ran {
		return "never"
	}
	result := map[int]string{0: "both sides agreed", 1: "something failed", 2: "the configuration was wrong", 3: "something is held", 130: "interrupted"}[s.last.Exit]
	if result == "" {
		result = fmt.Sprintf("exit %d", s.last.Exit)
	}
	return fmt.Sprintf("%s (%s ago), %s", s.last.Ended.Local().Format("2006-01-02 15:04:05"), ageText(a.now().Sub(s.last.Ended)), result)
}

// liveLines tell how the account stands with its daemon.
func (a *app) liveLines(l *liveStatus) {
	if l == nil {
		return
	}
	text := l.State
	if !l.Next.IsZero() && l.State != string(worker.Running) {
		text += ", next run " + l.Next.Local().Format("2006-01-02 15:04:05")
	}
	a.out.line("  daemon: %s", text)
	if l.Failures > 0 {
		a.out.line("  failing for %s, %s: %s", ageText(a.now().Sub(l.Since)), count(l.Failures, "attempt"), l.Error)
	}
	for _, x := range l.Watches {
		switch {
		case x.Error != "":
			a.out.line("  not watching the %s for %s: %s", x.Name, ageText(a.now().Sub(x.Since)), x.Error)
		case x.Up && x.Note != "":
			a.out.line("  watching the %s: %s", x.Name, x.Note)
		case x.Up:
			a.out.line("  watching the %s", x.Name)
		}
	}
}

func maildirText(acc *config.Account) string {
	switch {
	case acc.Mode == config.ModeBackup:
		return "(archive only)"
	case acc.Maildir == "":
		return "(no maildir)"
	}
	return fmt.Sprintf("%s (%s)", acc.Maildir, acc.Mode)
}

// statusTable shows a line a mailbox.
func (a *app) statusTable(s *state) {
	if len(s.boxes) == 0 {
		return
	}
	pending := pendingByBox(s.pending)
	width := len("mailbox")
	for _, b := range s.boxes {
		width = max(width, len([]rune(boxName(b.Box))))
	}
	a.out.line("  %-*s  %9s  %9s", width, "mailbox", "here", "server")
	for _, b := range s.boxes {
		b.Pending = pending[b.Box.ID]
		a.out.line("  %-*s  %9d  %9d%s", width, boxName(b.Box), b.Box.Side[plan.Local].Known, b.Box.Side[plan.Remote].Known, boxNotes(b))
	}
}

func boxNotes(b store.MailboxStatus) string {
	var notes []string
	if b.Box.Dormant {
		notes = append(notes, "left out by folders")
	}
	if side := vanished(b.Box); side != "" {
		notes = append(notes, "vanished "+side+", held")
	}
	if b.Held > 0 {
		notes = append(notes, count(b.Held, "deletion")+" held")
	}
	if b.Pending > 0 {
		notes = append(notes, count(b.Pending, "change")+" pending")
	}
	if b.Declined > 0 {
		notes = append(notes, fmt.Sprintf("%d declined", b.Declined))
	}
	if len(notes) == 0 {
		return ""
	}
	return "  " + strings.Join(notes, ", ")
}

func vanished(b plan.BoxRecord) string {
	switch {
	case b.Side[plan.Local].Missing:
		return place(plan.Local)
	case b.Side[plan.Remote].Missing:
		return place(plan.Remote)
	}
	return ""
}

func boxName(b plan.BoxRecord) string {
	if name := b.Side[plan.Remote].Name; name != "" {
		return string(name)
	}
	return string(b.Side[plan.Local].Name)
}

func sideName(s plan.Side) string {
	if s == plan.Local {
		return "the Maildir"
	}
	return "the server"
}

// withoutHeld leaves out what is pending only because it is held.
func withoutHeld(pending []plan.Pending, held []plan.Held) []plan.Pending {
	rows := map[int64]bool{}
	for _, h := range held {
		rows[h.Row] = true
	}
	return slices.DeleteFunc(pending, func(p plan.Pending) bool { return p.Row != 0 && rows[p.Row] })
}

func pendingByBox(pending []plan.Pending) map[mail.BoxID]int {
	out := map[mail.BoxID]int{}
	for _, p := range pending {
		out[p.At.Box]++
	}
	return out
}

// A pendingGroup is changes of one mailbox that wait for one reason.
type pendingGroup struct {
	box   mail.BoxID
	text  string
	n     int
	since time.Time
}

// pendingGroups are in the order in which they first come.
func pendingGroups(pending []plan.Pending) []pendingGroup {
	var out []pendingGroup
	for _, p := range pending {
		text := p.Text
		if text == "" {
			text = string(p.Why)
		}
		i := slices.IndexFunc(out, func(g pendingGroup) bool { return g.box == p.At.Box && g.text == text })
		if i < 0 {
			i = len(out)
			out = append(out, pendingGroup{box: p.At.Box, text: text, since: p.Since})
		}
		out[i].n++
		if p.Since.Before(out[i].since) {
			out[i].since = p.Since
		}
	}
	return out
}

type heldBox struct {
	n     int
	since time.Time
}

func heldByBox(held []plan.Held) map[mail.BoxID]heldBox {
	out := map[mail.BoxID]heldBox{}
	for _, h := range held {
		b := out[h.Box]
		b.n++
		if b.since.IsZero() || h.Since.Before(b.since) {
			b.since = h.Since
		}
		out[h.Box] = b
	}
	return out
}

// statusObjects prints the account and each mailbox as JSON.
func (a *app) statusObjects(acc *config.Account, s *state) {
	all := &statusCounts{Refused: len(s.declines), Waiting: len(s.pending), HeldNow: len(s.held)}
	if s.ran {
		all.LastRun, all.LastExit = s.last.Ended.Format(time.RFC3339), &s.last.Exit
	}
	held, pending := heldByBox(s.held), pendingByBox(s.pending)
	for _, b := range s.boxes {
		c := &statusCounts{
			Here: b.Box.Side[plan.Local].Known, There: b.Box.Side[plan.Remote].Known,
			Waiting: pending[b.Box.ID], HeldNow: b.Held, Refused: b.Declined, Dormant: b.Box.Dormant,
		}
		for _, side := range plan.Sides {
			if b.Box.Side[side].Missing {
				c.Vanished = side.String()
			}
		}
		if h, ok := held[b.Box.ID]; ok {
			c.Since = h.since.Format(time.RFC3339)
		}
		all.Here += c.Here
		all.There += c.There
		a.out.object(record{Type: "mailbox", Account: acc.Name, Mailbox: boxName(b.Box), statusCounts: c})
	}
	a.out.object(record{Type: "account", Account: acc.Name, statusCounts: all, LastBackup: s.last.Backup, Proof: s.proof.OrNil(), Daemon: s.live, Text: strings.Join(s.last.Errors, "; ")})
}
