package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// runMeasured runs a command and tells the most memory, in MB, that it held
// in RAM. The figure of wait4 would include what this process had when it
// forked, so the kernel's own is read while the command runs.
func (a *account) runMeasured(args ...string) (r result, peak int) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--config", a.config}, args...)...)
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	began := time.Now()
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, highWater(cmd.Process.Pid))
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	_ = cmd.Wait() // the exit code tells
	close(ended)
	<-stopped
	return result{code: cmd.ProcessState.ExitCode(), out: out.String(), errout: errout.String(), took: time.Since(began)}, peak >> 10
}

var vmHWM = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// highWater is the peak of a process in kB, 0 if it has ended.
func highWater(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	m := vmHWM.FindSubmatch(text)
	if m == nil {
		return 0
	}
	kb, _ := strconv.Atoi(string(m[1]))
	return kb
}

// large is a message of n bytes, with LF, and the digest of it with CRLF.
func large(subject string, n int) (text string, digest [sha256.Size]byte) {
	head := "From: ada@example.org\nSubject: " + subject + "\n\n"
	line := strings.Repeat("0123456789 abcdef", 50) + "\n"
	text = head + strings.Repeat(line, n/len(line))
	return text, sha256.Sum256([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
}

// TestLargeMessages carries 100 MB in either direction. Memory must not grow
// with the size of a message.
func TestLargeMessages(t *testing.T) {
	const size = 100 << 20
	// The race detector keeps several bytes for each that is in use.
	limit := 48
	if raceEnabled {
		limit = 256
	}
	each(t, func(t *testing.T, a *account) {
		small := make([]parcel, 400)
		for i := range small {
			small[i] = parcel{box: "INBOX", body: strings.ReplaceAll(letter(i), "\n", "\r\n"), date: date(i)}
		}
		a.post(small[:200])
		a.lay(small[200:])
		r, base := a.runMeasured("sync")
		need(t, r.code == 0, "%v", r)

		there, thereDigest := large("from there", size)
		here, hereDigest := large("from here", size)
		a.post([]parcel{{box: "Large", body: strings.ReplaceAll(there, "\n", "\r\n"), date: date(1)}})
		path := a.deliver("Large", here, date(2), "S")
		r, peak := a.runMeasured("sync", "-v")
		need(t, r.code == 0, "%v", r)
		need(t, base > 0 && peak < limit && peak < 3*base, "godwit held %d MB of memory, %d MB with small messages", peak, base)
		text, err := os.ReadFile(a.file("Large", "Subject: from there\n"))
		need(t, err == nil && sha256.Sum256(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))) == thereDigest, "the message from the server is another one here")
		need(t, a.digestThere("Large", "from here") == hereDigest, "the message from here is another one on the server")
		a.quiet()

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		r, peak = a.runMeasured("sync", "-v") // it is fetched once more, to be kept
		need(t, r.code == 0 && peak < limit, "deleting held %d MB of memory: %v", peak, r)
		need(t, strings.Contains(a.changes(), "Large messages=1 "), "it is still there: %v", a.changes())
	})
}

// TestManyMessages pulls messages of which there are many, and looks at all of
// them again. Memory may grow with their number, by little: what is known of
// each, and the garbage that gathers beside it.
func TestManyMessages(t *testing.T) {
	const few, many = 2000, 10_000
	pulled, listed, limit := 900, 500, 48 // bytes a message, bytes a message, MB
	if raceEnabled {
		pulled, listed, limit = 20*pulled, 20*listed, 10*limit
	}
	server := imaptest.Dovecot(t)
	var pull, list [2]int // MB
	for i, n := range []int{few, many} {
		a := newAccount(t, server, fmt.Sprintf("of%d", n))
		letters := make([]parcel, n)
		for k := range letters {
			letters[k] = parcel{box: "INBOX", body: strings.ReplaceAll(letter(k), "\n", "\r\n"), date: date(k)}
		}
		a.post(letters)
		r, peak := a.runMeasured("sync")
		need(t, r.code == 0 && peak > 0, "%v", r)
		pull[i] = peak
		a.touch("INBOX") // all of it is listed
		r, peak = a.runMeasured("sync")
		need(t, r.code == 0 && peak > 0, "%v", r)
		list[i] = peak
	}
	t.Logf("MB with %d and with %d messages: pulling %v, listing %v", few, many, pull, list)
	// A run is measured in whole MB, and collects garbage when it likes.
	const slack = 8
	need(t, pull[1] < limit && pull[1]-pull[0] <= slack+pulled*(many-few)>>20, "pulling %d messages held %d MB of memory, %d of them %d MB", many, pull[1], few, pull[0])
	need(t, list[1] < limit && list[1]-list[0] <= slack+listed*(many-few)>>20, "listing %d messages held %d MB of memory, %d of them %d MB", many, list[1], few, list[0])
}

// touch changes the directory of a mailbox, and nothing in it.
func (a *account) touch(box string) {
	a.t.Helper()
	path := filepath.Join(a.root, box, "cur", ".touched")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		a.t.Fatal(err)
	}
}

// digestThere reads the message with this subject from the server, without
// holding it in memory.
func (a *account) digestThere(box, subject string) (digest [sha256.Size]byte) {
	a.t.Helper()
	c := a.server.Client(a.user)
	defer c.Close()
	if _, err := c.Select(box, &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		a.t.Fatal(err)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: subject}}}, nil).Wait()
	if err != nil || len(found.AllUIDs()) != 1 {
		a.t.Fatalf("looking for %q: %v, %v", subject, found, err)
	}
	cmd := c.Fetch(imap.UIDSetNum(found.AllUIDs()...), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	hash := sha256.New()
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		for item := msg.Next(); item != nil; item = msg.Next() {
			if body, ok := item.(imapclient.FetchItemDataBodySection); ok {
				if _, err := io.Copy(hash, body.Literal); err != nil {
					a.t.Fatal(err)
				}
			}
		}
	}
	if err := cmd.Close(); err != nil {
		a.t.Fatal(err)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}
