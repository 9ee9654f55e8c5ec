package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/config"
)

// archive tells whether the archive can be written to, how much room there is,
// and how old what it holds is.
func (c *checker) archive(ctx context.Context, acc *config.Account) {
	c.directory("archive", acc.Archive)
	if free, ok := freeSpace(acc.Archive); ok {
		c.good("archive", "%s are free where it lies", bytesText(free))
	}
	a, err := archive.OpenReadOnly(ctx, acc.Archive)
	if errors.Is(err, archive.ErrNone) {
		if last := before(acc).Backup; last != nil && last.Generation > 0 && last.Archive == acc.Archive {
			c.bad("archive", errors.New("it held mail at the last backup, and is not there: if its disk is not mounted, mount it"))
		}
		return
	}
	if err != nil {
		c.bad("archive", err)
		return
	}
	defer a.Close()
	g, err := a.Latest(ctx)
	switch {
	case errors.Is(err, archive.ErrNoGeneration):
		c.note("archive", "no generation is complete yet")
	case err != nil:
		c.bad("archive", err)
	default:
		c.good("archive", "generation #%d of %s ago is the newest complete one: %s in %s", g.Number, ageText(c.now().Sub(g.Ended)),
			count(g.Messages, "message"), count(g.Mailboxes, "mailbox"))
	}
}

// freeSpace is how many bytes the user may yet write in dir, or where it would
// be made.
func freeSpace(dir string) (int64, bool) {
	for {
		var fs syscall.Statfs_t
		err := syscall.Statfs(dir, &fs)
		if err == nil {
			return int64(fs.Bavail) * int64(fs.Bsize), true
		}
		if !os.IsNotExist(err) || dir == filepath.Dir(dir) {
			return 0, false
		}
		dir = filepath.Dir(dir)
	}
}
