package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// VerifyOptions is all that a verification is made of.
type VerifyOptions struct {
	Account       string
	Local, Remote Writer
	Index         Index
	Keeper        Keeper // where Repair keeps a damaged file; without it nothing is repaired
	// Check tells whether the index is sound in itself; nil asks nobody.
	Check func(context.Context) error
	Bound string // see Options.Bound
	Scope func(mail.MailboxName, mail.Role) bool

	// ReadData compares the bytes of every message of both sides with the
	// digests that the index has. Otherwise only files whose mark changed are read.
	ReadData bool
	// Repair replaces damaged files by the server's message.
	Repair bool

	Clock plan.Clock
	// Found is told of each finding, Done of each mailbox; both may be nil.
	Found func(Finding)
	Done  func(VerifiedBox)
}

// FindingKind says what is damaged. Kinds are part of the JSON output.
type FindingKind string

// The kinds of findings.
const (
	FoundIndex      FindingKind = "index"      // the index contradicts itself
	FoundRoot       FindingKind = "root"       // the Maildir is empty or absent although the index knows mail
	FoundDamaged    FindingKind = "damaged"    // a file has other bytes, and nothing says that anybody edited it
	FoundTruncated  FindingKind = "truncated"  // a file has only the beginning of its message
	FoundUnreadable FindingKind = "unreadable" // a message cannot be read
	FoundServer     FindingKind = "server"     // the server gives other bytes than it gave or took
	FoundDiffers    FindingKind = "differs"    // the sides have different bytes, and the index knows neither
	FoundNowhere    FindingKind = "nowhere"    // a message that the index knows is on neither side
)

// A Finding is damage to one message, or to the index.
type Finding struct {
	Kind    FindingKind
	Side    plan.Side
	Mailbox mail.MailboxName
	Ref     mail.Ref
	Row     int64
	Digest  mail.Digest // identity of the message as the index knows it
	Got     mail.Digest // identity of what is there instead
	Text    string      // for a person: lower case, one line
	// Repaired: it was mended. Otherwise Why says why not, where repair was asked for.
	Repaired bool
	Why      error
}

// A VerifiedBox is what a verification counted in one mailbox. Pairs are by
// side. But for Read, Rows and There it is what a sync would carry over, or
// has left as it is: none of it is damage.
type VerifiedBox struct {
	Mailbox mail.MailboxName
	Rows    [2]int // messages that the index has bound there
	There   [2]int // messages that are there
	New     [2]int // not known to the index
	Flags   [2]int // with other flags than the index knows
	Gone    [2]int // bound, and not there
	Touched int    // files with a new mark and the same message
	Edited  int    // files with another message under the same name
	Sizes   int    // messages whose size the server tells otherwise: a hint only
	// Unmatched: to be matched anew, as the server numbers its messages anew.
	Unmatched [2]int
	Waiting   int // to be found or copied at the next sync
	OneSided  int // settled: they stay on one side only
	Held      int // deletions held by the guard
	Pending   int // changes that were seen and are not yet carried over
	Vanished  [2]bool
	Read      [2]int // messages whose bytes were compared
}

// VerifyReport is the sum of a verification.
type VerifyReport struct {
	Began, Ended time.Time
	Boxes        []VerifiedBox
	Findings     []Finding
	// NewBoxes counts mailboxes that the index does not know, a side.
	NewBoxes [2]int
	Dormant  int // mailboxes out of scope, not looked at
	Intents  int // effects of a run that died, to be resolved at the next sync
	// Adopt: the next sync matches everything anew, Why says why.
	Adopt  string
	Faults []error // what could not be looked at
}

// Repaired counts the findings that were mended.
func (r *VerifyReport) Repaired() int {
	n := 0
	for _, f := range r.Findings {
		if f.Repaired {
			n++
		}
	}
	return n
}

// Exit is the exit code as the contract defines it: 0 sound, 1 damage, even
// if repaired, or something that could not be looked at.
func (r *VerifyReport) Exit() int {
	if len(r.Findings)+len(r.Faults) > 0 {
		return 1
	}
	return 0
}

