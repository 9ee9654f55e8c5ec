package maildir

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// What a big batch brings is written into files without a name (O_TMPFILE,
// open(2)), which are linked to where they are seen. That takes an entry in one
// directory in place of two, waits for no lock that the commit of the batch
// before holds, and what a process that died leaves behind, the file system
// frees.
//
// It is done only where such a file lasts as any other: its bytes after
// fdatasync or syncfs, and its name once the directory is synced. So it is where
// the entry and the number of links go through one journal in one
// transaction (see keepsUnnamed). Elsewhere messages get a name in tmp.

const (
	// namedFirst is how many messages of a batch get a name in tmp all the same.
	// A batch no bigger gains little, and some mail programs (mutt) listen for
	// files that are moved into a Maildir, but not for links: they hear of the
	// batch by these.
	namedFirst = 16
	// descriptorShare is which part of the descriptors that the process may have
	// are left to others than files without a name, which stay open until they
	// are linked.
	descriptorShare = 2
)

// A linking is how a file without a name gets one.
type linking uint8

const (
	linkNever    linking = iota // there are no such files here
	linkByHandle                // linkat of the descriptor: Linux 6.10, or a privilege
	linkByProc                  // linkat of its entry in /proc
)

// linking tells how files without a name that are made in d are linked; it is
// found out by one of them.
func (d *dir) linking(now time.Time) linking {
	f, err := d.createUnnamed()
	if err != nil {
		return linkNever
	}
	defer f.Close()
	if f.setTime(now) != nil {
		return linkNever
	}
	for _, how := range []linking{linkByHandle, linkByProc} {
		name := uniqueKey(now)
		err := f.link(how, d, name)
		_ = d.unlink(name)
		if err == nil {
			return how
		}
	}
	return linkNever
}

// linkingIn is linking, asked once a run for each file system.
func (m *Maildir) linkingIn(d *dir) linking {
	st, err := d.self()
	if err != nil {
		return linkNever
	}
	how, ok := m.linkings[st.dev]
	if !ok {
		if m.opt.keepsUnnamed(d) {
			how = d.linking(m.opt.Clock())
		}
		m.linkings[st.dev] = how
	}
	return how
}

// descriptors is how many the process may have open for another file without a
// name to be opened.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30) / descriptorShare)
}

// nextLinking tells how the next message of the batch is to be linked.
func (b *batch) nextLinking() linking {
	if len(b.staged) <= b.m.opt.namedFirst || b.crowded {
		return linkNever
	}
	if !b.asked {
		b.asked, b.linking, b.most = true, b.m.linkingIn(b.tmp), descriptors()
	}
	return b.linking
}

// A berth is where a message lies until it is placed.
type berth struct {
	tmp  *dir
	name string // in tmp, "" for a file without a name
}

func (b berth) create() (*handle, error) {
	if b.name == "" {
		return b.tmp.createUnnamed()
	}
	return b.tmp.create(b.name)
}

// remove takes the name away; what is open stays so.
func (b berth) remove() error {
	if b.name == "" {
		return nil
	}
	return b.tmp.unlink(b.name)
}

// createUnnamed makes a new file without a name that nobody else can read, on
// the file system of d.
func (d *dir) createUnnamed() (*handle, error) {
	f := &handle{path: d.path, seam: d.seam}
	err := d.seam.run("create unnamed", d.path, func() (err error) {
		f.fd, err = openUnnamed(d.fd)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "create a file in", Path: d.path, Err: err}
	}
	f.path = d.path + "/#" + strconv.Itoa(f.fd)
	return f, nil
}

// link gives a file without a name the name of an entry of to that must not
// exist yet.
func (f *handle) link(how linking, to *dir, name string) error {
	if err := to.entry("link to", name); err != nil {
		return err
	}
	path := ""
	if f.seam != nil {
		path = f.path + arrow + to.path + "/" + name
	}
	if err := f.seam.run("link", path, func() error { return linkUnnamed(f.fd, how, to.fd, name) }); err != nil {
		if inner := (*os.PathError)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return &os.LinkError{Op: "link", Old: f.path, New: to.path + "/" + name, Err: err}
	}
	return nil
}

// setTime sets the time of modification.
func (f *handle) setTime(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return f.do("set the time of", func() error { return setUnnamedTime(f.fd, ts) })
}
