package maildir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A mailbox is what is known in this run of one directory of the tree.
type mailbox struct {
	name mail.MailboxName
	// path leads from the root to it; elsewhere: it is Options.Inbox.
	path      []string
	elsewhere bool
	container bool  // it has no cur, but mailboxes below it
	fault     error // it could not be looked into
	marks     marks // as of the walk

	state plan.BoxState // as of the survey
	count int           // messages as of the survey's cursor, -1 if not known
	list  *listing      // the last listing
	scan  *view         // what the scan of this run saw
	own   ownChanges
	// strange: what lies there is not what the survey saw and this run made of it.
	strange bool
	// seen are the keys that were there when the marks were stands, but for
	// those that this run put there since.
	seen   *view
	stands marks
	table  *table // its keywords
	// locked is why dovecot-keywords could not be locked in this run.
	locked error
}

// ownChanges are those that this run made since the survey.
type ownChanges struct {
	came keySet
	net  int // messages come less messages gone
	any  bool
}

func (o *ownChanges) add(key string) {
	o.came.add(key)
	o.net++
	o.any = true
}

func (o *ownChanges) lose() {
	o.net--
	o.any = true
}

// A walker collects the mailboxes of the tree.
type walker struct {
	m       *Maildir
	ctx     context.Context
	found   map[mail.MailboxName]*mailbox
	strange []string
	// known are names that the index knows: those below a directory that
	// cannot be read are listed as unreadable, not left out as if gone.
	known []mail.MailboxName
	inbox stat // of Options.Inbox, to pass it over in the tree
}

// walk looks at every directory of the tree. A root that is not there has no mailboxes.
func (m *Maildir) walk(ctx context.Context, known []mail.MailboxName) (*walker, error) {
	w := &walker{m: m, ctx: ctx, found: map[mail.MailboxName]*mailbox{}, known: known}
	if err := w.addInbox(); err != nil {
		return nil, err
	}
	root, err := m.opt.seam.openPath(m.opt.Root)
	if gone(err) {
		return w, nil
	}
	if err != nil {
		return nil, localFault(mail.GradeAccount, err)
	}
	defer root.close()
	if m.opt.Layout == PlusPlus {
		err = w.plusPlus(root)
	} else {
		_, err = w.below(root, nil, nil)
	}
	if err != nil {
		return nil, localFault(mail.GradeAccount, err)
	}
	return w, nil
}

// addInbox looks at an INBOX that lies elsewhere.
func (w *walker) addInbox() error {
	if w.m.opt.Inbox == "" {
		return nil
	}
	d, err := w.m.opt.seam.openPath(w.m.opt.Inbox)
	if gone(err) {
		return nil
	}
	if err != nil {
		return localFault(mail.GradeAccount, err)
	}
	defer d.close()
	if w.inbox, err = d.self(); err != nil {
		return localFault(mail.GradeAccount, err)
	}
	has, err := d.holds("cur")
	if err != nil {
		return localFault(mail.GradeAccount, err)
	}
	if has {
		b := &mailbox{name: mail.Inbox, elsewhere: true}
		b.marks, b.fault = w.m.marks(d)
		w.found[mail.Inbox] = b
	}
	return nil
}

// below visits the directories in d, the directory of the mailbox levels, and
// tells whether a mailbox was found there.
func (w *walker) below(d *dir, path, levels []string) (any bool, err error) {
	if err := w.ctx.Err(); err != nil {
		return false, err
	}
	list, err := d.entries(&w.m.scratch)
	if err != nil {
		return false, err
	}
	for _, e := range list {
		if levels == nil && strings.HasPrefix(e.name, ".") && d.isDir(e) {
			w.dotted(d, e.name)
		}
		if strings.HasPrefix(e.name, ".") || e.name == "cur" || e.name == "new" || e.name == "tmp" || !d.isDir(e) {
			continue
		}
		if len(levels) == maxLevels {
			w.strange = append(w.strange, d.path+"/"+e.name)
			continue
		}
		here, err := w.child(d, e.name, path, levels)
		if err != nil {
			return any, err
		}
		any = any || here
	}
	return any, nil
}

// dotted notes mail in a directory with a leading dot: so the folders of a
// Maildir++ lie, and layout FS passes them over.
func (w *walker) dotted(root *dir, name string) {
	d, err := root.sub(name)
	if err != nil {
		return
	}
	defer d.close()
	if st, err := d.self(); err == nil && d.hasDir("cur") && (st.ino != w.inbox.ino || st.dev != w.inbox.dev) {
		w.strange = append(w.strange, d.path)
	}
}

// isDir tells whether an entry is a directory, asking again where the
// listing did not say.
func (d *dir) isDir(e dirent) bool {
	return e.kind == kindDir || e.kind == kindUnknown && d.hasDir(e.name)
}