// Verify compares the index, the Maildir and the server with each other,
// mailbox by mailbox. Unless Repair is set it changes nothing. What a sync
// would carry over is counted and is no finding. The error is an account
// fault or the context's; the report is whole as far as it goes.
func Verify(ctx context.Context, o VerifyOptions) (*VerifyReport, error) {
	v := &verifier{
		VerifyOptions: o, side: [2]Writer{o.Local, o.Remote}, gone: map[int64]*goneRow{},
		newRefs: map[mail.Ref]bool{}, newSizes: map[int64]bool{},
	}
	v.report.Began = o.Clock()
	err := v.verify(ctx)
	if ctx.Err() != nil {
		err = ctx.Err()
	} else if err != nil {
		v.report.Faults = append(v.report.Faults, err)
	}
	v.report.Ended = o.Clock()
	return &v.report, err
}

// verifier is the state of one verification.
type verifier struct {
	VerifyOptions
	report  VerifyReport
	side    [2]Writer
	meta    map[string]string
	root    *Root
	rebind  bool
	broken  bool // the index contradicts itself: nothing is mended by it
	stamped bool
	records []plan.BoxRecord
	survey  [2]map[mail.MailboxName]plan.Box
	held    map[mail.BoxID]int
	pending map[mail.BoxID]int

	// What may have moved: rows that a side lacks, and what is new.
	gone     map[int64]*goneRow
	newRefs  map[mail.Ref]bool // on the local side
	newSizes map[int64]bool    // on the remote side
	partial  bool              // a mailbox was not completely seen
}

// goneRow is a row that is missing where it should be.
type goneRow struct {
	row     plan.Row
	mailbox mail.MailboxName
	missing [2]bool
}

func (v *verifier) verify(ctx context.Context) error {
	if v.Check != nil {
		if err := v.Check(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			v.broken = true
			v.index(err)
		}
	}
	if err := v.remember(ctx); err != nil {
		return err
	}
	if ok, err := v.checkRoot(ctx); err != nil || !ok {
		return err
	}
	if err := v.surveyBoth(ctx); err != nil {
		return err
	}
	for i := range v.records {
		rec := &v.records[i]
		if rec.Dormant {
			v.report.Dormant++
			continue
		}
		err := v.verifyBox(ctx, rec)
		if err == nil {
			continue
		}
		if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
			return err
		}
		v.fault(rec, err)
	}
	return v.nowhere(ctx)
}

// index tells of each thing that is wrong with the index.
func (v *verifier) index(err error) {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		for _, e := range many.Unwrap() {
			v.found(Finding{Kind: FoundIndex, Text: e.Error()})
		}
		return
	}
	v.found(Finding{Kind: FoundIndex, Text: err.Error()})
}

func (v *verifier) found(f Finding) {
	v.report.Findings = append(v.report.Findings, f)
	if v.Found != nil {
		v.Found(f)
	}
}

func (v *verifier) fault(rec *plan.BoxRecord, err error) {
	v.partial = true
	v.report.Faults = append(v.report.Faults, fmt.Errorf("mailbox %s: %w", boxName(rec), err))
}

func boxName(rec *plan.BoxRecord) mail.MailboxName {
	if n := rec.Side[plan.Remote].Name; n != "" {
		return n
	}
	return rec.Side[plan.Local].Name
}

// remember loads what the index knows of the account as a whole.
func (v *verifier) remember(ctx context.Context) (err error) {
	if v.meta, err = v.Index.Meta(ctx); err != nil {
		return indexFault(err)
	}
	if v.records, err = v.Index.Boxes(ctx); err != nil {
		return indexFault(err)
	}
	held, err := v.Index.Held(ctx)
	if err != nil {
		return indexFault(err)
	}
	pending, err := v.Index.Pending(ctx)
	if err != nil {
		return indexFault(err)
	}
	intents, err := v.Index.Intents(ctx)
	if err != nil {
		return indexFault(err)
	}
	v.held, v.pending = map[mail.BoxID]int{}, map[mail.BoxID]int{}
	rows := map[int64]bool{}
	for _, h := range held {
		v.held[h.Box]++
		rows[h.Row] = true
	}
	for _, p := range pending {
		if !rows[p.Row] {
			v.pending[p.At.Box]++
		}
	}
	v.report.Intents = len(intents)
	return nil
}

