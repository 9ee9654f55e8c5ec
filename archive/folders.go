package archive

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Create makes a mailbox. What is above it need not be made: a mailbox that
// is only a name of others is not kept.
func (r *Recording) Create(ctx context.Context, name mail.MailboxName) (plan.Box, error) {
	if name == "" {
		return plan.Box{}, boxFault("a mailbox without a name cannot be made")
	}
	var made box
	err := r.effect(ctx, func(e *effect) error {
		found, err := r.ifThere(e, name)
		if made = found; err != nil || made.id > 0 {
			return err
		}
		if err := e.begin(); err != nil {
			return err
		}
		if made.id, err = e.take("mailbox", 1); err != nil {
			return err
		}
		made.name, made.change = name, e.change
		e.delta.mailboxes++
		if err := e.tx.Exec("INSERT INTO mailbox VALUES (?, ?, 0)", made.id, e.change); err != nil {
			return err
		}
		return e.tx.Exec("INSERT INTO mailbox_name VALUES (?, ?, NULL, ?)", made.id, e.gen, string(name))
	})
	if err != nil {
		return plan.Box{}, fault(err)
	}
	if r.boxes != nil {
		r.boxes[name] = made.id
	}
	return plan.Box{Name: name, Epoch: Epoch, ID: strconv.FormatInt(made.id, 10), Count: made.messages, Cursor: r.cursor(made)}, nil
}

// ifThere finds a mailbox by its name; one that is not there has number 0.
func (r *Recording) ifThere(e *effect, name mail.MailboxName) (b box, err error) {
	err = r.eachBox(e.tx, " AND n.name = ?", []any{string(name)}, func(found box) error {
		b = found
		return nil
	})
	return b, err
}

// tree are the mailboxes of that name and below it.
func (r *Recording) tree(e *effect, name mail.MailboxName) (list []box, err error) {
	err = r.eachBox(e.tx, "", nil, func(b box) error {
		if b.name == name || b.name.Within(name) {
			list = append(list, b)
		}
		return nil
	})
	return list, err
}

// Rename gives a mailbox and all below it another name. They stay what they
// are: their messages do not move.
func (r *Recording) Rename(ctx context.Context, from, to mail.MailboxName) error {
	renamed := map[mail.MailboxName]mail.MailboxName{}
	err := r.effect(ctx, func(e *effect) error {
		list, err := r.tree(e, from)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return boxFault("rename %s: no such mailbox in the archive", from)
		}
		if to == "" || to.Within(from) || from == to {
			return boxFault("rename %s to %q: that cannot be", from, to)
		}
		if taken, err := r.tree(e, to); err != nil || len(taken) > 0 {
			if err == nil {
				err = boxFault("rename %s to %s: that is there already", from, to)
			}
			return err
		}
		for _, b := range list {
			name := to + b.name[len(from):]
			if err := e.rename(b, name); err != nil {
				return err
			}
			renamed[b.name] = name
		}
		return nil
	})
	if err != nil {
		return fault(err)
	}
	for from, to := range renamed {
		if id, ok := r.boxes[from]; ok {
			delete(r.boxes, from)
			r.boxes[to] = id
		}
	}
	return nil
}

// rename gives one mailbox another name from this generation on.
func (e *effect) rename(b box, name mail.MailboxName) error {
	if err := e.unname(b); err != nil {
		return err
	}
	// A second name in one generation takes the place of the first.
	return e.tx.Exec("INSERT INTO mailbox_name VALUES (?, ?, NULL, ?) ON CONFLICT DO UPDATE SET gen_to = NULL, name = excluded.name",
		b.id, e.gen, string(name))
}

// unname ends the name that a mailbox has.
func (e *effect) unname(b box) error {
	if err := e.begin(); err != nil {
		return err
	}
	e.touch(b.id, 0)
	return e.tx.Exec("UPDATE mailbox_name SET gen_to = ? WHERE mailbox = ? AND gen_to IS NULL", e.gen, b.id)
}

// Remove ends a mailbox that is empty and has no children.
func (r *Recording) Remove(ctx context.Context, name mail.MailboxName) error {
	return r.remove(ctx, name, false)
}

// End ends a mailbox that is empty. Those below it stay, as they do on a server
// that still lists its name for them (RFC 9051, section 6.3.5).
func (r *Recording) End(ctx context.Context, name mail.MailboxName) error {
	return r.remove(ctx, name, true)
}

func (r *Recording) remove(ctx context.Context, name mail.MailboxName, parent bool) error {
	err := r.effect(ctx, func(e *effect) error {
		list, err := r.tree(e, name)
		switch {
		case err != nil:
			return err
		case len(list) > 1 && !parent:
			return boxFault("remove %s: it has children", name)
		}
		i := slices.IndexFunc(list, func(b box) bool { return b.name == name })
		switch {
		case i < 0 && len(list) > 0:
			return boxFault("remove %s: it has children", name)
		case i < 0:
			return boxFault("remove %s: no such mailbox in the archive", name)
		case list[i].messages > 0:
			return boxFault("remove %s: it holds %d messages", name, list[i].messages)
		}
		e.delta.mailboxes--
		return e.unname(list[i])
	})
	if err == nil {
		delete(r.boxes, name)
	}
	return fault(err)
}

func boxFault(format string, args ...any) error {
	return mail.NewFault(mail.GradeMailbox, mail.ClassLocal, fmt.Errorf(format, args...), "")
}
