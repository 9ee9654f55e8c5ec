package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// environment tells where and with what this was measured.
func (b *bench) environment() string {
	var out strings.Builder
	say := func(what, format string, args ...any) {
		fmt.Fprintf(&out, "- %s: %s\n", what, fmt.Sprintf(format, args...))
	}
	say("date", "%s, took %s", b.began.Format("2006-01-02"), time.Since(b.began).Round(time.Second))
	say("machine", "%d cores (%s), %s", runtime.NumCPU(), processor(), printed("uname", "-sr"))
	say("file system", "%s; a file of 4 kB written and made durable by fdatasync: median %s; an empty one created: %s", fileSystem(b.dir), short(b.latency()), b.creation())
	for _, r := range b.rows {
		if told := r.of("godwit").durable; told != "" {
			say("in row "+r.name, "%s", told)
		}
	}
	say("godwit", "%s, %s", printed("git", "describe", "--always", "--dirty"), runtime.Version())
	say("against", "Dovecot %s (%s); %s; OfflineIMAP %s", printed("dovecot", "--version"), *store, printed(mbsyncBinary(), "--version"), printed("offlineimap", "--version"))
	say("link", "loopback; with a round trip: a relay that delays each direction by half of it, and the connection's set-up by one, with no limit of bandwidth")
	say("figures", "medians of %d rounds; \"faster\" is the median of the better mbsync over that of godwit; \"fastest runs\" and \"CPU\" are the same of the fastest runs and of user and system time, and suffer less from a busy machine", *rounds)
	if raceEnabled || !earnest() {
		say("mind", "this is the miniature: its figures mean nothing")
	}
	return out.String()
}

// latency is what it takes to make a small file durable.
func (b *bench) latency() time.Duration {
	dir := b.fresh("latency")
	var list []time.Duration
	for i := range 51 {
		began := time.Now()
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.t.Fatal(err)
		}
		_, err = f.Write(make([]byte, 4096))
		if err == nil {
			err = fdatasync(f)
		}
		f.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, time.Since(began))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// creation is what it takes to create a file. On ext4 it is many times as much
// where many files were just deleted, for every program alike.
func (b *bench) creation() time.Duration {
	const n = 2000
	dir := b.fresh("creation")
	began := time.Now()
	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.t.Fatal(err)
		}
		f.Close()
	}
	return (time.Since(began) / n).Round(100 * time.Nanosecond)
}

// printed is the first line that a command prints, "unknown" if it fails.
func printed(name string, args ...string) string {
	if _, err := exec.LookPath(name); err != nil {
		name = filepath.Join("/usr/sbin", name) // Dovecot's is not on everybody's path
	}
	out, err := exec.Command(name, args...).Output()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil || line == "" {
		return "unknown"
	}
	return line
}

func fileSystem(dir string) string {
	out, err := exec.Command("df", "--output=fstype", dir).Output()
	_, kind, _ := strings.Cut(string(out), "\n")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(kind)
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ": \t")
		}
	}
	return runtime.GOARCH
}
