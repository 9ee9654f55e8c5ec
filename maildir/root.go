package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// The marker is a few lines of "name value". A marker that cannot be read is
// a marker of nobody: the account adopts.
const markerHead = "# godwit keeps this Maildir in step with an account. Do not copy or edit this file.\n"

// Root looks at the root: whose it is, and whether any mail is in it.
func (m *Maildir) Root(ctx context.Context) (plan.Root, error) {
	r := plan.Root{Unsynced: !m.opt.FSync, Boot: bootID()}
	root, err := m.opt.seam.openPath(m.opt.Root)
	if gone(err) {
		return r, nil
	}
	if err != nil {
		return r, localFault(mail.GradeAccount, err)
	}
	defer root.close()
	r.Exists = true
	if err := root.readMarker(&r); err != nil {
		return r, localFault(mail.GradeAccount, err)
	}
	if r.Marked && r.Instance != "" {
		r.Mail = true // nobody asks: the marker says more
		return r, nil
	}
	w, err := m.walk(ctx, nil)
	if err != nil {
		return r, err
	}
	for _, b := range w.found {
		if r.Mail, err = m.hasMail(ctx, b); r.Mail || err != nil {
			return r, err
		}
	}
	return r, nil
}

// hasMail tells whether any message lies in a mailbox.
func (m *Maildir) hasMail(ctx context.Context, b *mailbox) (bool, error) {
	if b.container {
		return false, nil
	}
	f, err := m.open(b)
	if err != nil {
		return false, ctx.Err() // its own scan will tell
	}
	defer f.close()
	l, err := f.once()
	if err != nil {
		return false, ctx.Err()
	}
	return len(l.entries) > 0, nil
}

func (d *dir) readMarker(r *plan.Root) error {
	f, _, err := d.read(markerFile)
	if gone(err) {
		return nil
	}
	r.Marked = true
	if err != nil {
		if errors.Is(err, unix.EIO) || errors.Is(err, unix.EACCES) {
			return err
		}
		return nil // a directory or a link of that name
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return err
	}
	parseMarker(string(text), r)
	return nil
}

func parseMarker(text string, r *plan.Root) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch name {
		case "instance":
			r.Instance = value
		case "runs":
			if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
				r.Runs = n
			}
		}
	}
}

// Stamp writes the marker in place, so that it keeps its inode, and makes it
// durable. The number of runs has a fixed width: a later marker overwrites an
// earlier one byte by byte. The name of one that is there was made durable when
// it was made; if a run died in between, a crash of the machine may take the
// marker away, which makes the account adopt.
func (m *Maildir) Stamp(_ context.Context, instance string, runs int64) error {
	if strings.ContainsAny(instance, "\n\r") || instance == "" {
		return fmt.Errorf("%q cannot be the name of an instance", instance)
	}
	return localFault(mail.GradeAccount, m.stamp(markerText(instance, runs)))
}

func markerText(instance string, runs int64) string {
	return fmt.Sprintf("%sinstance %s\nruns %020d\n", markerHead, instance, runs)
}

func (m *Maildir) stamp(text string) error {
	root, err := m.makeRoot()
	if err != nil {
		return err
	}
	defer root.close()
	f, err := root.openFile(markerFile, unix.O_RDWR, 0)
	made := gone(err)
	if made {
		f, err = root.openFile(markerFile, unix.O_RDWR|unix.O_CREAT, 0o600)
	}
	if err != nil {
		return err
	}
	err = writeOver(f, text, m.opt.FSync)
	if err := errors.Join(err, f.Close()); err != nil || !made {
		return err
	}
	return m.syncDir(root)
}

// writeOver writes text over what a file has.
func writeOver(f *handle, text string, fsync bool) error {
	if _, err := f.writeStart([]byte(text)); err != nil {
		return err
	}
	if err := f.truncate(int64(len(text))); err != nil {
		return err
	}
	if !fsync {
		return nil
	}
	return f.sync()
}

// makeRoot opens the root, and makes it, durably, if it is missing.
func (m *Maildir) makeRoot() (*dir, error) { return m.makePath(m.opt.Root) }

func (m *Maildir) makePath(path string) (*dir, error) {
	d, err := m.opt.seam.openPath(path)
	if !gone(err) {
		return d, err
	}
	parent, err := m.makePath(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.close()
	if err := parent.mkdir(filepath.Base(path)); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	if err := m.syncDir(parent); err != nil {
		return nil, err
	}
	return m.opt.seam.openPath(path)
}

// Check tells whether the tree can be used: whether Options fit what lies
// there, and whether it can be written to. It leaves nothing behind.
func Check(opt Options) error {
	opt, err := opt.complete()
	if err != nil {
		return err
	}
	for _, path := range []string{opt.Root, opt.Inbox} {
		if path == "" {
			continue
		}
		if err := opt.seam.writable(path); err != nil {
			return localFault(mail.GradeAccount, fmt.Errorf("the Maildir cannot be written to: %w", err))
		}
	}
	return nil
}

// writable makes a directory in path and removes it. Where path does not
// exist, what it would be made in is only asked for its rights.
func (s seam) writable(path string) error {
	d, err := s.openPath(path)
	if gone(err) {
		for gone(err) && path != filepath.Dir(path) {
			path = filepath.Dir(path)
			err = unix.Access(path, unix.W_OK|unix.X_OK)
		}
		if err != nil {
			return &os.PathError{Op: "write to", Path: path, Err: err}
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer d.close()
	name := fmt.Sprintf(".godwit-check-%d", os.Getpid())
	if err := d.mkdir(name); err != nil {
		return err
	}
	return d.rmdir(name)
}
