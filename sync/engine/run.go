package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Run synchronises once. The report is always whole, also beside an error;
// the error is an account fault or the context's, and is in Report.Faults too
// unless it is the context's.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := newRun(o)
	r.report.Began = o.Clock()
	err := r.run(ctx)
	if err != nil && ctx.Err() == nil {
		r.fault(plan.Local, "", err, true)
	}
	r.report.Ended = o.Clock()
	if !o.DryRun {
		if e := r.endRun(context.WithoutCancel(ctx)); e != nil && err == nil {
			err = e
			r.fault(plan.Local, "", e, true)
		}
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return &r.report, err
}

// run is the state of one run.
type run struct {
	Options
	report Report
	side   [2]Writer
	meta   map[string]string // what the index remembers, and what this run adds
	// learned goes into the index's Meta at the end.
	learned map[string]string
	root    *Root
	adopt   bool // no deletions, flags by union
	rebind  bool // the server is another one: no Ref on it means anything
	runs    int64
	stamp   bool // the root has been stamped in this run
	wrote   bool // the index was written to
	rebound bool // and with it, where messages are bound

	stored  map[mail.BoxID]plan.BoxRecord // as the index has them
	known   map[mail.BoxID]string         // MAILBOXIDs at the last run
	records []plan.BoxRecord              // as they should be
	at      map[mail.BoxID]int            // where in records
	there   map[mail.BoxID][2]bool
	survey  [2]map[mail.MailboxName]plan.Box
	removes []plan.FolderOp
	// losing are the mailboxes from which messages are yet to be deleted,
	// movesLeft the moves out of them that failed.
	losing    map[plan.SideBox]bool
	movesLeft []plan.Move
	flagsLast bool // see flag
	// notFollowed are mailboxes whose rename on that side could not be
	// carried over.
	notFollowed map[mail.BoxID]plan.Side

	view      map[plan.SideBox]plan.View
	scanned   map[plan.SideBox]plan.Scanned
	full      map[plan.SideBox]bool // was compared in full
	unsettled map[plan.SideBox]bool
	reset     map[plan.SideBox]bool // the epoch changed in this run
	// unknown are messages that no decision may be taken about, because an
	// intent that concerns them could not be resolved.
	unknown  map[plan.SideBox]map[mail.Ref]bool
	intended map[int64]plan.Side // rows with an open intent there that could not be resolved
	unbind   []plan.Row          // rows that lost a place in this run, for the plan
	// rights are those at the last run; reopened says that the rows which they
	// kept, and which may go now, have been let go.
	rights    map[mail.BoxID][2]plan.Rights
	reopened  bool
	kept      map[int64]bool // rows that lay on one side alone before an adoption
	forgotten []int64        // of those, the ones that are looked at as new

	changes []plan.Change
	rows    map[int64]*plan.Row
	dropped map[int64]bool
	counts  map[mail.BoxID]int
	held    map[int64]plan.Held
	passed  map[int64]bool // rows whose deletion the user accepted
	losses  []plan.LossRecord
	pending []plan.Pending
	pended  map[pendingKey]bool // what is in pending
	was     map[pendingKey]plan.Pending
	holding map[int64]plan.Held
	decline map[declineKey]bool
	noted   []plan.Decline
	events  []plan.Event
	due     plan.Settlement // see dueAlso
	spare   []plan.Intent   // room for those of the next chunk, see commit
	failed  failedCopies    // messages whose copy failed in this run

	late    []plan.Intent // copies that may still turn up, see late.go
	doubles []double      // those that have

	boundBefore func(plan.Place) bool // on the remote side, before this run's copies

	placedAt map[plan.Place]bool // where this run's copies lie on the remote side
}

type pendingKey struct {
	side plan.Side
	at   plan.Place
	kind plan.Kind
}

type declineKey struct {
	side plan.Side
	box  mail.BoxID
	what string
}

