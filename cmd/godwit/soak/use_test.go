package soak

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A use is what the daemon takes of the machine.
type use struct {
	files, threads, goroutines, connections int

	resident, heap int // KiB
	cpu            time.Duration
}

func (u use) String() string {
	return fmt.Sprintf("%d KiB resident (%d KiB of heap), %d descriptors, %d connections, %d goroutines, %d threads, %v of processor time",
		u.resident, u.heap, u.files, u.connections, u.goroutines, u.threads, u.cpu)
}

// freePort is a port where nobody listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// use asks the daemon for its metrics.
func (c *crew) use() use {
	c.t.Helper()
	ask := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := ask.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", c.metrics))
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	told := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(r.Body, 16<<20))
	for lines.Scan() {
		if name, v, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			told[name], _ = strconv.ParseFloat(v, 64)
		}
	}
	at := func(name string) float64 {
		v, ok := told[name]
		if !ok {
			c.t.Errorf("the daemon's metrics lack %s", name)
		}
		return v
	}
	u := use{
		files: int(at("process_open_fds")), threads: int(at("process_num_threads")), goroutines: int(at("go_goroutines")),
		resident: int(at("process_resident_memory_bytes")) >> 10, heap: int(at("go_memstats_heap_inuse_bytes")) >> 10,
		cpu: time.Duration(at("process_cpu_seconds_total") * float64(time.Second)),
	}
	if u.connections, err = connections(c.daemon.Process.Pid, c.server); err != nil {
		c.t.Fatal(err)
	}
	return u
}

// connections counts those that a process has with a port of this machine.
func connections(pid, port int) (n int, err error) {
	proc := fmt.Sprintf("/proc/%d", pid)
	files, err := os.ReadDir(proc + "/fd")
	table, err2 := os.ReadFile(proc + "/net/tcp")
	if err := errors.Join(err, err2); err != nil {
		return 0, err
	}
	there := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		// The third field is the other end, the fourth the state, the tenth the inode.
		if f := strings.Fields(line); len(f) > 9 && f[3] == "01" && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) {
			there["socket:["+f[9]+"]"] = true
		}
	}
	for _, f := range files {
		if to, err := os.Readlink(filepath.Join(proc, "fd", f.Name())); err == nil && there[to] {
			n++
		}
	}
	return n, nil
}

// rest watches the daemon while nothing happens.
func (c *crew) rest() {
	c.t.Helper()
	if *idle == 0 {
		return
	}
	time.Sleep(10 * time.Second) // what the daemon hears of its own changes
	before, began := c.use(), time.Now()
	time.Sleep(*idle)
	after := c.use()
	c.t.Logf("idle for %v: %.3f %% of a core; %v", *idle, 100*float64(after.cpu-before.cpu)/float64(time.Since(began)), after)
}

// grown fails if the daemon has more open than a fresh one, or more going on.
func (c *crew) grown(first use) {
	c.t.Helper()
	c.quiet()
	last := c.use()
	c.t.Logf("at the beginning %v; at the end %v", first, last)
	c.kill()
	c.start()
	c.clean()
	c.quiet()
	fresh := c.use()
	c.t.Logf("a fresh daemon: %v", fresh)
	if last.files > fresh.files+5 {
		c.t.Errorf("%d descriptors, where a fresh daemon has %d", last.files, fresh.files)
	}
	if last.goroutines > fresh.goroutines+10 {
		c.t.Errorf("%d goroutines, where a fresh daemon has %d", last.goroutines, fresh.goroutines)
	}
	if last.connections > fresh.connections {
		c.t.Errorf("%d connections, where a fresh daemon has %d", last.connections, fresh.connections)
	}
}
