package maildir

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Create makes a mailbox and the directories above it, durably.
func (m *Maildir) Create(ctx context.Context, name mail.MailboxName) (plan.Box, error) {
	name = mail.NewMailboxName(name.Levels()...)
	if err := m.look(ctx); err != nil {
		return plan.Box{}, err
	}
	if b, ok := m.tree[name]; ok && !b.container {
		return b.box(), nil
	}
	b, err := m.create(name)
	if err != nil {
		return plan.Box{}, localFault(mail.GradeMailbox, fmt.Errorf("creating mailbox %s: %w", name, err))
	}
	b.count = 0
	m.tree[name] = b
	return b.box(), nil
}

func (m *Maildir) create(name mail.MailboxName) (*mailbox, error) {
	if name == "" || m.opt.Layout == FS && len(name.Levels()) > maxLevels {
		return nil, errors.New("that is no name for a mailbox")
	}
	if name == mail.Inbox && m.opt.Inbox != "" {
		top, err := m.makePath(m.opt.Inbox)
		if err != nil {
			return nil, err
		}
		defer top.close()
		return m.fillBox(&mailbox{name: name, elsewhere: true}, top)
	}
	root, err := m.makeRoot()
	if err != nil {
		return nil, err
	}
	defer root.close()
	top, path, err := m.makeLevels(root, name)
	if err != nil {
		return nil, err
	}
	defer top.close()
	return m.fillBox(&mailbox{name: name, path: path}, top)
}

// fillBox makes new and tmp, and cur last: with it the directory is a mailbox.
// A mailbox "New" below it can stand in the way, where the file system takes
// both names for one.
func (m *Maildir) fillBox(b *mailbox, top *dir) (*mailbox, error) {
	for _, name := range []string{"tmp", "new", "cur"} {
		d, err := m.ensure(top, name)
		if err != nil {
			return nil, err
		}
		d.close()
		if d, err = m.openExact(top, component{disk: name}); err != nil {
			return nil, err
		}
		d.close()
	}
	var err error
	b.marks, err = m.marks(top)
	return b, err
}

// makeLevels makes the directories of a name below the root, as far as they are
// missing, and opens the last one.
func (m *Maildir) makeLevels(root *dir, name mail.MailboxName) (top *dir, path []string, err error) {
	if top, err = root.again(); err != nil {
		return nil, nil, err
	}
	if name == "" || name == mail.Inbox && m.opt.Layout == PlusPlus {
		return top, nil, nil
	}
	levels := name.Levels()
	if m.opt.Layout == PlusPlus {
		next, disk, err := m.makeLevel(top, m.forms(levels))
		top.close()
		return next, []string{disk}, err
	}
	for i := range levels {
		prefix := mail.NewMailboxName(levels[:i+1]...)
		var next *dir
		var disk string
		if b, ok := m.tree[prefix]; ok && !b.elsewhere {
			disk = b.path[len(b.path)-1]
			next, err = top.sub(disk)
		} else {
			next, disk, err = m.makeLevel(top, m.forms(levels[i:i+1]))
		}
		top.close()
		if err != nil {
			return nil, nil, err
		}
		top, path = next, append(path, disk)
	}
	return top, path, nil
}

// forms are the names that a directory can have for these levels: the plain
// one, and the one that a file system cannot take for another.
func (m *Maildir) forms(levels []string) [2]component {
	if m.opt.Layout == PlusPlus {
		return [2]component{m.names.plusPlus(levels, false), m.names.plusPlus(levels, true)}
	}
	return [2]component{m.names.level(levels[0], false), m.names.level(levels[0], true)}
}

// makeLevel makes one directory, or opens it if it is there. Whether the file
// system tells its name from those of its neighbours shows when it is made:
// if one is there already that is spelled otherwise, or if the new one comes
// out spelled otherwise, the other form is taken.
func (m *Maildir) makeLevel(parent *dir, forms [2]component) (*dir, string, error) {
	var last error
	for _, c := range forms {
		err := parent.mkdir(c.disk)
		made := err == nil
		if err != nil && !errors.Is(err, unix.EEXIST) {
			last = err
			if badName(err) {
				continue
			}
			break
		}
		d, err := m.openExact(parent, c)
		if err == nil {
			return d, c.disk, m.finishLevel(parent, d, c, made)
		}
		if made {
			_ = parent.rmdir(c.disk)
		}
		last = err
		if !errors.As(err, new(taken)) {
			break
		}
	}
	return nil, "", last
}

// finishLevel writes down a name that was cut, and makes the directory last.
func (m *Maildir) finishLevel(parent, d *dir, c component, made bool) error {
	was, err := d.whole(c.disk)
	if err == nil && was != c.whole {
		err = m.writeName(d, c.whole)
	}
	if err == nil && made {
		err = m.syncDir(parent)
	}
	if err != nil {
		d.close()
	}
	return err
}