func newRun(o Options) *run {
	return &run{
		Options: o, side: [2]Writer{o.Local, o.Remote},
		there:       map[mail.BoxID][2]bool{},
		known:       map[mail.BoxID]string{},
		rights:      map[mail.BoxID][2]plan.Rights{},
		kept:        map[int64]bool{},
		view:        map[plan.SideBox]plan.View{},
		scanned:     map[plan.SideBox]plan.Scanned{},
		full:        map[plan.SideBox]bool{},
		unsettled:   map[plan.SideBox]bool{},
		notFollowed: map[mail.BoxID]plan.Side{},
		reset:       map[plan.SideBox]bool{},
		unknown:     map[plan.SideBox]map[mail.Ref]bool{},
		intended:    map[int64]plan.Side{},
		rows:        map[int64]*plan.Row{},
		dropped:     map[int64]bool{},
		learned:     map[string]string{},
		placedAt:    map[plan.Place]bool{},
		was:         map[pendingKey]plan.Pending{},
		pended:      map[pendingKey]bool{},
		at:          map[mail.BoxID]int{},
		holding:     map[int64]plan.Held{},
		decline:     map[declineKey]bool{},
	}
}

// run goes through the phases. An error ends the run.
func (r *run) run(ctx context.Context) error {
	if err := r.remember(ctx); err != nil {
		return err
	}
	if ok, err := r.checkRoot(ctx); err != nil || !ok {
		return err
	}
	r.phase(PhaseSurvey)
	if err := r.surveyBoth(ctx); err != nil {
		return err
	}
	if err := r.folders(ctx); err != nil {
		return err
	}
	r.report.Anew = r.adopt
	if err := r.resolveIntents(ctx); err != nil {
		return err
	}
	r.phase(PhaseScan)
	if err := r.scanBoth(ctx); err != nil {
		return err
	}
	r.phase(PhasePlan)
	p, err := r.decide(ctx)
	if err != nil {
		return err
	}
	r.changes = nil // the plan has what is needed of them
	r.announce(&p)
	if r.DryRun {
		return r.show(ctx, &p)
	}
	r.phase(PhaseApply)
	applyErr := r.apply(ctx, &p)
	r.phase(PhaseSettle)
	r.settleRun(applyErr == nil)
	return applyErr
}

// Keys of the index's Meta.
const (
	metaInstance = "instance" // random; names this pair of sides
	metaRuns     = "runs"     // the root marker's counter
	metaBound    = "bound"    // Options.Bound of the last run
	metaMode     = "mode"
	metaAdopting = "adopting" // "1": an adoption was begun and is not finished
	metaUnsynced = "unsynced" // the boot in which runs wrote to a root that does not sync
)

// remember takes over what the index knows of the account as a whole.
func (r *run) remember(ctx context.Context) error {
	m := r.Memory
	if m == nil {
		var err error
		if m, err = Remember(ctx, r.Index); err != nil {
			return err
		}
	}
	r.meta, r.records, r.losses = m.meta, m.boxes, m.losses
	r.recall()
	if r.meta[metaInstance] == "" {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		r.meta[metaInstance] = hex.EncodeToString(b[:])
	}
	r.runs, _ = strconv.ParseInt(r.meta[metaRuns], 10, 64)
	r.stored = make(map[mail.BoxID]plan.BoxRecord, len(r.records))
	r.counts = make(map[mail.BoxID]int, len(r.records))
	for _, b := range r.records {
		r.stored[b.ID] = b
		r.known[b.ID] = b.Side[plan.Remote].ID
		r.rights[b.ID] = [2]plan.Rights{b.Side[plan.Local].Rights, b.Side[plan.Remote].Rights}
		r.counts[b.ID] = max(b.Side[plan.Local].Known, b.Side[plan.Remote].Known)
	}
	r.held = make(map[int64]plan.Held, len(m.held))
	for _, h := range m.held {
		r.held[h.Row] = h
	}
	for _, p := range m.pending {
		r.was[pendingKey{p.Side, p.At, p.Kind}] = p
	}
	for _, d := range m.declines {
		r.decline[declineKey{d.Side, d.Box, d.What}] = true
	}
	return nil
}

// indexFault makes an error of the index stop the account: nothing may be
// done that cannot be remembered.
func indexFault(err error) error {
	return mail.NewFault(mail.GradeAccount, mail.ClassLocal, fmt.Errorf("the index: %w", err), "")
}

