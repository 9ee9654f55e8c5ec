package main

import (
	"context"
	"errors"
	"sync"

	"github.com/godwit-mail/godwit/cmd/godwit/hook"
	"github.com/godwit-mail/godwit/cmd/godwit/telemetry"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
)

// A leftover is what the last run of an account left to be done.
type leftover struct {
	mu                              sync.Mutex
	messages, mailboxes, unfinished int
	backup                          *store.LastBackup // nil if there was none
}

// backedUp takes over how a backup ended.
func (l *leftover) backedUp(last *store.LastBackup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backup = last
}

func (l *leftover) take(held, boxes, pending int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages, l.mailboxes, l.unfinished = held, boxes, pending
}

// tally is what is counted of a run.
func (r ran) tally() telemetry.Run {
	t := telemetry.Run{
		Took: r.report.Ended.Sub(r.report.Began), Copied: r.report.Copied, Flagged: r.report.Flagged, Moved: r.report.Moved, Deleted: r.report.Deleted,
		Bytes: r.report.CopiedBytes,
	}
	if err := r.result().Err; err != nil && !errors.Is(err, context.Canceled) {
		t.Failed, t.Class = true, string(mail.ClassOf(err))
	}
	return t
}

// standings are how all accounts stand, for telemetry.
func (d *daemon) standings() []telemetry.Standing {
	var out []telemetry.Standing
	for _, t := range d.duties() {
		s := t.worker.Status()
		st := telemetry.Standing{
			Account: s.Account, Working: s.Err == nil || s.Partial, State: string(s.State), LastOK: s.LastOK, Failures: s.Failures,
		}
		if s.Err != nil {
			st.Error = s.Err.Error()
		}
		for _, x := range s.Watches {
			st.Watches = append(st.Watches, telemetry.Watch{Name: x.Name, Up: x.Up})
		}
		t.left.mu.Lock()
		st.HeldMessages, st.HeldMailboxes, st.Pending = t.left.messages, t.left.mailboxes, t.left.unfinished
		last := t.left.backup
		t.left.mu.Unlock()
		if t.acc.Archived() {
			st.Backup = &telemetry.Backup{Alone: !t.acc.Synced()}
			if last != nil {
				st.Backup.LastOK, st.Backup.Generation, st.Backup.Made = last.LastOK, last.Generation, last.Made
				st.Backup.Stored, st.Backup.Incomplete, st.Backup.Quarantined = last.Stored, !last.Complete, last.Quarantined
			}
			// Other processes verify and drill: what they found is in two small files.
			proof, _ := store.ReadProof(t.acc.State) // status tells of one that cannot be read
			if v := proof.Verify; v != nil {
				st.Backup.Verified, st.Backup.Sound, st.Backup.Damage = v.Ended, v.LastOK, v.Damage-v.Mended
			}
			if v := proof.Drill; v != nil {
				st.Backup.Drilled, st.Backup.DrillOK = v.Ended, v.LastOK
			}
		}
		out = append(out, st)
	}
	return out
}

// hooked logs and counts a hook that ended.
func (d *daemon) hooked() func(hook.Outcome) {
	logged := hookLogged(d.log)
	return func(o hook.Outcome) {
		logged(o)
		d.tally.Hooked(o.Account, o.Kind, o.Err != nil)
	}
}
