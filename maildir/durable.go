package maildir

import (
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
)

// There are two ways to make the files of a batch durable: each by itself,
// several at once, so that the file system joins them in one commit of its
// journal; or the whole file system in one call (syncfs), which costs the
// least for many files unless others are busy writing there too. Which way is
// cheaper is measured while mail arrives.
const (
	// syncers is how many files are synced at once.
	syncers = 16
	// maxOpen is how many written files of a batch are open, not yet synced.
	// A batch that outgrows it is made durable by whichever way is cheaper.
	maxOpen = 128
)

// A durability remembers what each way cost, by the file, and how often it
// was taken. While a batch is committed the next one is written, so syncfs
// also writes what has come of that by then: the next syncfs finds it done.
type durability struct {
	whole, single time.Duration
	wholes        int // batches
	singles       int
	without       bool // there is no syncfs here
	// How many messages were renamed from tmp, and linked as files without a name.
	renamed, linked int
}

// Durability tells how delivered mail was made durable, and what that cost.
type Durability struct {
	// Mode is "off" without fsync, "syncfs" or "fdatasync" by the way that big
	// batches took last, "" if there was none.
	Mode string
	// SyncFS and FDataSync are what each way cost lately, by the message; 0 if
	// it was not tried.
	SyncFS, FDataSync time.Duration
	// BySyncFS and ByFDataSync are how many big batches went each way. Small
	// batches are always synced file by file.
	BySyncFS, ByFDataSync int
	// Renamed and Linked are how many messages got their place by a rename from
	// tmp, and by a link to a file that had no name until then. Linked is 0
	// where the file system does not have such files, or none that last.
	Renamed, Linked int
}

// Durability tells what was chosen in this run. It is for a person to read,
// when nothing is delivered any more.
func (m *Maildir) Durability() Durability {
	m.committing.Lock()
	defer m.committing.Unlock()
	d := &m.durable
	out := Durability{SyncFS: d.whole, FDataSync: d.single, BySyncFS: d.wholes, ByFDataSync: d.singles, Renamed: d.renamed, Linked: d.linked}
	switch {
	case !m.opt.FSync:
		out.Mode = "off"
	case d.wholes+d.singles == 0:
	case d.preferWhole() && !d.without:
		out.Mode = "syncfs"
	default:
		out.Mode = "fdatasync"
	}
	return out
}

// preferWhole tells whether the whole file system is to be synced for a big
// batch: unless it was tried and cost more than the other way. What was not
// tried yet is tried once it seems worth it.
func (d *durability) preferWhole() bool {
	switch {
	case d.whole == 0:
		return true
	case d.single == 0:
		return d.whole < dearWhole
	}
	return d.whole <= d.single
}

// tookWhole and tookSingle account for a batch.
func (d *durability) tookWhole(took time.Duration, files int) {
	d.whole = spent(d.whole, took, files)
	d.wholes++
}

func (d *durability) tookSingle(took time.Duration, files int) {
	d.single = spent(d.single, took, files)
	d.singles++
	// What made syncfs dear was somebody else's writing, which ends: it is
	// tried again in a while. The cost of single files tells of the disk, and stays.
	d.whole -= d.whole / fade
}

// fade is how fast a dear syncfs is forgotten: by that part with each batch.
const fade = 8

// dearWhole is what syncfs may cost by the file before the other way is tried.
const dearWhole = 2 * time.Millisecond

// spent averages what a way costs, the newest counting half.
func spent(old, took time.Duration, files int) time.Duration {
	now := max(took/time.Duration(max(files, 1)), 1)
	if old == 0 {
		return now
	}
	return (old + now) / 2
}

// closeUnsynced closes what a big batch has open, but for files without a
// name, and leaves the syncing to Commit.
func (b *batch) closeUnsynced() {
	for _, s := range b.open {
		if err := s.close(); err != nil {
			s.placed.Err = localFault(mail.GradeMessage, err)
			b.discard(s)
			continue
		}
		b.unsynced = append(b.unsynced, s)
	}
	b.open = b.open[:0]
}

// close closes a file that can be found again by its name.
func (s *staged) close() error {
	if s.how != linkNever {
		return nil
	}
	file := s.file
	s.file = nil
	return file.Close()
}

// syncAll makes the bytes of everything that was added durable.
func (b *batch) syncAll() {
	if !b.m.opt.FSync || len(b.unsynced) == 0 {
		b.syncOpen()
		return
	}
	b.closeUnsynced()
	files := len(b.unsynced)
	began := time.Now()
	if !b.m.durable.without && b.m.durable.preferWhole() {
		err := b.tmp.syncFS()
		if err == nil {
			b.m.durable.tookWhole(time.Since(began), files)
			b.unsynced = nil
			return
		}
		// Not to be had here, or it failed for somebody else's file: each by
		// itself tells.
		b.m.durable.without = errors.Is(err, unix.ENOSYS)
		began = time.Now()
	}
	b.syncEach()
	b.m.durable.tookSingle(time.Since(began), files)
}

// syncEach syncs every file; it opens those again that were closed. An error
// that the file system met before is told to a new opener as well (Linux
// since 4.13).
func (b *batch) syncEach() {
	var g errgroup.Group
	g.SetLimit(syncers)
	for _, s := range b.unsynced {
		g.Go(func() error {
			err := b.syncAgain(s)
			if err != nil {
				s.placed.Err = localFault(mail.GradeMessage, err)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in placed
	for _, s := range b.unsynced {
		if s.placed.Err != nil {
			b.discard(s)
		}
	}
	b.unsynced = nil
}

// syncAgain syncs a file that was left unsynced.
func (b *batch) syncAgain(s *staged) error {
	if s.file != nil {
		return s.file.sync()
	}
	file, _, err := b.tmp.read(s.name)
	if err != nil {
		return err
	}
	return errors.Join(file.sync(), file.Close())
}

// syncOpen makes the bytes of the open files durable and closes them, but for
// files without a name.
func (b *batch) syncOpen() {
	var g errgroup.Group
	g.SetLimit(syncers)
	for _, s := range b.open {
		g.Go(func() error {
			var err error
			if b.m.opt.FSync {
				err = s.file.sync()
			}
			if cerr := s.close(); err == nil {
				err = cerr
			}
			if err != nil {
				s.placed.Err = localFault(mail.GradeMessage, err)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in placed
	for _, s := range b.open {
		if s.placed.Err != nil {
			b.discard(s)
		}
	}
	b.open = b.open[:0]
}

// syncFS makes everything on the directory's file system durable. It fails
// where the kernel does not have it, or does not tell of errors by it.
func (d *dir) syncFS() error {
	if !syncfsTells() {
		return unix.ENOSYS
	}
	return d.seam.run("sync the file system of", d.path, func() error { return syncFileSystem(d.fd) })
}
