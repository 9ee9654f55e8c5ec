package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// epoch of every mailbox: a key never changes its meaning.
const epoch = "1"

// Options say where a tree of Maildirs lies and how.
type Options struct {
	// Root is the directory of the tree, an absolute path. It need not exist.
	Root string
	// Layout is FS if empty.
	Layout Layout
	// FolderEncoding is UTF8 for FS and UTF7 for PlusPlus if empty.
	FolderEncoding Encoding
	// Inbox is the directory of an INBOX that lies elsewhere, or is the root
	// itself in layout FS; "" for the layout's own place.
	Inbox string
	// FSync makes every effect durable before it is reported as done.
	FSync bool
	// Clock is time.Now if nil.
	Clock plan.Clock
	// Bound, if not nil, tells which of some Refs the index has bound in a
	// mailbox, and how many it has there in all. It is asked only from within
	// calls of the engine, about mailboxes that stand still since the index
	// last saw them: what is not bound there is not there.
	Bound func(ctx context.Context, box mail.BoxID, refs []mail.Ref) (bound []mail.Ref, all int, err error)
	// Echo, if not nil, is told what is done to the tree; see Watch.
	Echo *Echo

	// For tests.
	seam         seam
	pollEvery    time.Duration
	namedFirst   int             // see the constant; 0: that, less than 0: none
	keepsUnnamed func(*dir) bool // if not nil, in place of the function
}

// A Maildir is one tree of Maildirs, open for one run. Its methods are called
// from one goroutine at a time, but for a batch that is filled while the one
// before it is committed; see batch.
type Maildir struct {
	committing sync.Mutex // held by Commit
	durable    durability
	opt        Options
	names      names
	bound      map[mail.BoxID]mail.MailboxName
	tree       map[mail.MailboxName]*mailbox // nil before the first look
	// surveyed are the names that the last Survey gave.
	surveyed map[mail.MailboxName]bool
	listed   map[mail.MailboxName]time.Time // see Confirm
	strange  []string
	scratch  []byte          // for listings
	locals   map[uint64]bool // by device: whether its times can be trusted
	cleaned  map[mail.MailboxName]bool
	linkings map[uint64]linking // by device
	storer   *storer            // nil before the first message
	canon    *canonicalReader   // for identify
}

// Open makes ready to use the tree. It changes nothing on the disk, and the
// root need not be there. A root that cannot be what Options say is refused
// with a mail.Fault of ClassConfig.
func Open(_ context.Context, opt Options) (*Maildir, error) {
	opt, err := opt.complete()
	if err != nil {
		return nil, err
	}
	if opt.Echo != nil {
		opt.seam = opt.Echo.seam(opt.seam)
	}
	m := &Maildir{
		opt:     opt,
		names:   names{layout: opt.Layout, encoding: opt.FolderEncoding},
		bound:   map[mail.BoxID]mail.MailboxName{},
		locals:  map[uint64]bool{},
		cleaned: map[mail.MailboxName]bool{}, linkings: map[uint64]linking{},
	}
	return m, nil
}

// Close ends the use of the tree.
func (m *Maildir) Close() error { return nil }

// Bind tells the numbers of mailboxes.
func (m *Maildir) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	for id, name := range boxes {
		m.bound[id] = name
	}
}

func configFault(hint, format string, args ...any) error {
	return mail.NewFault(mail.GradeAccount, mail.ClassConfig, fmt.Errorf(format, args...), hint)
}

