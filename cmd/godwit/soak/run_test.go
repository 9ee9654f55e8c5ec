package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A ran is what a run of godwit came to.
type ran struct {
	code int // -1: killed
	out  string
	took time.Duration
	// passed is how many bytes went up and down.
	passed [2]int64
}

// runLimit is longer than any run may take, whatever was cut.
const runLimit = 90 * time.Second

// run starts godwit, with tripwires set, and waits for its end and for that of
// all that it began on the server; during gets the process.
func (x *soak) run(wires []*tripwire, during func(p *exec.Cmd), args ...string) ran {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--config", x.config(), "sync", "-v"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	x.proxy.arm(wires...)
	if x.proxy.record != nil {
		fmt.Fprintf(x.proxy.record, "== round %d, run %d\n", x.now, x.count.runs)
	}
	began := time.Now()
	x.must(cmd.Start())
	if during != nil {
		during(cmd)
	}
	err := cmd.Wait()
	took := time.Since(began)
	passed, stuck := x.proxy.disarm()
	x.must(stuck)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		x.fail("running godwit: %v", err)
	}
	r := ran{code: cmd.ProcessState.ExitCode(), out: out.String(), took: took, passed: passed}
	x.count.runs++
	x.tell("run %v: exit %d after %v", args, r.code, r.took.Round(time.Millisecond))
	for line := range strings.Lines(r.out) {
		x.tell("    %s", strings.TrimRight(line, "\n"))
	}
	switch {
	case ctx.Err() != nil:
		x.fail("the run did not end within %v", runLimit)
	case strings.Contains(r.out, "panic:") || strings.Contains(r.out, "DATA RACE") || strings.Contains(r.out, "fatal error:"):
		x.fail("godwit crashed:\n%s", r.out)
	case r.code == 2:
		x.fail("godwit does not take its own configuration:\n%s", r.out)
	}
	return r
}

// sound fails if the index contradicts itself.
func (x *soak) sound() {
	x.t.Helper()
	index, err := store.Open(context.Background(), filepath.Join(x.dir, "state", "me"))
	x.must(err)
	err = errors.Join(index.CheckConsistency(context.Background()), index.Close())
	if err != nil {
		x.fail("the index is inconsistent: %v", err)
	}
}

// undisturbed runs godwit and wants an exit code.
func (x *soak) undisturbed(code int, args ...string) {
	x.t.Helper()
	r := x.run(nil, nil, args...)
	x.last = [2]int64{max(r.passed[up], 500), max(r.passed[down], 2000)}
	if r.code != code {
		x.fail("a clean run ends with %d, not %d:\n%s\nwhat differs:\n%s", r.code, code, r.out, x.differs(plan.Local)+x.differs(plan.Remote))
	}
	x.sound()
}

// clean is the run after which all must be as the model says.
func (x *soak) clean(args ...string) {
	x.t.Helper()
	x.undisturbed(0, args...)
	for _, s := range plan.Sides {
		if d := x.differs(s); d != "" {
			x.fail("the %s side is not as it must be:\n%s", s, d)
		}
	}
	x.settled()
	x.freed, x.freeing = append(x.freed, x.freeing...), nil
}

// differs compares a side with the model.
func (x *soak) differs(s plan.Side) string {
	got, err := x.snapshot(s)
	x.must(err)
	d := sidetest.Compare(x.want(), got)
	return strings.NewReplacer("the first", "the model", "the second", fmt.Sprintf("the %s side", s)).Replace(d)
}

func (x *soak) snapshot(s plan.Side) (sidetest.Snapshot, error) {
	if s == plan.Local {
		return x.mutt.snapshot()
	}
	return x.reader.snapshot()
}

// round is a while of life with runs that do not end well, and a clean one.
func (x *soak) round() {
	x.t.Helper()
	x.begun = [2]int{len(x.log), x.begun[0]}
	x.tell("== round %d", x.now)
	x.must(x.live())
	for range x.rng.IntN(3) {
		x.disturbed()
		if x.rng.IntN(2) == 0 {
			x.must(x.live())
		}
	}
	x.clean()
	if x.rng.IntN(2) == 0 {
		x.quiet()
	}
	if x.guard && x.rng.IntN(3) == 0 {
		x.catastrophe()
	}
}

