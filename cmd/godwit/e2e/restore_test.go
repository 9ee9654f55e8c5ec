package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// table is the configuration of one more account.
func table(name, user string, host string, port int, more string) string {
	return fmt.Sprintf("\n[accounts.%s]\nhost = %q\nport = %d\ntls = \"none\"\nusername = %q\npassword = %q\n%s\n", name, host, port, user, imaptest.Password, more)
}

// with is the account as another user of another server sees it.
func (a *account) with(server *imaptest.Server, user string) *account {
	b := *a
	b.server, b.user = server, user
	return &b
}

// at is the account with another Maildir.
func (a *account) at(root string) *account {
	b := *a
	b.root = root
	return &b
}

// undeleted is a snapshot as a restore brings it back: without \Deleted.
func undeleted(snap sidetest.Snapshot) sidetest.Snapshot {
	out := sidetest.Snapshot{}
	for name, list := range snap {
		out[name] = []sidetest.Message{}
		for _, m := range list {
			m.Flags = m.Flags.Without(mail.Deleted)
			out[name] = append(out[name], m)
		}
	}
	return out
}

// bytesOf are the exact bytes of all messages, sorted.
func bytesOf(snap sidetest.Snapshot) []string {
	var out []string
	for name, list := range snap {
		for _, m := range list {
			out = append(out, fmt.Sprintf("%s %x", name, sha256.Sum256(m.Body)))
		}
	}
	slices.Sort(out)
	return out
}

// history makes three generations of an account, and returns what the server
// held at each.
func (a *account) history() (states []sidetest.Snapshot) {
	a.t.Helper()
	zone := time.FixedZone("", -5*3600-1800)
	for n := range 12 {
		box := []string{"INBOX", "Work/Deep", "Entwürfe", "Lists.old"}[n%4]
		flags := [][]imap.Flag{{}, {imap.FlagSeen}, {imap.FlagFlagged, "$Todo"}, {imap.FlagDeleted, imap.FlagAnswered}, {"$Forwarded", "later"}}[n%5]
		a.append(box, letter(n), date(n).In(zone), flags...)
	}
	keep := func() {
		a.sync()
		states = append(states, a.remote())
	}
	keep()
	h := &hand{account: a, c: a.server.Client(a.user)}
	defer h.c.Close()
	h.storeThere("INBOX", 0, imap.StoreFlagsAdd, imap.FlagSeen, "$Todo")
	h.storeThere("Entwürfe", 2, imap.StoreFlagsDel, imap.FlagFlagged)
	h.deleteThere("Work/Deep", 5)
	h.moveThere("INBOX", 4, "Entwürfe")
	a.append("INBOX", letter(20), date(20))
	keep()
	need(a.t, h.c.Unselect().Wait() == nil && h.c.Delete("Lists.old").Wait() == nil, "the mailbox cannot be deleted")
	keep()
	return states
}

// restored runs a restore that must end with 0.
func (a *account) restored(args ...string) result {
	a.t.Helper()
	return a.exits(0, append([]string{"restore", "me"}, args...)...)
}

func TestRestoreEverywhere(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		second := imaptest.Dovecot(t)
		other := a.with(second, "other")
		a.configure("backup = true\ndelete_folders = true\ndelete_guard = \"off\"\n" + table("other", "other", second.Host, second.Port, ""))
		states := a.history()
		need(t, len(states[2]) == len(states[0])-1, "the mailbox is still there: %v", len(states[2]))
		for i, state := range states {
			at, want := fmt.Sprintf("--at=#%d", i+1), undeleted(state)
			dir := filepath.Join(a.dir, fmt.Sprint("as-of-", i+1))

			r := a.restored(at, "--to", "maildir:"+dir)
			tree := a.at(dir)
			same(t, "the Maildir "+r.out, manifest(tree.local()), manifest(want))
			need(t, slices.Equal(boxes(tree.local()), boxes(want)), "mailboxes %v, want %v", boxes(tree.local()), boxes(want))
			files := tree.fingerprint()
			a.restored(at, "--to", "maildir:"+dir)
			need(t, tree.fingerprint() == files, "a second restore changed the Maildir")

			a.restored(at, "--to", "eml:"+dir+".eml")
			same(t, "the eml files", readEML(t, dir+".eml"), manifest(state))

			user := fmt.Sprint("other", i)
			a.configure("backup = true\ndelete_folders = true\ndelete_guard = \"off\"\n" + table("other", user, second.Host, second.Port, ""))
			there := other.with(second, user)
			a.restored(at, "--to", "imap:other")
			same(t, "the second server", manifest(there.remote()), manifest(want))
			need(t, slices.Equal(bytesOf(there.remote()), bytesOf(want)), "the bytes on the second server are others")
			before := there.changes()
			a.restored(at, "--to", "imap:other")
			need(t, there.changes() == before, "a second restore changed the server")
			for name, list := range state {
				if len(list) > 0 {
					mbox := filepath.Join(a.dir, fmt.Sprintf("%d-%s.mbox", i, strings.ReplaceAll(string(name), "/", "_")))
					a.restored(string(name), at, "--to", "mbox:"+mbox)
					same(t, "the mbox of "+string(name), readMbox(t, mbox), plain(list))
				}
			}
		}
		// One after the other into one place: it gains what it lacks, no more.
		a.configure("backup = true\n" + table("other", "other0", second.Host, second.Port, ""))
		there := other.with(second, "other0")
		a.restored("--to", "imap:other")
		have := there.remote()
		for _, name := range boxes(states[0]) {
			for _, m := range states[0][mail.MailboxName(name)] {
				need(t, find(have, mail.MailboxName(name), text(m)) != nil, "%s in %s is gone", text(m), name)
			}
		}
		need(t, have.Messages() == states[0].Messages()+2, "%d messages, want %d", have.Messages(), states[0].Messages()+2) // one new, one moved
	})
}

