package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/cmd/godwit/backup"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A tallied archive is how it stands against the server.
type tallied struct {
	Server      int `json:"server"` // messages there
	Archived    int `json:"archived"`
	Quarantined int `json:"quarantined"`
	New         int `json:"new"`     // to be taken by the next backup
	Gone        int `json:"gone"`    // their time ends with the next backup
	Lacking     int `json:"lacking"` // taken for archived, and are not
}

// reconcile compares what the server has, UID by UID, with what was archived
// and what is in quarantine, if it can be reached.
func (l *archiveLook) reconcile(ctx context.Context) {
	a := l.app
	index := l.index(ctx)
	if index == nil {
		a.out.info("%s: archive: not compared with the server: the index of the backup is not there; the next sync makes it anew", l.acc.Name)
		return
	}
	err := l.connect(ctx)
	var t *tallied
	if err == nil {
		t, err = l.tally(ctx, index)
	}
	if err != nil {
		if ctx.Err() == nil {
			a.out.info("%s: archive: not compared with the server: %v", l.acc.Name, err)
		}
		return
	}
	if a.json {
		a.out.object(record{Type: "reconciled", Account: l.acc.Name, Job: backup.Job, Tallied: t})
	}
	if t.Lacking > 0 {
		a.code = worse(a.code, exitFailed)
		a.out.line("%s: archive: the index of the backup takes %s for archived that the archive has not: move %s out of the way, and the next sync archives them",
			l.acc.Name, count(t.Lacking, "message"), l.acc.BackupDir())
	}
	text := fmt.Sprintf("%s on the server", count(t.Server, "message"))
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{t.Quarantined, "could not be had"}, {t.New, "to be archived by the next backup"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if t.Gone > 0 {
		parts = append(parts, fmt.Sprintf("%d in the archive are there no longer", t.Gone))
	}
	if len(parts) == 0 && t.Lacking == 0 {
		parts = []string{"all in the archive"}
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	a.out.info("%s: archive: %s", l.acc.Name, text)
}

// tally counts.
func (l *archiveLook) tally(ctx context.Context, index engine.Index) (*tallied, error) {
	there, quarantined, err := l.archived(ctx)
	if err != nil {
		return nil, err
	}
	boxes, err := l.server.Survey(ctx, nil)
	if err != nil {
		return nil, err
	}
	records, err := index.Boxes(ctx)
	if err != nil {
		return nil, err
	}
	known, names := map[mail.MailboxName]plan.BoxRecord{}, map[mail.BoxID]mail.MailboxName{}
	for _, rec := range records {
		known[rec.Side[plan.Remote].Name] = rec
		names[rec.ID] = rec.Side[plan.Remote].Name
	}
	l.server.Bind(names)
	t := &tallied{}
	for _, b := range boxes {
		rec, ok := known[b.Name]
		if b.Container || !l.acc.InArchive(b.Name, b.Role) {
			continue
		}
		if !ok {
			t.Server, t.New = t.Server+max(0, b.Count), t.New+max(0, b.Count)
			continue
		}
		if err := l.tallyBox(ctx, index, rec, there, quarantined, t); err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return t, nil
}

// archived are the Refs of all messages that lie in the archive now, and what
// is in quarantine.
func (l *archiveLook) archived(ctx context.Context) (map[mail.Ref]bool, map[archive.Quarantined]bool, error) {
	kept, err := archive.OpenReadOnly(ctx, l.acc.Archive)
	if err != nil {
		return nil, nil, err
	}
	defer kept.Close()
	there, quarantined := map[mail.Ref]bool{}, map[archive.Quarantined]bool{}
	list, err := kept.Quarantined(ctx)
	for _, q := range list {
		q.Why = ""
		quarantined[q] = true
	}
	if err != nil {
		return nil, nil, err
	}
	all, err := kept.Generations(ctx)
	if err != nil || len(all) == 0 {
		return there, quarantined, err
	}
	view := kept.View(all[len(all)-1].Number)
	boxes, err := view.Survey(ctx, nil)
	for i, b := range boxes {
		if err != nil || b.Container {
			continue
		}
		id := mail.BoxID(i + 1)
		view.Bind(map[mail.BoxID]mail.MailboxName{id: b.Name})
		_, err = view.Scan(ctx, id, plan.Since{}, func(s plan.Seen) error {
			there[s.Ref] = true
			return nil
		})
	}
	return there, quarantined, err
}

func (l *archiveLook) tallyBox(ctx context.Context, index engine.Index, rec plan.BoxRecord, there map[mail.Ref]bool, quarantined map[archive.Quarantined]bool, t *tallied) error {
	server := map[mail.Ref]bool{}
	sc, err := l.server.Scan(ctx, rec.ID, plan.Since{}, func(s plan.Seen) error {
		server[s.Ref] = true
		return nil
	})
	if err != nil {
		return err
	}
	t.Server += len(server)
	if sc.Epoch != rec.Side[plan.Remote].Epoch { // numbered anew: the next backup matches them
		t.New += len(server)
		return nil
	}
	rows, err := index.RowsIn(ctx, rec.ID)
	if err != nil {
		return err
	}
	for _, row := range rows {
		at := row.At[plan.Remote]
		if at.Box != rec.ID || at.IsZero() || row.At[plan.Local].IsZero() {
			continue
		}
		switch {
		case !there[row.At[plan.Local].Ref]:
			t.Lacking++
		case server[at.Ref]:
			t.Archived++
		default:
			t.Gone++
		}
		delete(server, at.Ref)
	}
	for ref := range server {
		q := archive.Quarantined{Mailbox: rec.Side[plan.Remote].Name, UIDValidity: sc.Epoch, UID: string(ref)}
		if quarantined[q] {
			t.Quarantined++
		} else {
			t.New++
		}
	}
	return nil
}