// checkRoot looks whether the local root is the one the index knows. ok is
// false if the run must not go on.
func (r *run) checkRoot(ctx context.Context) (ok bool, err error) {
	known := 0
	for _, n := range r.counts {
		known += n
	}
	r.adopt = r.Adopt || r.meta[metaAdopting] == "1"
	if r.meta[metaBound] != "" && r.meta[metaBound] != r.Bound {
		r.adopt, r.rebind = true, true
		r.meta[metaFaithful], r.learned[metaFaithful] = "", ""
		r.note(Event{Text: "the account now names another server or user: nothing is deleted, both sides are joined"})
	}
	if old := r.meta[metaMode]; old != "" && old != r.Mode && old != "mirror" {
		r.adopt = true
		r.note(Event{Text: "the mode changed from " + old + " to " + r.Mode + ": nothing is deleted, both sides are joined"})
	}
	rooted, is := r.Local.(Rooted)
	if !is {
		return true, nil
	}
	root, err := rooted.Root(ctx)
	if err != nil {
		return false, err
	}
	r.root = &root
	switch {
	case known == 0:
	case !root.Marked && !root.Mail:
		return r.emptyRoot(), nil
	case !root.Marked, root.Instance != r.meta[metaInstance], root.Runs != r.runs && root.Runs != r.runs+1:
		r.adopt = true
		r.note(Event{Text: "the " + root.Name() + " is not the one of the last run (restored, copied or replaced): nothing is deleted, both sides are joined"})
	case crashed(r.meta, root):
		r.adopt = true
		r.note(Event{Text: "the machine was restarted since mail was written with fsync = false, and may have lost some of it: nothing is deleted, both sides are joined"})
	}
	return true, nil
}

// crashed tells whether what earlier runs wrote without making it durable may
// have been lost by a crash of the machine.
func crashed(meta map[string]string, root Root) bool {
	was := meta[metaUnsynced]
	return was != "" && was != root.Boot
}

// unsynced is what is to be remembered of a root that is about to be written
// to: the boot whose writes may be lost. Where a root syncs now, what was
// written before it did is safe only for as long as the machine runs.
func unsynced(meta map[string]string, root *Root) string {
	switch {
	case root == nil || !root.Unsynced && crashed(meta, *root):
		return ""
	case root.Unsynced:
		return root.Boot
	}
	return meta[metaUnsynced]
}

// emptyRoot decides about a root without mail and marker where mail should be.
func (r *run) emptyRoot() bool {
	if r.Reject {
		r.adopt = true
		return true
	}
	r.report.EmptyRoot = true
	what := "is empty"
	if !r.root.Exists {
		what = "does not exist"
	}
	r.report.Hints = append(r.report.Hints, "the "+r.root.Name()+" "+what+" although it held mail at the last run: if its disk is not mounted, mount it; "+r.root.Fill())
	r.emit(Event{Kind: Held, Reason: plan.ReasonVanished, Text: "the " + r.root.Name() + " " + what + ": nothing was done"})
	return false
}

// died tells whether a run stamped the root and ended before the index said
// so. A copy of the tree may have been made since: what comes now is told from
// it by another number.
func died(meta map[string]string, root Root, runs int64) bool {
	return root.Marked && root.Instance == meta[metaInstance] && root.Runs == runs+1
}

// stampRoot marks the root as that of this run, before the index says so; the
// index does before the first effect.
func (r *run) stampRoot(ctx context.Context) error {
	if r.stamp || r.DryRun {
		return nil
	}
	r.stamp = true
	first := map[string]string{}
	if r.adopt && r.meta[metaAdopting] != "1" {
		first[metaAdopting] = "1"
	}
	if r.root != nil && died(r.meta, *r.root, r.runs) {
		r.runs++
		first[metaRuns] = strconv.FormatInt(r.runs, 10)
	}
	if len(first) > 0 {
		if err := r.settle(ctx, &plan.Settlement{Meta: first}); err != nil {
			return err
		}
	}
	if rooted, is := r.Local.(Rooted); is {
		if err := rooted.Stamp(ctx, r.meta[metaInstance], r.runs+1); err != nil {
			return err
		}
	}
	r.dueAlso(&plan.Settlement{Meta: map[string]string{
		metaInstance: r.meta[metaInstance], metaRuns: strconv.FormatInt(r.runs+1, 10),
		metaBound: r.Bound, metaMode: r.Mode, metaUnsynced: unsynced(r.meta, r.root),
	}})
	return nil
}

// fullDue tells whether a mailbox is to be compared whatever its cursor says:
// by the age of the last full comparison, or since the clock has gone back
// behind it so far that its age says nothing.
func fullDue(b plan.BoxSide, now time.Time) bool {
	age := now.Sub(b.FullAt)
	return age > 7*24*time.Hour || age > 24*time.Hour && b.FullRuns >= 20 || age < -24*time.Hour
}