// text is what only this message has.
func text(m sidetest.Message) string {
	_, after, _ := bytes.Cut(m.Body, []byte("Hello "))
	line, _, _ := bytes.Cut(after, []byte("\r\n"))
	return "Hello " + string(line)
}

func boxes(snap sidetest.Snapshot) []string {
	var names []string
	for name := range snap {
		names = append(names, string(name))
	}
	slices.Sort(names)
	return names
}

// plain are the texts of messages, sorted, with LF.
func plain(list []sidetest.Message) []string {
	var out []string
	for _, m := range list {
		out = append(out, strings.ReplaceAll(string(m.Body), "\r\n", "\n"))
	}
	slices.Sort(out)
	return out
}

// readMbox reads an mboxrd file as its definition says.
func readMbox(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, part := range strings.Split("\n"+strings.TrimSuffix(string(b), "\n"), "\nFrom ")[1:] {
		_, body, _ := strings.Cut(part, "\n")
		lines := strings.Split(body, "\n")
		for i, line := range lines {
			if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
				lines[i] = line[1:]
			}
		}
		out = append(out, strings.Join(lines, "\n"))
	}
	slices.Sort(out)
	return out
}

// readEML reads a directory of .eml files by its index, as a manifest.
func readEML(t *testing.T, dir string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "index.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	snap := sidetest.Snapshot{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var entry struct {
			File, Mailbox, Wire string
			Flags               []mail.Flag
			Date                time.Time
		}
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(filepath.Join(dir, entry.File))
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(body)); sum != entry.Wire {
			t.Errorf("%s has the digest %s, not %s", entry.File, sum, entry.Wire)
		}
		name := mail.MailboxName(entry.Mailbox)
		snap[name] = append(snap[name], sidetest.Message{Body: body, Flags: mail.NewFlagSet(entry.Flags...), Date: entry.Date})
	}
	return manifest(snap)
}

// A toll is a way to a server that is told of when so many bytes went there.
type toll struct {
	port   int
	server string

	mu    sync.Mutex
	paid  int64
	due   int64  // 0: never
	ended func() // called once, when due is paid
	conns []net.Conn
	wait  sync.WaitGroup
}

func newToll(t *testing.T, server *imaptest.Server) *toll {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &toll{port: l.Addr().(*net.TCPAddr).Port, server: server.Addr()}
	g.wait.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", g.server)
			if err != nil {
				client.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, client, server)
			g.mu.Unlock()
			g.wait.Go(func() { g.pass(server, client) })
			g.wait.Go(func() { io.Copy(client, server); client.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); g.cut(); g.wait.Wait() })
	return g
}

func (g *toll) pass(server, client net.Conn) {
	defer server.Close()
	buf := make([]byte, 512)
	for {
		n, err := client.Read(buf)
		g.mu.Lock()
		g.paid += int64(n)
		var ended func()
		if g.due > 0 && g.paid >= g.due {
			ended, g.due = g.ended, 0
		}
		g.mu.Unlock()
		if ended != nil {
			ended()
		}
		if _, e := server.Write(buf[:n]); err != nil || e != nil {
			return
		}
	}
}

// cut ends all connections that there are.
func (g *toll) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

// after calls ended when so many bytes more went to the server, and returns
// how many went so far since the last call.
func (g *toll) after(bytes int64, ended func()) (paid int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	paid, g.paid, g.due, g.ended = g.paid, 0, bytes, ended
	return paid
}

