package maildir

import (
	"context"
	"errors"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Scan yields every message of the mailbox, sorted by key.
func (m *Maildir) Scan(ctx context.Context, box mail.BoxID, _ plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	b, err := m.box(ctx, box)
	if err != nil {
		return plan.Scanned{}, err
	}
	f, err := m.open(b)
	if err != nil {
		return plan.Scanned{}, err
	}
	defer f.close()
	// The letters' meaning first: a letter that gets one meanwhile is told by
	// the cursor, which is not quiet then.
	words, err := f.keywords()
	if err != nil {
		return plan.Scanned{}, err
	}
	l, err := f.relist(ctx)
	if err != nil {
		return plan.Scanned{}, err
	}
	whole := *l // lookups replace the listing of the mailbox
	for _, e := range whole.entries {
		if err := ctx.Err(); err != nil {
			return plan.Scanned{}, err
		}
		item, ok, err := f.item(ctx, e, words)
		if err != nil && !errors.As(err, new(restless)) {
			return plan.Scanned{}, localFault(mail.GradeMailbox, err)
		}
		if !ok {
			// It went while we looked, or it would not stand still: either
			// way the listing is no longer what is there.
			whole.complete, whole.quiet = false, false
			continue
		}
		if err := yield(plan.Seen{Ref: mail.Ref(e.key()), Item: item}); err != nil {
			return plan.Scanned{}, err
		}
	}
	b.scan = viewOf(&whole)
	b.seen, b.stands = b.scan, whole.after
	return plan.Scanned{
		Epoch: epoch, Full: true, Complete: whole.complete, Count: len(whole.entries),
		Cursor: whole.after.cursor(len(whole.entries), whole.quiet && whole.complete && whole.after.keywords == words.mark),
	}, nil
}

// item looks at one message; ok is false if it is not there.
func (f *folder) item(ctx context.Context, e entry, words *table) (item mail.Item, ok bool, err error) {
	var st stat
	e, ok, err = f.hold(ctx, e, func(e entry) (err error) {
		st, err = f.part(e.inNew).stat(e.name)
		return err
	})
	if err != nil || !ok {
		return mail.Item{}, false, err
	}
	return newItem(e, st, words), true, nil
}

func newItem(e entry, st stat, words *table) mail.Item {
	key, info := splitName(e.name)
	flags, _ := letters(info)
	return mail.Item{
		Flags:   words.flags(flags),
		Date:    st.mtime,
		Ident:   mail.Identity{Size: st.size},
		Stat:    st.mark(),
		Token:   parseToken(key),
		HintUID: parseUID(key),
	}
}

// maxTries is how often a file that mail programs keep renaming is run after.
const maxTries = 30

// hold does something with the file of a message, looking for it again as
// long as a mail program renames it in between. ok is false if the message is
// not there. do must have no effect if it fails with ENOENT.
func (f *folder) hold(ctx context.Context, e entry, do func(entry) error) (entry, bool, error) {
	key := e.key()
	for range maxTries {
		err := do(e)
		if err == nil {
			return e, true, nil
		}
		if !gone(err) {
			return e, false, err
		}
		if l := f.box.list; l != nil {
			if next, ok := l.find(key); ok && next != e {
				e = next // a later listing than the one e is from
				continue
			}
		}
		l, err := f.relist(ctx)
		if err != nil {
			return e, false, err
		}
		next, ok := l.find(key)
		if !ok && l.complete {
			return e, false, nil
		}
		if ok {
			e = next
		}
	}
	return e, false, mail.NewFault(mail.GradeMessage, mail.ClassLocal, restless{f.top.path, key},
		"run again when nothing else uses the Maildir")
}

// restless is the error of a file that was renamed whenever it was looked at.
type restless struct{ path, key string }

func (r restless) Error() string {
	return fmt.Sprintf("message %s in %s is renamed again and again", r.key, r.path)
}