// writeName writes the name of a directory whose own name was cut.
func (m *Maildir) writeName(d *dir, whole string) error {
	f, err := d.openFile(nameFile, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(writeOver(f, whole, m.opt.FSync), f.Close()); err != nil {
		return err
	}
	return m.syncDir(d)
}

// openExact opens a directory that bears exactly this name.
func (m *Maildir) openExact(parent *dir, c component) (*dir, error) {
	list, err := parent.entries(&m.scratch)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.name == c.disk && parent.isDir(e) {
			return parent.sub(c.disk)
		}
	}
	return nil, taken{parent.path, c.disk}
}

// taken is the error of a name that something else in the directory has, as
// far as the file system tells.
type taken struct{ path, name string }

func (t taken) Error() string {
	return fmt.Sprintf("%s has something else under the name %s", t.path, t.name)
}

// Rename gives a mailbox and all below it another name.
func (m *Maildir) Rename(ctx context.Context, from, to mail.MailboxName) error {
	to = mail.NewMailboxName(to.Levels()...)
	if err := m.look(ctx); err != nil {
		return err
	}
	err := m.mayRename(from, to)
	if err == nil && m.opt.Layout == PlusPlus {
		err = m.renamePlusPlus(from, to)
	} else if err == nil {
		err = m.renameFS(from, to)
	}
	if err != nil {
		return localFault(mail.GradeMailbox, fmt.Errorf("renaming mailbox %s to %s: %w", from, to, err))
	}
	return nil
}

// family lists a mailbox and all below it.
func (m *Maildir) family(name mail.MailboxName) []*mailbox {
	var out []*mailbox
	for n, b := range m.tree {
		if n == name || n.Within(name) {
			out = append(out, b)
		}
	}
	return out
}

func (m *Maildir) mayRename(from, to mail.MailboxName) error {
	switch {
	case from == mail.Inbox || to == mail.Inbox:
		return errors.New("INBOX cannot be renamed")
	case to == "" || to == from || to.Within(from) || m.opt.Layout == FS && len(to.Levels()) > maxLevels:
		return errors.New("that is no name for it")
	case len(m.family(from)) == 0:
		return errors.New("it is not in the Maildir")
	case len(m.family(to)) > 0:
		return errors.New("a mailbox of that name is there already")
	}
	return nil
}

// renameFS renames one directory, and with it all below.
func (m *Maildir) renameFS(from, to mail.MailboxName) error {
	b := m.tree[from]
	if b == nil || len(b.path) == 0 {
		return errors.New("it is not in the Maildir")
	}
	root, err := m.opt.seam.openPath(m.opt.Root)
	if err != nil {
		return err
	}
	defer root.close()
	source, err := root.walk(b.path[:len(b.path)-1])
	if err != nil {
		return err
	}
	defer source.close()
	target, path, err := m.makeLevels(root, to.Parent())
	if err != nil {
		return err
	}
	defer target.close()
	disk, err := m.renameDir(source, b.path[len(b.path)-1], target, m.forms([]string{to.Base()}))
	if err != nil {
		return err
	}
	depth := len(b.path)
	path = append(path, disk)
	for _, kin := range m.family(from) {
		kin.path = append(append([]string{}, path...), kin.path[depth:]...)
		m.rename(kin, to+kin.name[len(from):])
	}
	return errors.Join(m.syncDir(target), m.syncDir(source))
}

// renamePlusPlus renames each directory of the family.
func (m *Maildir) renamePlusPlus(from, to mail.MailboxName) error {
	root, err := m.opt.seam.openPath(m.opt.Root)
	if err != nil {
		return err
	}
	defer root.close()
	for _, kin := range m.family(from) {
		name := to + kin.name[len(from):]
		disk, err := m.renameDir(root, kin.path[0], root, m.forms(name.Levels()))
		if err != nil {
			return errors.Join(err, m.syncDir(root))
		}
		kin.path = []string{disk}
		m.rename(kin, name)
	}
	return m.syncDir(root)
}

// rename gives a mailbox that was renamed on the disk its new name in what is
// known of the tree.
func (m *Maildir) rename(b *mailbox, name mail.MailboxName) {
	delete(m.tree, b.name)
	m.tree[name] = b
	if m.surveyed[b.name] {
		delete(m.surveyed, b.name)
		m.surveyed[name] = true
	}
	for id, bound := range m.bound {
		if bound == b.name {
			m.bound[id] = name
		}
	}
	b.name = name
}

