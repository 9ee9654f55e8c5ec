package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A verifyOptions is what the flags of verify say.
type verifyOptions struct {
	readData, repair bool
	// subset is the share of the archive's bytes to read, 0 for all or none;
	// rebuild makes its catalogue again.
	subset  float64
	rebuild bool
}

func (a *app) verifyCommand() *cobra.Command {
	var v verifyOptions
	var subset string
	cmd := &cobra.Command{
		Use:   "verify [ACCOUNT]",
		Short: "compare index, Maildir, archive and server, and mend what is damaged",
		Long: "Compares the index, the Maildir and the server with each other, mailbox by mailbox. Files that changed since\n" +
			"the last sync are read; with --read-data every message is read, on both sides. What a sync would carry over\n" +
			"is counted and is no fault.\n\n" +
			"Of an archive: that its catalogue hangs together and says what the manifests say, that these are an unbroken\n" +
			"chain, that every message has its file; with --read-data, every byte against its digest, or with\n" +
			"--read-data-subset those of some messages, that were not read for longest first, so that in time all are.\n\n" +
			"With --repair, a damaged file is replaced by the server's copy once that is proved to be the message, and the\n" +
			"damaged one is kept with what was deleted (see restore --deleted); a damaged index is set aside, and the next\n" +
			"sync builds a new one. An edited file is left alone. In an archive, a damaged message is fetched again from the\n" +
			"Maildir or the server, a catalogue is made again from the manifests, and a manifest from the catalogue. What was\n" +
			"damaged is kept. Nothing is ever deleted.\n\n" +
			"Exit codes: 0 sound, 1 damage was found, even if it was mended.",
		Example: "  godwit verify\n  godwit verify personal --read-data\n  godwit verify personal --read-data --repair\n  godwit verify personal --read-data-subset 5%",
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := v.take(subset); err != nil {
				return &usageError{err}
			}
			conf, err := a.load()
			if err != nil {
				return err
			}
			accounts, err := choose(conf, names)
			if err != nil {
				return err
			}
			for _, acc := range accounts {
				if len(names) == 0 && !acc.Synced() && !acc.Archived() {
					continue
				}
				if acc.Mode != config.ModeBackup && !v.rebuild {
					a.verifyAccount(cmd.Context(), acc, v)
				}
				if acc.Archived() && cmd.Context().Err() == nil {
					a.verifyArchive(cmd.Context(), acc, v)
				}
				if err := cmd.Context().Err(); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&v.readData, "read-data", false, "read every message on both sides and compare its digest")
	cmd.Flags().StringVar(&subset, "read-data-subset", "", "read as many messages of an archive as make up this `SHARE` of its bytes, as in 5%")
	cmd.Flags().BoolVar(&v.repair, "repair", false, "mend what is damaged; nothing is deleted")
	cmd.Flags().BoolVar(&v.rebuild, "rebuild-catalogue", false, "make the catalogue of an archive again from its manifests and messages")
	return cmd
}

// take takes the share of --read-data-subset.
func (v *verifyOptions) take(subset string) error {
	if subset == "" {
		return nil
	}
	number, percent := strings.CutSuffix(subset, "%")
	share, err := strconv.ParseFloat(number, 64)
	if err != nil || !percent || !(share > 0 && share <= 100) {
		return fmt.Errorf("--read-data-subset %q: give a share in percent, as in 5%%", subset)
	}
	if v.readData {
		return errors.New("--read-data reads all: leave out --read-data-subset")
	}
	v.subset = share / 100
	return nil
}

// verifyAccount verifies one account. Whatever becomes of it, the others go on.
func (a *app) verifyAccount(ctx context.Context, acc *config.Account, v verifyOptions) {
	if err := inMaildir(acc); err != nil {
		a.fail(acc.Name, err)
		return
	}
	if _, err := os.Stat(acc.IndexFile()); errors.Is(err, fs.ErrNotExist) {
		a.verifyWithoutIndex(acc)
		return
	}
	lock, err := lockState(acc.State)
	if err != nil {
		a.fail(acc.Name, err)
		return
	}
	damaged, err := a.verifyLocked(ctx, acc, v)
	if damaged && ctx.Err() == nil {
		err = errors.Join(err, a.rebuildIndex(acc, v.repair))
	}
	if err = errors.Join(err, lock.Unlock()); err != nil && ctx.Err() == nil {
		a.fail(acc.Name, err)
	}
}

// verifyWithoutIndex tells of an account whose index is not there.
func (a *app) verifyWithoutIndex(acc *config.Account) {
	_, ranErr := store.ReadLastRun(acc.State)
	_, rootErr := os.Stat(filepath.Join(acc.Maildir, ".godwit"))
	if ranErr != nil && rootErr != nil {
		a.out.info("%s: was never synchronised: there is nothing to compare", acc.Name)
		return
	}
	a.showFinding(acc, engine.Finding{Kind: engine.FoundIndex, Text: "the index is gone, so nothing can be compared: the next sync matches both sides anew, copies nothing that both have, and deletes nothing"})
	a.code = worse(a.code, exitFailed)
}

// verifyLocked does the work under the lock. damaged says that the index is.
func (a *app) verifyLocked(ctx context.Context, acc *config.Account, v verifyOptions) (damaged bool, err error) {
	o := &opened{}
	defer func() { err = errors.Join(err, o.close()) }()
	if o.index, err = store.Open(ctx, acc.State); err != nil {
		if !errors.Is(err, store.ErrDamaged) {
			return false, err
		}
		a.showFinding(acc, engine.Finding{Kind: engine.FoundIndex, Text: err.Error()})
		a.code = worse(a.code, exitFailed)
		return true, nil
	}
	if err := o.openSides(ctx, acc, syncOptions{}); err != nil {
		return false, err
	}
	report, err := engine.Verify(ctx, engine.VerifyOptions{
		Account: acc.Name, Local: o.local, Remote: o.remote, Index: o.index, Check: o.index.CheckConsistency,
		Keeper: keeper{o.index.Keeper(acc.State, acc.KeepDeleted, a.now)}, Bound: acc.Username + "@" + acc.Host, Scope: acc.Folders.InScope,
		ReadData: v.readData, Repair: v.repair, Clock: a.now,
		Found: func(f engine.Finding) { a.showFinding(acc, f) },
		Done:  func(b engine.VerifiedBox) { a.showVerified(acc, b) },
	})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	for _, f := range report.Findings {
		damaged = damaged || f.Kind == engine.FoundIndex
	}
	a.finishVerify(acc, report, v)
	return damaged || errors.Is(err, store.ErrDamaged), nil
}

// rebuildIndex sets a damaged index aside, or says how to.
func (a *app) rebuildIndex(acc *config.Account, repair bool) error {
	if !repair {
		a.complain(acc.Name, "the index is damaged: verify --repair sets it aside, and the next sync builds a new one from the mail of both sides")
		return nil
	}
	path, err := store.SetAside(acc.State, a.now())
	if err != nil {
		return fmt.Errorf("setting the damaged index aside: %w", err)
	}
	text := "the damaged index was set aside as " + path + ": the next sync builds a new one, copies nothing that both sides have, and deletes nothing"
	a.out.line("%s: %s", acc.Name, text)
	if a.json {
		done := true
		a.out.object(record{Type: "repair", Account: acc.Name, Finding: string(engine.FoundIndex), Repaired: &done, Text: text})
	}
	return nil
}

// showFinding tells of damage.
func (a *app) showFinding(acc *config.Account, f engine.Finding) {
	if a.json {
		r := record{Type: "finding", Account: acc.Name, Mailbox: string(f.Mailbox), Finding: string(f.Kind), Side: f.Side.String(),
			Digest: f.Digest.String(), Got: f.Got.String(), Text: f.Text, Repaired: &f.Repaired}
		if f.Why != nil {
			r.Reason = f.Why.Error()
		}
		a.out.object(r)
	}
	text := acc.Name + ": "
	if f.Mailbox != "" {
		text += string(f.Mailbox) + ": "
	}
	if f.Ref != "" {
		text += "message " + string(f.Ref) + " " + place(f.Side)
		if !f.Digest.IsZero() {
			text += " [" + f.Digest.String()[:12] + "]"
		}
		text += ": "
	}
	text += f.Text
	switch {
	case f.Repaired:
		text += "; replaced by the server's copy, the damaged file is kept"
	case f.Why != nil:
		text += "; not mended: " + f.Why.Error()
	}
	a.out.line("%s", text)
}

// verifyCounts are the numbers of one mailbox.
type verifyCounts struct {
	Known     bySide `json:"known"` // in the index
	There     bySide `json:"there"`
	New       bySide `json:"new"`
	Flags     bySide `json:"flags"`
	Gone      bySide `json:"gone"`
	Read      bySide `json:"read"`
	Unmatched bySide `json:"unmatched"`
	Touched   int    `json:"touched"`
	Edited    int    `json:"edited"`
	Sizes     int    `json:"sizes"`
	Waiting   int    `json:"waiting"`
	OneSided  int    `json:"one_sided"`
	Held      int    `json:"held"`
	Pending   int    `json:"pending"`
	Vanished  string `json:"vanished,omitempty"`
}

// showVerified tells of a mailbox that was looked at.
func (a *app) showVerified(acc *config.Account, b engine.VerifiedBox) {
	if a.json {
		c := &verifyCounts{
			Known: sides(b.Rows), There: sides(b.There), New: sides(b.New), Flags: sides(b.Flags), Gone: sides(b.Gone), Read: sides(b.Read),
			Unmatched: sides(b.Unmatched), Touched: b.Touched, Edited: b.Edited, Sizes: b.Sizes, Waiting: b.Waiting, OneSided: b.OneSided,
			Held: b.Held, Pending: b.Pending,
		}
		for _, s := range plan.Sides {
			if b.Vanished[s] {
				c.Vanished = s.String()
			}
		}
		a.out.object(record{Type: "mailbox", Account: acc.Name, Mailbox: string(b.Mailbox), Verified: c})
	}
	carry := carryText(b)
	if carry == "" && !a.verbose {
		return
	}
	text := fmt.Sprintf("%s: %s: %d here, %d on the server", acc.Name, b.Mailbox, b.There[plan.Local], b.There[plan.Remote])
	if n := b.Read; n[plan.Local]+n[plan.Remote] > 0 {
		text += fmt.Sprintf(", %d and %d read", n[plan.Local], n[plan.Remote])
	}
	if carry != "" {
		text += "; no damage: " + carry
	}
	a.out.info("%s", text)
}

// carryText lists what a sync would carry over, or has left as it is.
func carryText(b engine.VerifiedBox) string {
	var parts []string
	for _, s := range plan.Sides {
		for _, c := range []struct {
			n    [2]int
			what string
		}{{b.New, "new"}, {b.Flags, "with other flags"}, {b.Gone, "gone"}, {b.Unmatched, "to be matched anew"}} {
			if c.n[s] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s %s", c.n[s], c.what, place(s)))
			}
		}
		if b.Vanished[s] {
			parts = append(parts, "the mailbox is gone "+place(s))
		}
	}
	for _, c := range []struct {
		n    int
		what string
	}{
		{b.Edited, "edited here"}, {b.Touched, "touched here, the same bytes"}, {b.Waiting, "waiting for a copy"},
		{b.OneSided, "left on one side"}, {b.Held, "deletions held"}, {b.Pending, "pending"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// finishVerify sums up.
func (a *app) finishVerify(acc *config.Account, r *engine.VerifyReport, v verifyOptions) {
	exit := exitCode(r.Exit())
	for _, f := range r.Faults {
		a.fail(acc.Name, f)
	}
	a.code = worse(a.code, exit)
	known, mailboxes := [2]int{}, len(r.Boxes)
	for _, b := range r.Boxes {
		known[plan.Local] += b.Rows[plan.Local]
		known[plan.Remote] += b.Rows[plan.Remote]
	}
	text := fmt.Sprintf("%s in %s", count(known[plan.Local], "message"), count(mailboxes, "mailbox"))
	switch n := len(r.Findings); {
	case n > 0:
		text = fmt.Sprintf("%s: %s, %d mended", text, count(n, "fault"), r.Repaired())
	case len(r.Faults) > 0:
		text += ": not all could be looked at"
	case v.readData:
		text += ": sound, every message was read"
	default:
		text += ": sound; the bytes were not compared (--read-data does)"
	}
	a.out.info("%s: %s", acc.Name, text)
	if r.Adopt != "" {
		a.complain(acc.Name, "the next sync matches both sides anew, and deletes nothing: "+r.Adopt)
	}
	mendable := slices.ContainsFunc(r.Findings, func(f engine.Finding) bool {
		return f.Kind == engine.FoundDamaged || f.Kind == engine.FoundTruncated
	})
	if mendable && !v.repair {
		a.complain(acc.Name, "to mend damaged files, run verify --read-data --repair")
	}
	if a.json {
		code := int(exit)
		done := r.Repaired()
		a.out.object(record{Type: "verify", Account: acc.Name, Time: r.Ended.Format(time.RFC3339), Messages: known[plan.Local], Count: len(r.Findings),
			Text: fmt.Sprintf("%d repaired", done), Exit: &code})
	}
}
