package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Some tests need another process, to kill it: the test program itself, told
// by these variables what to play and in which directory.
const (
	childRole = "GODWIT_TEST_CHILD"
	childDir  = "GODWIT_TEST_DIR"
)

func TestMain(m *testing.M) {
	roles := map[string]func(dir string) error{"lock": childLocks, "settle": childSettles, "middle": childStopsInTheMiddle}
	role := roles[os.Getenv(childRole)]
	if role == nil {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(childDir)); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent kills it, or is gone
}

func childLocks(dir string) error {
	lock, err := Lock(dir)
	if err == nil {
		fmt.Println("locked", lock.file.Name())
	}
	return err
}

// batchSize is how many messages a child settles at once.
const batchSize = 200

// childSettles settles one batch after the other, and says so after each.
func childSettles(dir string) error {
	s, err := Open(context.Background(), dir)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if err := s.Settle(context.Background(), &plan.Settlement{Put: batch(n, batchSize)}); err != nil {
			return err
		}
		fmt.Println("settled", n+1)
	}
}

func batch(n, size int) []*plan.Row {
	var rows []*plan.Row
	for i := range size {
		ref := mail.Ref(fmt.Sprint(n*size + i))
		rows = append(rows, paired(1, ref, ref))
	}
	return rows
}

// childStopsInTheMiddle stops before the commit of a settlement that is
// larger than SQLite's cache, so that a part of it lies in the -wal file.
func childStopsInTheMiddle(dir string) error {
	s, err := Open(context.Background(), dir)
	if err != nil {
		return err
	}
	return s.db.Update(context.Background(), func(tx *sqlite.Tx) error {
		st := &plan.Settlement{Drop: []int64{1}}
		for i := range 60_000 {
			st.Put = append(st.Put, generated(1, i))
		}
		w := &settling{tx: tx, st: st}
		if err := w.drop(); err != nil {
			return err
		}
		if err := w.putRows(); err != nil {
			return err
		}
		fmt.Println("middle")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	})
}

// A child is a process that plays a role.
type child struct {
	tb    testing.TB
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startChild(tb testing.TB, role, dir string) *child {
	tb.Helper()
	cmd := exec.Command(must[string](tb)(os.Executable()))
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	stdin := must[io.WriteCloser](tb)(cmd.StdinPipe())
	out := must[io.ReadCloser](tb)(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c := &child{tb: tb, cmd: cmd, lines: bufio.NewScanner(out)}
	tb.Cleanup(func() {
		_ = stdin.Close()
		c.kill()
	})
	return c
}

// says waits for the child's next line.
func (c *child) says() string {
	c.tb.Helper()
	if !c.lines.Scan() {
		c.tb.Fatal("the child has ended")
	}
	return c.lines.Text()
}

// kill ends the child with SIGKILL and waits until it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}