// renameDir renames a directory to the first of forms that the file system
// takes for a name of its own.
func (m *Maildir) renameDir(source *dir, disk string, target *dir, forms [2]component) (string, error) {
	var last error
	for _, c := range forms {
		if c.whole != "" {
			if err := m.nameInside(source, disk, c.whole); err != nil {
				return "", err
			}
		}
		err := source.rename(disk, target, c.disk)
		if errors.Is(err, unix.EEXIST) && target.rmdir(c.disk) == nil { // an empty leftover
			err = source.rename(disk, target, c.disk)
		}
		if err == nil {
			return c.disk, nil
		}
		last = err
		if !errors.Is(err, unix.EEXIST) && !badName(err) {
			break // another name would not help
		}
	}
	return "", last
}

// badName tells whether the file system refuses a name for what it is.
func badName(err error) bool { return errors.Is(err, unix.EILSEQ) || errors.Is(err, unix.EINVAL) }

func (m *Maildir) nameInside(parent *dir, disk, whole string) error {
	d, err := parent.sub(disk)
	if err != nil {
		return err
	}
	defer d.close()
	return m.writeName(d, whole)
}

// Remove removes a mailbox that has no messages and no mailboxes below it,
// and no files of other tools but Dovecot's.
func (m *Maildir) Remove(ctx context.Context, name mail.MailboxName) error {
	b, err := m.mailbox(ctx, name)
	if err != nil {
		return err
	}
	if err := m.remove(ctx, b); err != nil {
		return localFault(mail.GradeMailbox, fmt.Errorf("removing mailbox %s: %w", name, err))
	}
	delete(m.tree, name)
	return nil
}

func (m *Maildir) remove(ctx context.Context, b *mailbox) error {
	if b.name == mail.Inbox || len(b.path) == 0 {
		return errors.New("INBOX cannot be removed")
	}
	now, err := m.walk(ctx, nil)
	if err != nil {
		return err
	}
	for name := range now.found {
		if name.Within(b.name) {
			return fmt.Errorf("it has mailbox %s below it", name)
		}
	}
	root, err := m.opt.seam.openPath(m.opt.Root)
	if err != nil {
		return err
	}
	defer root.close()
	parent, err := root.walk(b.path[:len(b.path)-1])
	if err != nil {
		return err
	}
	defer parent.close()
	disk := b.path[len(b.path)-1]
	top, err := parent.sub(disk)
	if err != nil {
		return err
	}
	defer top.close()
	ours, err := m.removable(ctx, top)
	if err != nil {
		return err
	}
	if err := m.dismantle(parent, disk, top, ours); err != nil {
		_, rerr := m.fillBox(&mailbox{}, top) // it stays a mailbox
		return errors.Join(err, rerr)
	}
	return m.syncDir(parent)
}

// removable lists the files in a mailbox that go with it, if it has no messages
// and nothing that belongs to somebody else.
func (m *Maildir) removable(ctx context.Context, top *dir) (ours []string, err error) {
	list, err := top.entries(&m.scratch)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		switch {
		case e.name == "cur" || e.name == "new" || e.name == "tmp":
			if err := m.emptyPart(top, e.name); err != nil {
				return nil, err
			}
		case top.isDir(e) && m.hollow(top, e.name):
			// What held a mailbox that is gone: it goes with this one.
		case !top.isDir(e) && (strings.HasPrefix(e.name, "dovecot") || e.name == nameFile || e.name == "maildirfolder"):
			ours = append(ours, e.name)
		default:
			return nil, fmt.Errorf("%s/%s is not godwit's; remove it and run again", top.path, e.name)
		}
	}
	return ours, ctx.Err()
}

// hollow tells whether there is nothing in a directory but such directories,
// and removes them: it takes mail, or whatever else comes, no more than it did.
func (m *Maildir) hollow(parent *dir, name string) bool {
	d, err := parent.sub(name)
	if err != nil {
		return false
	}
	defer d.close()
	list, err := d.entries(&m.scratch)
	if err != nil {
		return false
	}
	for _, e := range list {
		if !d.isDir(e) || !m.hollow(d, e.name) {
			return false
		}
	}
	return parent.rmdir(name) == nil
}

// emptyPart makes sure that cur, new or tmp is empty. What runs that died left
// in tmp goes, however young: they had never delivered it, and this run is
// done with the mailbox.
func (m *Maildir) emptyPart(top *dir, name string) error {
	d, err := top.sub(name)
	if err != nil {
		return err
	}
	defer d.close()
	if name == "tmp" {
		m.clean(d, math.MinInt64)
	}
	list, err := d.entries(&m.scratch)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return fmt.Errorf("%s is not empty: it has %s", d.path, list[0].name)
	}
	return nil
}

// dismantle removes the directories first: that fails if a message came in
// this moment.
func (m *Maildir) dismantle(parent *dir, disk string, top *dir, ours []string) error {
	for _, name := range []string{"tmp", "new", "cur"} {
		if err := top.rmdir(name); err != nil && !gone(err) {
			return err
		}
	}
	for _, name := range ours {
		if err := top.unlink(name); err != nil && !gone(err) {
			return err
		}
	}
	return parent.rmdir(disk)
}