// quiet fails unless a further run changes nothing.
func (x *soak) quiet() {
	x.t.Helper()
	files, err := x.mutt.fingerprint()
	x.must(err)
	server, err := x.reader.fingerprint()
	x.must(err)
	x.undisturbed(0)
	nowFiles, err := x.mutt.fingerprint()
	x.must(err)
	if nowFiles != files {
		x.fail("a further run changed the Maildir:\nbefore:\n%s\nafter:\n%s", files, nowFiles)
	}
	nowServer, err := x.reader.fingerprint()
	x.must(err)
	if nowServer != server {
		x.fail("a further run changed the server:\nbefore:\n%s\nafter:\n%s", server, nowServer)
	}
}

// somewhere is a byte of the coming run.
func (x *soak) somewhere(do func(l *link)) *tripwire {
	d := x.rng.IntN(2)
	return &tripwire{direction: d, n: x.rng.Int64N(x.last[d]*3/2 + 500), do: do}
}

// disturbed is a run that is killed or cut, or during which mail programs
// are used, or all of it.
func (x *soak) disturbed() {
	x.t.Helper()
	started := make(chan *exec.Cmd, 1)
	signal := func(how syscall.Signal) func(*link) {
		return func(*link) {
			p := <-started
			x.count.killed++
			_ = p.Process.Signal(how)
			started <- p
		}
	}
	var wires []*tripwire
	after := time.Duration(-1)
	kind := x.rng.IntN(10)
	switch kind {
	case 0, 1, 2:
		wires = append(wires, x.somewhere(signal(syscall.SIGKILL)))
	case 3, 4:
		after = time.Duration(x.rng.Int64N(int64(250 * time.Millisecond)))
	case 5, 6:
		wires = append(wires, x.somewhere(func(l *link) { x.count.cut++; l.sever() }))
	case 7:
		wires = append(wires, x.somewhere(func(*link) { x.count.cut++; x.proxy.severAll() }))
	case 8:
		wires = append(wires, x.somewhere(signal(syscall.SIGTERM)))
	}
	if kind == 9 || x.rng.IntN(2) == 0 {
		for range 1 + x.rng.IntN(2) {
			wires = append(wires, x.somewhere(func(*link) { x.mess() }))
		}
	}
	for _, w := range wires {
		x.tell("(at byte %d %s)", w.n, [2]string{"up", "down"}[w.direction])
	}
	x.tell("(disturbance %d)", kind)
	x.unsettled()
	x.running = true
	x.run(wires, func(p *exec.Cmd) {
		started <- p
		if after >= 0 {
			x.killAfter(p, after)
		}
	})
	x.running = false
	x.must(x.broken)
	x.unsettled()
	x.sound()
}

// killAfter ends the process after a while.
func (x *soak) killAfter(p *exec.Cmd, after time.Duration) {
	time.AfterFunc(after, func() { _ = p.Process.Kill() })
	x.count.killed++
}

// mess is what mail programs do while godwit runs.
func (x *soak) mess() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.broken != nil {
		return
	}
	x.count.meanwhile++
	x.tell("meanwhile:")
	x.broken = x.meanwhile()
	x.tell("then:")
}

// catastrophe empties a mailbox on one side. The guard holds that; then the
// user says what is to become of it.
func (x *soak) catastrophe() {
	x.t.Helper()
	s := x.side()
	b := x.pick(func(b *box) bool { return b.ballast && b.want != "Drafts" && b.want != "Trash" && len(x.in(b)) >= 3 })
	if b == nil {
		return
	}
	x.tell("catastrophe: %q is emptied on %s", b.want, s)
	lost := x.in(b)
	for _, m := range lost {
		x.must(x.programs[s].remove(b.want, m.mark()))
		m.touched = true
	}
	if x.rng.IntN(2) == 0 {
		// Deletions that could be moves into a mailbox that is not to be seen wait,
		// and are judged when it is, by what there is then.
		was := x.still
		x.still = true
		x.disturbed()
		x.still = was
	}
	x.undisturbed(3)
	if d := x.differs(s.Other()); d != "" {
		x.fail("what the guard should have held came to the other side:\n%s", d)
	}
	how := "--reject-deletes"
	if x.rng.IntN(2) == 0 {
		how = "--accept-deletes"
		b.ballast = false
		for _, m := range lost {
			m.gone = true
		}
	}
	x.clean(how)
	x.quiet()
}