// complete fills in the defaults and looks whether the root can be what it is
// said to be.
func (o Options) complete() (Options, error) {
	if o.Layout == "" {
		o.Layout = FS
	}
	if o.FolderEncoding == "" {
		o.FolderEncoding = UTF8
		if o.Layout == PlusPlus {
			o.FolderEncoding = UTF7
		}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.namedFirst == 0 {
		o.namedFirst = namedFirst
	}
	if o.keepsUnnamed == nil {
		o.keepsUnnamed = keepsUnnamed
	}
	if o.Layout != FS && o.Layout != PlusPlus {
		return o, configFault(`set it to "fs" or "maildir++"`, "unknown Maildir layout %q", o.Layout)
	}
	if o.FolderEncoding != UTF8 && o.FolderEncoding != UTF7 {
		return o, configFault(`set it to "utf-8" or "utf-7"`, "unknown folder encoding %q", o.FolderEncoding)
	}
	if o.Root == "" || !filepath.IsAbs(o.Root) || o.Inbox != "" && !filepath.IsAbs(o.Inbox) {
		return o, configFault("give an absolute path", "the Maildir %q and its inbox %q must be absolute paths", o.Root, o.Inbox)
	}
	o.Root = filepath.Clean(o.Root)
	if o.Inbox != "" {
		o.Inbox = filepath.Clean(o.Inbox)
	}
	return o, o.checkLayout()
}

// checkLayout refuses a root that is evidently laid out in the other way:
// godwit would see an empty tree beside mail that it does not see.
func (o Options) checkLayout() error {
	root, err := o.seam.openPath(o.Root)
	switch {
	case gone(err):
		return nil
	case errors.Is(err, unix.ENOTDIR):
		return configFault("name a directory", "the Maildir %s is not a directory", o.Root)
	case err != nil:
		return localFault(mail.GradeAccount, err)
	}
	defer root.close()
	if o.Layout == FS {
		if root.hasDir("cur") && root.hasDir("new") && !sameDir(o.Root, o.Inbox) {
			return configFault(`set layout = "maildir++" if its folders begin with a dot, or inbox to the same directory if they do not`,
				"%s is itself a mailbox, which layout %q does not have", o.Root, o.Layout)
		}
		return nil
	}
	if root.hasDir("cur") {
		return nil
	}
	inbox, err := root.sub(string(mail.Inbox))
	if err != nil {
		return nil
	}
	defer inbox.close()
	if inbox.hasDir("cur") {
		return configFault(`set layout = "fs"`, "%s has its mail in %s/INBOX, which layout %q does not have", o.Root, o.Root, o.Layout)
	}
	return nil
}

// sameDir tells whether two paths are one directory.
func sameDir(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	as, err := os.Stat(a)
	if err != nil {
		return a == b
	}
	bs, err := os.Stat(b)
	return err == nil && os.SameFile(as, bs)
}

// hasDir tells whether name is a directory in d, not a link to one.
func (d *dir) hasDir(name string) bool {
	st, err := d.stat(name)
	return err == nil && st.dir()
}

// localFault says what to do about an error of the disk.
func localFault(g mail.Grade, err error) error {
	var f *mail.Fault
	if err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var hint string
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		hint = "make room on the disk and run again"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		hint = "give godwit's user the right to read and write it"
	case errors.Is(err, unix.EROFS):
		hint = "mount the file system for writing"
	case errors.Is(err, unix.EIO):
		hint = "check the disk"
	}
	return mail.NewFault(g, mail.ClassLocal, err, hint)
}

// box is the mailbox that a number is bound to.
func (m *Maildir) box(ctx context.Context, id mail.BoxID) (*mailbox, error) {
	name, ok := m.bound[id]
	if !ok {
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassLocal, fmt.Errorf("mailbox number %d is not bound", id), "")
	}
	return m.mailbox(ctx, name)
}

// mailbox finds a mailbox by name.
func (m *Maildir) mailbox(ctx context.Context, name mail.MailboxName) (*mailbox, error) {
	if err := m.look(ctx); err != nil {
		return nil, err
	}
	if b, ok := m.tree[name]; ok && !b.container {
		return b, nil
	}
	return nil, mail.NewFault(mail.GradeMailbox, mail.ClassLocal, fmt.Errorf("mailbox %s is not in the Maildir", name), "")
}

// look walks the tree if that was not done yet.
func (m *Maildir) look(ctx context.Context) error {
	if m.tree != nil {
		return nil
	}
	w, err := m.walk(ctx, nil)
	if err != nil {
		return err
	}
	m.tree, m.strange = w.found, w.strange
	return nil
}

// Strange lists directories that hold mail but whose names cannot be those of
// mailboxes, so that they are left alone: two spellings of INBOX, bytes that
// are not in the folder encoding, escapes that godwit would not have written.
func (m *Maildir) Strange() []string { return m.strange }
