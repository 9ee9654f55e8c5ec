package maildir

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
)

// A folder is a mailbox whose directories are open.
type folder struct {
	m             *Maildir
	box           *mailbox
	top, cur, new *dir // new is nil if there is none
}

// open opens the directories of a mailbox.
func (m *Maildir) open(b *mailbox) (*folder, error) {
	f := &folder{m: m, box: b}
	err := b.fault
	if err == nil {
		f.top, err = m.openTop(b)
	}
	if err == nil {
		f.cur, err = f.top.sub("cur")
	}
	if err == nil {
		f.new, err = f.top.sub("new")
		if gone(err) {
			f.new, err = nil, nil
		}
	}
	if err != nil {
		f.close()
		return nil, localFault(mail.GradeMailbox, err)
	}
	return f, nil
}

// openTop opens the directory of a mailbox.
func (m *Maildir) openTop(b *mailbox) (*dir, error) {
	if b.elsewhere {
		return m.opt.seam.openPath(m.opt.Inbox)
	}
	root, err := m.opt.seam.openPath(m.opt.Root)
	if err != nil {
		return nil, err
	}
	defer root.close()
	return root.walk(b.path)
}

func (f *folder) close() {
	f.top.close()
	f.cur.close()
	f.new.close()
}

// fill makes new and tmp where they are missing, and opens tmp.
func (f *folder) fill() (tmp *dir, err error) {
	if f.new == nil {
		if f.new, err = f.m.ensure(f.top, "new"); err != nil {
			return nil, err
		}
	}
	return f.m.ensure(f.top, "tmp")
}

// ensure opens a directory in d, and makes it first, durably, if it is missing.
func (m *Maildir) ensure(d *dir, name string) (*dir, error) {
	sub, err := d.sub(name)
	if !gone(err) {
		return sub, err
	}
	if err := d.mkdir(name); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	if err := m.syncDir(d); err != nil {
		return nil, err
	}
	return d.sub(name)
}

// syncDir makes the entries of d durable, if that is wanted.
func (m *Maildir) syncDir(d *dir) error {
	if !m.opt.FSync {
		return nil
	}
	return d.sync()
}

// part is cur or new.
func (f *folder) part(inNew bool) *dir {
	if inNew {
		return f.new
	}
	return f.cur
}
