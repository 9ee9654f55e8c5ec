package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Some tests need another process, to kill it: the test program itself, told
// by this variable in which directory to write.
const childDir = "GODWIT_TEST_ARCHIVE"

// childRetains is set where generations are given up as well, after each.
const childRetains = "GODWIT_TEST_RETENTION"

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := writeForEver(dir); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// writeForEver plays the scenes again and again, and says each step before it
// is done, and each generation once it has ended.
func writeForEver(dir string) error {
	ctx := context.Background()
	a, err := Open(ctx, Options{Dir: dir, seam: func(call, path string, do func() error) error {
		fmt.Println("step", call, path)
		return do()
	}})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		p := player{a: a}
		g, err := p.play(ctx, scenes[i%len(scenes)])
		if err != nil {
			return err
		}
		if g != nil {
			fmt.Println("ended", g.Number, i%len(scenes))
		}
		if os.Getenv(childRetains) == "" {
			continue
		}
		if _, err := a.Retain(ctx, Retention{Policy: Policy{Last: 2}}); err != nil {
			return err
		}
	}
}

// TestKilled kills a process that writes to an archive, time and again. What
// it said had ended is complete and shows what it should, all that the
// catalogue names is there, and the next one goes on.
func TestKilled(t *testing.T) {
	dir := filepath.Join(inMemoryDir(t), "archive")
	r := rand.New(rand.NewPCG(5, 5))
	ended := map[int64]int{}
	for range 12 {
		killAfter(t, dir, 1+r.IntN(150), ended)
		a, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		sound(t, a)
		for n, scene := range ended {
			if g, err := a.Generation(t.Context(), n); err != nil || !g.Complete {
				t.Errorf("generation %d, which had ended: %+v, %v", n, g, err)
			}
			if got, want := withoutRefs(showSide(t, a.View(n))), scenes[scene].show(); got != want {
				t.Errorf("generation %d reads\n%swant\n%s", n, got, want)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(ended) < 10 {
		t.Errorf("%d generations were ended: the test shows little", len(ended))
	}
}

// TestKilledWhileItRetains is the same while generations are given up: what is
// kept reads as it did, and the next one leaves no file over.
func TestKilledWhileItRetains(t *testing.T) {
	t.Setenv(childRetains, "yes")
	opt := Options{Dir: filepath.Join(inMemoryDir(t), "archive")}
	r := rand.New(rand.NewPCG(6, 6))
	ended := map[int64]int{}
	retired, reads := 0, 0
	for range 12 {
		killAfter(t, opt.Dir, 1+r.IntN(200), ended)
		a := open(t, opt)
		sound(t, a)
		retired, reads = 0, 0
		for n, scene := range ended {
			g, err := a.Generation(t.Context(), n)
			if err != nil || !g.Complete {
				t.Errorf("generation %d, which had ended: %+v, %v", n, g, err)
			}
			if !g.Retired.IsZero() {
				retired++
				continue
			}
			reads++
			if got, want := withoutRefs(showSide(t, a.View(n))), scenes[scene].show(); got != want {
				t.Errorf("generation %d reads\n%swant\n%s", n, got, want)
			}
		}
		if _, err := a.Retain(t.Context(), Retention{Policy: Policy{Last: 2}}); err != nil {
			t.Error(err)
		}
		(&keeper{life: &life{t: t, opt: opt, a: a}}).checkFiles()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if retired < 10 || reads == 0 {
		t.Errorf("%d generations were given up, %d are kept: the test shows little", retired, reads)
	}
}

// killAfter lets a child write, and kills it after that many steps.
func killAfter(t *testing.T, dir string, steps int, ended map[int64]int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch text := lines.Text(); {
		case strings.HasPrefix(text, "step"):
			if steps--; steps == 0 {
				err = cmd.Process.Kill()
			}
		case strings.HasPrefix(text, "ended"):
			var n int64
			var scene int
			_, err = fmt.Sscanf(text, "ended %d %d", &n, &scene)
			ended[n] = scene
		default:
			t.Errorf("the child says %q", text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.Copy(io.Discard, out) // it is dead
	_ = cmd.Wait()                  // by a signal
}
