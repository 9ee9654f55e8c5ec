package hook

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A bench is a runner whose outcomes are kept, and a directory for commands.
type bench struct {
	*testing.T
	*Runner
	dir string

	mu  sync.Mutex
	got []Outcome
}

func newBench(t *testing.T, ctx context.Context, rest time.Duration) *bench {
	b := &bench{T: t, dir: t.TempDir()}
	env := Environment(func(name string) string {
		return map[string]string{"PATH": os.Getenv("PATH"), "HOME": b.dir, "MAIL_PASSWORD": "hunter2", "NOTIFY_SOCKET": "/run/systemd"}[name]
	})
	b.Runner = New(ctx, env, rest, func(o Outcome) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.got = append(b.got, o)
	})
	return b
}

// command is one that ends by itself.
func command(line string) Command {
	return Command{Account: "me", Kind: "on_new_mail", Line: line, Timeout: time.Hour}
}

func mailOf(box mail.MailboxName, n int) NewMail {
	m := NewMail{Head: Head{Type: "new_mail", Account: "me"}}
	for i := range n {
		m.Add(Message{Mailbox: box, Ref: mail.Ref(fmt.Sprint(box, i)), Size: 10})
	}
	return m
}

// fifo makes a pipe with a name.
func (b *bench) fifo(name string) string {
	path := filepath.Join(b.dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// all reads a file or a pipe to its end.
func (b *bench) all(path string) string {
	b.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// write lets who reads the pipe go on.
func (b *bench) write(path string) {
	b.Helper()
	if err := os.WriteFile(path, []byte("\n"), 0); err != nil {
		b.Fatal(err)
	}
}

// What happens while a command runs is told to the next one, in one call.
func TestCallsAreGathered(t *testing.T) {
	b := newBench(t, t.Context(), time.Hour)
	began, release := b.fifo("began"), b.fifo("go")
	line := "cd ~; cat >>in; echo >began; read x <go"
	b.Call(command(line), mailOf("INBOX", 1))
	b.all(began)
	for _, m := range []NewMail{mailOf("INBOX", 2), mailOf("Work", 3), mailOf("INBOX", 120)} {
		b.Call(command(line), m)
	}
	// Another kind does not wait.
	other := b.fifo("other")
	b.Call(Command{Account: "me", Kind: "on_change", Line: "cat >~/other", Timeout: time.Hour}, Change{Local: Done{Copied: 1}})
	if text := b.all(other); !strings.Contains(text, `"local":{"copied":1,`) {
		t.Errorf("on_change was told %s", text)
	}
	b.write(release)
	b.all(began)
	b.write(release)
	b.Close()
	var told []NewMail
	lines := bufio.NewScanner(strings.NewReader(b.all(filepath.Join(b.dir, "in"))))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m NewMail
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		told = append(told, m)
	}
	if len(told) != 2 || told[0].Mailboxes[0] != (Mailbox{"INBOX", 1, 10}) {
		t.Fatalf("told %+v", told)
	}
	want := []Mailbox{{"INBOX", 122, 1220}, {"Work", 3, 30}}
	if second := told[1]; !slices.Equal(second.Mailboxes, want) || len(second.Messages) != mostMessages || second.More != 25 ||
		second.Messages[2].Mailbox != "Work" {
		t.Errorf("the second was told of %+v, %d messages and %d more", second.Mailboxes, len(second.Messages), second.More)
	}
}

func (b *bench) outcomes() []Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// Errors of one class are one, the last; of another one they are told too.
func TestErrorsAreGatheredByClass(t *testing.T) {
	q := &queue{}
	for i, class := range []mail.Class{mail.ClassAuth, mail.ClassNetwork, mail.ClassAuth} {
		q.add(call{what: Error{Class: class, Failures: i}})
	}
	if len(q.waiting) != 2 || q.waiting[0].what.(Error).Failures != 2 || q.waiting[1].what.(Error).Class != mail.ClassNetwork {
		t.Errorf("%+v", q.waiting)
	}
}

func TestChangesAddUp(t *testing.T) {
	one := Done{1, 2, 3, 4, 5, 6, 7, 8}
	c := Change{Local: one, Adopted: 1}.join(Change{Head: Head{Account: "b"}, Local: one, Remote: one, Adopted: 2}).(Change)
	if c.Local != (Done{2, 4, 6, 8, 10, 12, 14, 16}) || c.Remote != one || c.Adopted != 3 || c.Account != "b" {
		t.Errorf("%+v", c)
	}
}

// Generations that come while a hook runs are told as the last of them, with
// what came of all.
func TestBackupsAddUp(t *testing.T) {
	one := Backup{Generation: 1, Complete: true, Came: 1, Went: 2, Changed: 3, Moved: 4, Messages: 10, Stored: 5}
	two := Backup{Generation: 2, Why: "x", Came: 10, Went: 20, Changed: 30, Moved: 40, Messages: 20, Stored: 50, Quarantined: 6}
	want := Backup{Generation: 2, Why: "x", Came: 11, Went: 22, Changed: 33, Moved: 44, Messages: 20, Stored: 55, Quarantined: 6}
	if got := one.join(two).(Backup); got != want {
		t.Errorf("%+v", got)
	}
}

// A command that takes too long is ended with all that it began, also what
// will not hear SIGTERM.
func TestTooLong(t *testing.T) {
	for name, deaf := range map[string]string{"hears": "", "deaf": "trap '' TERM; "} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, t.Context(), time.Hour)
			held := b.fifo("held")
			c := command("exec 3>~/held; " + deaf + "echo begun; sleep 1000 & sleep 1000")
			c.Timeout = 200 * time.Millisecond
			b.Call(c, mailOf("INBOX", 1))
			b.all(held) // ends when nobody has it open any more
			b.Close()
			if o := b.outcomes(); len(o) != 1 || o[0].Err == nil || !strings.Contains(o[0].Err.Error(), "took longer than 200ms") || o[0].Output != "begun" {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestFailing(t *testing.T) {
	b := newBench(t, t.Context(), time.Hour)
	b.Call(command("echo broken >&2; yes | head -c 10000; exit 3"), mailOf("INBOX", 1))
	b.Call(command(""), mailOf("INBOX", 1))
	b.Close()
	o := b.outcomes()
	if len(o) != 1 || o[0].Err == nil || o[0].Err.Error() != "exit status 3" || !strings.HasPrefix(o[0].Output, "broken\ny\n") ||
		!strings.HasSuffix(o[0].Output, " …") || len(o[0].Output) > mostOutput+10 {
		t.Errorf("%+v", o)
	}
}

// What a command leaves running does not hold up the next one.
func TestLeavesSomethingRunning(t *testing.T) {
	b := newBench(t, t.Context(), time.Hour)
	release := b.fifo("release")
	b.Call(command("echo left; read x <~/release &"), mailOf("INBOX", 1))
	b.Close()
	if o := b.outcomes(); len(o) != 1 || o[0].Err != nil || o[0].Output != "left" {
		t.Errorf("%+v", o)
	}
	// It was left alone: it reads this.
	b.write(release)
}

// At the end of the program, commands have a little left, and no new one begins.
func TestEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := newBench(t, ctx, 50*time.Millisecond)
	began := b.fifo("began")
	b.Call(command("echo >~/began; sleep 1000"), mailOf("INBOX", 1))
	b.all(began)
	b.Call(command("echo never"), mailOf("INBOX", 1))
	cancel()
	b.Close()
	o := b.outcomes()
	if len(o) != 2 || o[0].Err == nil || o[0].Err.Error() != "it was ended with godwit" ||
		o[1].Err == nil || !strings.Contains(o[1].Err.Error(), "not run") || o[1].Output != "" {
		t.Errorf("%+v", o)
	}
}

// One that is quick enough ends by itself though the program ends.
func TestEndLeavesTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := newBench(t, ctx, time.Hour)
	began, release := b.fifo("began"), b.fifo("go")
	b.Call(command("echo >~/began; read x <~/go; echo done"), mailOf("INBOX", 1))
	b.all(began)
	cancel()
	b.write(release)
	b.Close()
	if o := b.outcomes(); len(o) != 1 || o[0].Err != nil || o[0].Output != "done" {
		t.Errorf("%+v", o)
	}
}

func TestEnvironment(t *testing.T) {
	b := newBench(t, t.Context(), time.Hour)
	b.Call(command("env; pwd"), mailOf("INBOX", 1))
	b.Close()
	text := b.outcomes()[0].Output
	for _, want := range []string{"HOME=" + b.dir, "GODWIT_ACCOUNT=me", "GODWIT_HOOK=on_new_mail", "PATH=", "\n/"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "hunter2") || strings.Contains(text, "NOTIFY_SOCKET") {
		t.Errorf("it has got %s", text)
	}
}

// A command need not read what it is told.
func TestNotRead(t *testing.T) {
	b := newBench(t, t.Context(), time.Hour)
	m := mailOf("INBOX", 100)
	for i := range m.Messages {
		m.Messages[i].MessageID = strings.Repeat("long", 250)
	}
	b.Call(command("exec <&-"), m)
	b.Close()
	if o := b.outcomes(); len(o) != 1 || o[0].Err != nil {
		t.Errorf("%+v", o)
	}
}