// checkRoot looks whether the Maildir is the one that the index knows. ok is
// false if there is nothing to compare.
func (v *verifier) checkRoot(ctx context.Context) (ok bool, err error) {
	if b := v.meta[metaBound]; b != "" && b != v.Bound {
		v.rebind = true
		v.report.Adopt = "the account now names another server or user"
	}
	if v.meta[metaAdopting] == "1" {
		v.report.Adopt = "the last sync has begun to match both sides anew and has not finished"
	}
	rooted, is := v.Local.(Rooted)
	if !is {
		return true, nil
	}
	root, err := rooted.Root(ctx)
	if err != nil {
		return false, err
	}
	v.root = &root
	known := 0
	for _, rec := range v.records {
		known += rec.Side[plan.Local].Known
	}
	runs, _ := strconv.ParseInt(v.meta[metaRuns], 10, 64)
	switch {
	case known == 0:
	case !root.Marked && !root.Mail:
		v.found(Finding{Kind: FoundRoot, Side: plan.Local, Text: fmt.Sprintf(
			"the %s is empty or not there, although the index knows of %d messages in it: if its disk is not mounted, mount it; %s", root.Name(), known, root.Fill())})
		return false, nil
	case !root.Marked, root.Instance != v.meta[metaInstance], root.Runs != runs && root.Runs != runs+1:
		v.report.Adopt = "the " + root.Name() + " is not the one of the last run (restored, copied or replaced)"
	case crashed(v.meta, root):
		v.report.Adopt = "the machine was restarted since mail was written with fsync = false, and may have lost some of it"
	}
	return true, nil
}

// surveyBoth lists the mailboxes of both sides and tells the sides their numbers.
func (v *verifier) surveyBoth(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range plan.Sides {
		g.Go(func() error {
			boxes, err := v.side[s].Survey(gctx, nil)
			v.survey[s] = make(map[mail.MailboxName]plan.Box, len(boxes))
			for _, b := range boxes {
				v.survey[s][b.Name] = b
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, s := range plan.Sides {
		names, known := map[mail.BoxID]mail.MailboxName{}, map[mail.MailboxName]bool{}
		for _, rec := range v.records {
			name := rec.Side[s].Name
			known[name] = true
			if b, there := v.survey[s][name]; there && !b.Container && !rec.Dormant {
				names[rec.ID] = name
			}
		}
		for name, b := range v.survey[s] {
			if !known[name] && !b.Container && (v.Scope == nil || v.Scope(name, b.Role)) {
				v.report.NewBoxes[s]++
			}
		}
		v.side[s].Bind(names)
	}
	return nil
}

// nowhere tells of messages that are on neither side: nothing new on either
// can be one of them, and a second look on both sides finds none of them in
// any mailbox.
func (v *verifier) nowhere(ctx context.Context) error {
	if v.partial || v.report.Adopt != "" || v.report.Intents > 0 || v.report.NewBoxes[plan.Remote] > 0 {
		return nil
	}
	var lost []*goneRow
	for _, id := range sortedKeys(v.gone) {
		g := v.gone[id]
		size := g.row.Ident[plan.Remote].Size
		mayBeNew := v.newRefs[g.row.At[plan.Local].Ref] || size == 0 && len(v.newSizes) > 0 || v.newSizes[size] || v.newSizes[0]
		if g.missing[plan.Local] && g.missing[plan.Remote] && !mayBeNew {
			lost = append(lost, g)
		}
	}
	for _, s := range plan.Sides {
		var err error
		if lost, err = v.surelyGone(ctx, s, lost); err != nil {
			return err
		}
	}
	for _, g := range lost {
		v.found(Finding{Kind: FoundNowhere, Mailbox: g.mailbox, Row: g.row.ID, Digest: bodyOf(&g.row),
			Text: "the message is on neither side any more: deleted on both, or lost; the next sync forgets it"})
	}
	return nil
}

// surelyGone keeps those of list that a second look does not find on a side.
func (v *verifier) surelyGone(ctx context.Context, s plan.Side, list []*goneRow) ([]*goneRow, error) {
	if len(list) == 0 {
		return nil, nil
	}
	gone := make([]plan.Gone, len(list))
	for i, g := range list {
		gone[i] = plan.Gone{At: g.row.At[s], Ident: g.row.Ident[s]}
	}
	sure, _, err := v.side[s].Confirm(ctx, gone)
	return slices.DeleteFunc(list, func(g *goneRow) bool { return !slices.Contains(sure, g.row.At[s]) }), err
}
