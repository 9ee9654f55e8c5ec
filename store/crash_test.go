package store

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// withOneRow is a closed index with one mailbox and one message in it.
func withOneRow(t *testing.T) (dir string, row plan.Row) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "personal")
	s := must[*Store](t)(Open(context.Background(), dir))
	settle(t, s, &plan.Settlement{Boxes: []*plan.BoxRecord{pair("INBOX")}})
	r := paired(1, "first", "first")
	settle(t, s, &plan.Settlement{Put: []*plan.Row{r}})
	finish(t, s)
	return dir, *r
}

// files are the names, modes, sizes and times of all files in dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, e := range must[[]fs.DirEntry](t)(os.ReadDir(dir)) {
		info := must[fs.FileInfo](t)(e.Info())
		out = append(out, fmt.Sprint(e.Name(), info.Mode(), info.Size(), info.ModTime()))
	}
	return out
}

func TestKilledInTheMiddleLeavesNothing(t *testing.T) {
	dir, first := withOneRow(t)
	c := startChild(t, "middle", dir)
	if line := c.says(); line != "middle" {
		t.Fatal(line)
	}
	wal := must[fs.FileInfo](t)(os.Stat(filepath.Join(dir, IndexFile+"-wal")))
	if wal.Size() < 1<<20 {
		t.Errorf("the -wal file has %d bytes: nothing of the transaction is on the disk", wal.Size())
	}
	look := func(when string) {
		t.Helper()
		before := files(t, dir)
		s := must[*Store](t)(OpenReadOnly(context.Background(), dir))
		same(t, when, allRows(t, s), []plan.Row{first})
		finish(t, s)
		if after := files(t, dir); !slices.Equal(before, after) {
			t.Errorf("%s: reading changed the directory:\n%v\n%v", when, before, after)
		}
	}
	look("while another process is in the middle")
	c.kill()
	look("after it was killed, read only")
	s := open(t, dir)
	same(t, "after it was killed", allRows(t, s), []plan.Row{first})
	next := paired(1, "next", "next")
	settle(t, s, &plan.Settlement{Put: []*plan.Row{next}})
	if next.ID != first.ID+1 {
		t.Errorf("the next message has the number %d", next.ID)
	}
}

func TestKilledAfterSettleKeepsIt(t *testing.T) {
	dir, _ := withOneRow(t)
	c := startChild(t, "settle", dir)
	for n := 1; n <= 20; n++ {
		if line := c.says(); line != fmt.Sprint("settled ", n) {
			t.Fatal(line)
		}
	}
	c.kill()
	s := open(t, dir)
	rows := allRows(t, s)
	if settled := len(rows) - 1; settled < 20*batchSize || settled%batchSize != 0 {
		t.Errorf("%d messages remain, of batches of %d, of which 20 were told to be settled", settled, batchSize)
	}
	if n := len(known(t, s, plan.Local, 1)); n != len(rows) {
		t.Errorf("%d are known, of %d", n, len(rows))
	}
}

// A reader in another process sees whole settlements only, while they are made.
func TestReadWhileAnotherProcessWrites(t *testing.T) {
	dir, _ := withOneRow(t)
	c := startChild(t, "settle", dir)
	for last := 0; last < 15*batchSize; {
		line := c.says()
		var told int
		if _, err := fmt.Sscanf(line, "settled %d", &told); err != nil {
			t.Fatal(line)
		}
		s := must[*Store](t)(OpenReadOnly(context.Background(), dir))
		status := must[[]MailboxStatus](t)(s.Status(context.Background()))
		n := status[0].Rows[plan.Paired] - 1
		if n%batchSize != 0 || n < told*batchSize || n < last || status[0].Box.Side[plan.Local].Known != n+1 {
			t.Errorf("%d messages after %d were seen and %d batches were told of", n, last, told)
		}
		last = n
		if err := s.Settle(context.Background(), &plan.Settlement{Drop: []int64{1}}); err == nil {
			t.Error("a reader settled")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	c.kill()
	finish(t, must[*Store](t)(Open(context.Background(), dir)))
}

func TestSetAsideAndBeginAnew(t *testing.T) {
	dir, _ := withOneRow(t)
	path := filepath.Join(dir, IndexFile)
	if err := os.WriteFile(path, []byte("this is no index"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), dir)
	if mail.GradeOf(err, 0) != mail.GradeAccount || mail.ClassOf(err) != mail.ClassLocal {
		t.Errorf("a damaged index: %v", err)
	}
	damaged(t, dir, err)
	s := open(t, dir)
	same(t, "rows of the new index", allRows(t, s), nil)
}