// during runs a command to its end, and does something when so many bytes went
// to the server.
func (g *toll) during(t *testing.T, cmd *exec.Cmd, bytes int64, do func()) error {
	t.Helper()
	started, hit := make(chan struct{}), make(chan struct{})
	g.after(bytes, func() {
		<-started
		do()
		close(hit)
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	err := cmd.Wait()
	g.mu.Lock()
	due := g.due
	g.mu.Unlock()
	need(t, due == 0, "the command ended before %d bytes went to the server: %v", bytes, err)
	<-hit
	g.after(0, nil)
	return err
}

// A restore to a server is killed, its connections are cut, or it is told to
// stop, at many points; the next one ends it: nothing is missing, and nothing
// is there twice.
func TestRestoreInterrupted(t *testing.T) {
	const points = 27
	ways := []string{"killed", "cut", "told to stop"}
	a := newAccount(t, imaptest.Dovecot(t), "me")
	second := imaptest.Dovecot(t)
	way := newToll(t, second)
	to := func(user string) *account {
		a.configure("backup = true\n" + table("other", user, "127.0.0.1", way.port, ""))
		return a.with(second, user)
	}
	to("none")
	var list []parcel
	for i, p := range parcels(150) {
		p.box = []string{"INBOX", "Work/Deep", "Entwürfe"}[i%3]
		list = append(list, p)
	}
	a.post(list)
	a.sync()
	want := manifest(undeleted(a.remote()))
	to("whole")
	way.after(0, nil)
	a.restored("--to", "imap:other")
	all := way.after(0, nil)
	for i := range int64(points) {
		user, how := fmt.Sprint("part", i), ways[i%3]
		there := to(user)
		cmd := exec.Command(binary, "--config", a.config, "restore", "me", "--to", "imap:other")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := way.during(t, cmd, all*(i+1)/(points+1), func() {
			switch how {
			case "killed":
				cmd.Process.Kill()
				way.cut()
			case "cut":
				way.cut()
			default:
				cmd.Process.Signal(os.Interrupt)
			}
		})
		code := cmd.ProcessState.ExitCode()
		need(t, how == "killed" && err != nil || how == "cut" && code <= 1 || code == 130 || code == 0, "%s at point %d: exit %d: %s", how, i, code, &out)
		r := a.restored("--to", "imap:other")
		same(t, fmt.Sprintf("%s at point %d, then %v", how, i, r), manifest(there.remote()), want)
		left, _ := os.ReadDir(filepath.Join(a.state, "me", "restore"))
		for _, e := range left {
			need(t, !e.IsDir(), "%s is left behind", e.Name())
		}
	}
}

// The same for a Maildir: killed when so many files and directories are to be seen.
func TestRestoreToMaildirKilled(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	a.configure("backup = true")
	list := parcels(120)
	for i := range list {
		list[i].box = []string{"INBOX", "Work/Deep", "Entwürfe"}[i%3]
	}
	a.post(list)
	a.sync()
	want := manifest(undeleted(a.remote()))
	for _, many := range []int{1, 3, 6, 9, 12, 15, 30, 60, 100} {
		dir := filepath.Join(a.dir, fmt.Sprint("part", many))
		cmd := exec.Command(binary, "--config", a.config, "restore", "me", "--to", "maildir:"+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		tick := time.NewTicker(time.Millisecond)
		for seen, over := 0, false; seen < many && !over; {
			select {
			case <-ended:
				over = true
			case <-tick.C:
				seen = 0
				filepath.WalkDir(dir, func(_ string, _ os.DirEntry, err error) error {
					seen++
					return nil
				})
			}
		}
		tick.Stop()
		cmd.Process.Kill()
		<-ended
		r := a.restored("--to", "maildir:"+dir)
		same(t, fmt.Sprintf("killed at %d, then %v", many, r), manifest(a.at(dir).local()), want)
	}
	left, err := os.ReadDir(filepath.Join(a.state, "me", "restore"))
	need(t, err == nil && len(left) <= 1, "left behind: %v, %v", left, err)
}

var restoreMessages = flag.Int("restore-messages", 1000, "how many messages TestRestoreMany restores")

// Messages in all kinds of mailboxes, with all kinds of flags, go to a second server.
func TestRestoreMany(t *testing.T) {
	n := *restoreMessages
	a := newAccount(t, imaptest.Dovecot(t), "me")
	second := imaptest.Dovecot(t)
	a.configure("backup = true\n" + table("other", "other", second.Host, second.Port, ""))
	a.post(parcels(n))
	a.sync()
	from, other := a.remote(), a.with(second, "other")
	r := a.restored("--to", "imap:other")
	need(t, strings.Contains(r.out, fmt.Sprintf("%d messages restored to imap:other", n)), "%v", r)
	to := other.remote()
	same(t, "the second server", manifest(to), manifest(undeleted(from)))
	need(t, slices.Equal(bytesOf(to), bytesOf(from)), "the bytes on the second server are others")
	before := other.changes()
	r = a.restored("--to", "imap:other")
	need(t, strings.Contains(r.out, fmt.Sprintf("0 messages restored to imap:other; %d there already", n)), "%v", r)
	need(t, other.changes() == before, "a second restore changed the server")
}
