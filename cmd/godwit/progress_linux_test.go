package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/sync/engine"
)

// openTerminal gives both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	return user, program
}

// readUntil reads from the terminal until text was shown.
func readUntil(t *testing.T, terminal *os.File, text string) string {
	t.Helper()
	found := make(chan string, 1)
	go func() {
		var all strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(all.String(), text) {
			n, err := terminal.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				break
			}
		}
		found <- all.String()
	}()
	select {
	case shown := <-found:
		if !strings.Contains(shown, text) {
			t.Fatalf("the terminal shows %q, without %q", shown, text)
		}
		return shown
	case <-time.After(20 * time.Second):
		t.Fatalf("the terminal does not show %q", text)
	}
	return ""
}

func TestProgressOnATerminal(t *testing.T) {
	user, program := openTerminal(t)
	a := &app{stdout: program, stderr: program, env: func(string) string { return "" }, now: time.Now}
	a.out = &printer{app: a}
	p := a.newProgress("personal")
	if p == nil {
		t.Fatal("no progress on a terminal")
	}
	defer p.end()
	p.event(engine.Event{Kind: engine.Totals, Messages: 5000, Bytes: 5e6})
	for range 7 {
		p.event(engine.Event{Kind: engine.Action, Verb: engine.VerbCopied, Size: 1000})
	}
	shown := readUntil(t, user, "personal 7 of 5000 messages")
	shown += readUntil(t, user, "B/s")
	if !strings.Contains(shown, "MB") {
		t.Errorf("the terminal shows no sizes: %q", shown)
	}
	a.out.info("a line in between")
	readUntil(t, user, "a line in between")
}

// TestNoProgressElsewhere: redirected, there are plain lines only.
func TestNoProgressElsewhere(t *testing.T) {
	_, program := openTerminal(t)
	env := func(string) string { return "" }
	for name, a := range map[string]*app{
		"a file":          {stdout: &bytes.Buffer{}, env: env},
		"--json":          {stdout: program, env: env, json: true},
		"-q":              {stdout: program, env: env, quiet: true},
		"a dumb terminal": {stdout: program, env: func(string) string { return "dumb" }},
	} {
		if p := a.newProgress("x"); p != nil {
			t.Errorf("progress with %s", name)
		}
	}
}