// child visits one directory of layout FS and all below it.
func (w *walker) child(parent *dir, disk string, path, levels []string) (any bool, err error) {
	d, err := parent.sub(disk)
	if vanished(err) {
		return false, nil
	}
	var whole string
	if err == nil {
		defer d.close()
		whole, err = d.whole(disk)
	}
	raw, ok := w.m.names.decodeLevel(disk, whole)
	if !ok {
		if err == nil && d.hasDir("cur") {
			w.strange = append(w.strange, d.path)
		}
		if err != nil && isShort(disk) {
			return false, err // it may be a mailbox: nobody can tell which
		}
		return false, nil
	}
	path = append(slices.Clone(path), disk)
	levels = append(slices.Clone(levels), raw)
	b := &mailbox{name: mail.NewMailboxName(levels...), path: path}
	if err != nil {
		return w.unreadable(b, err)
	}
	st, err := d.self()
	if err != nil {
		return false, err
	}
	if w.inbox.ino != 0 && st.ino == w.inbox.ino && st.dev == w.inbox.dev {
		return false, nil // listed already, as INBOX
	}
	cur, has, err := d.holding("cur")
	if err != nil {
		return w.unreadable(b, err)
	}
	if has && b.name == mail.Inbox && w.m.opt.Inbox != "" {
		has, w.strange = false, append(w.strange, d.path)
	}
	if has {
		b.marks, b.fault = w.m.marksBeside(d, st, cur)
		has = w.add(b)
	}
	inside, err := w.below(d, path, levels)
	if err != nil {
		if w.ctx.Err() != nil {
			return false, err
		}
		return w.unreadable(b, err)
	}
	if !has && inside {
		b.container = true
		w.add(b)
	}
	return has || inside, nil
}

// vanished tells whether err says that an entry is no directory any more.
func vanished(err error) bool {
	return gone(err) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// holds tells whether name is a directory in d. Unlike hasDir it does not
// take an error of the disk for a no.
func (d *dir) holds(name string) (bool, error) {
	_, has, err := d.holding(name)
	return has, err
}

// holding is holds that also gives what was seen.
func (d *dir) holding(name string) (stat, bool, error) {
	st, err := d.stat(name)
	if vanished(err) {
		return stat{}, false, nil
	}
	return st, err == nil && st.dir(), err
}

// unreadable lists a mailbox that could not be looked into, with all that the
// index knows below it, so that nobody takes them for removed. A directory
// that the index does not know is passed over if it is not ours to read
// (lost+found); any other error says that the disk hides something, perhaps a
// mailbox under a new name: it is returned.
func (w *walker) unreadable(b *mailbox, err error) (any bool, _ error) {
	fault := localFault(mail.GradeMailbox, err)
	for _, name := range w.known {
		if name == b.name || name.Within(b.name) && w.found[name] == nil {
			w.found[name] = &mailbox{name: name, path: b.path, fault: fault}
			any = true
		}
	}
	if any {
		return true, nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return false, err
	}
	w.strange = append(w.strange, w.m.opt.Root+"/"+strings.Join(b.path, "/"))
	return false, nil
}

// add lists a mailbox, unless another directory has its name: a second
// spelling of INBOX, a second form of the same name.
func (w *walker) add(b *mailbox) bool {
	other, ok := w.found[b.name]
	if !ok {
		w.found[b.name] = b
		return true
	}
	came := b
	// The one whose name on the disk is the plain form is the mailbox.
	if !other.elsewhere && w.m.plain(b) && !w.m.plain(other) {
		w.found[b.name] = b
		b = other
	}
	w.strange = append(w.strange, w.m.opt.Root+"/"+strings.Join(b.path, "/"))
	return b != came
}

// plain tells whether a mailbox lies where its name says, without any
// disambiguation.
func (m *Maildir) plain(b *mailbox) bool {
	want := m.names.components(b.name)
	return slices.EqualFunc(want, b.path, func(c component, disk string) bool { return c.disk == disk })
}

// plusPlus visits the directories of a Maildir++.
func (w *walker) plusPlus(root *dir) error {
	has, err := root.holds("cur")
	if err != nil {
		return err
	}
	if w.m.opt.Inbox == "" && has {
		b := &mailbox{name: mail.Inbox}
		b.marks, b.fault = w.m.marks(root)
		w.found[mail.Inbox] = b
	}
	list, err := root.entries(&w.m.scratch)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if strings.HasPrefix(e.name, ".") && root.isDir(e) {
			if err := w.folder(root, e.name); err != nil {
				return err
			}
		}
	}
	return nil
}

// folder visits one directory of a Maildir++.
func (w *walker) folder(root *dir, disk string) error {
	d, err := root.sub(disk)
	if vanished(err) {
		return nil
	}
	var whole string
	var cur stat
	if err == nil {
		defer d.close()
		var has bool
		if cur, has, err = d.holding("cur"); err == nil && !has {
			return nil
		}
	}
	if err == nil {
		whole, err = d.whole(disk)
	}
	levels, ok := w.m.names.decodePlusPlus(disk, whole)
	name := mail.NewMailboxName(levels...)
	if !ok || name == mail.Inbox {
		if err != nil && isShort(disk) {
			return err // it may be a mailbox: nobody can tell which
		}
		w.strange = append(w.strange, root.path+"/"+disk)
		return nil
	}
	b := &mailbox{name: name, path: []string{disk}}
	if err != nil {
		_, err := w.unreadable(b, err)
		return err
	}
	self, err := d.self()
	if err != nil {
		b.fault = localFault(mail.GradeMailbox, err)
	} else {
		b.marks, b.fault = w.m.marksBeside(d, self, cur)
	}
	w.add(b)
	return nil
}

// whole reads the name of a directory whose name was cut; "" if it has none.
func (d *dir) whole(disk string) (string, error) {
	if !isShort(disk) {
		return "", nil
	}
	f, _, err := d.read(nameFile)
	if vanished(err) || errors.Is(err, errNotRegular) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(text), err
}
