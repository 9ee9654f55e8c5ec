package imap_test

import (
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
)

// A whole mailbox comes over three connections, each message once and as it is,
// the large ones too.
func TestAMailboxOverThreeConnections(t *testing.T) {
	server := imaptest.Dovecot(t, imaptest.Maildir())
	client := server.Client("ann") // the first login makes the home
	if _, err := client.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	client.Close()
	const n = 1500
	want := map[string]bool{}
	pour(t, filepath.Join(server.Home("ann"), "Maildir", "cur"), n, func(i int) string {
		size := 18 << 10
		if i%300 == 7 {
			size = 2<<20 + i
		}
		body := sized(i, size)
		want[body] = true
		return body
	})
	opt := optionsFor(server, "ann")
	opt.Connections = 3
	log := &fetchLog{asked: map[int]int{}, examined: make(chan struct{}, 100)}
	opt.Trace = log.hear
	a, err := imap.Open(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.Recall(map[string]string{"connections": "3 " + strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)})
	if _, err := a.Survey(ctx, nil); err != nil {
		t.Fatal(err)
	}
	a.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
	came := 0
	err = a.Fetch(ctx, 1, refsTo(n), func(ref mail.Ref, _ mail.Item, r io.Reader) error {
		if came++; came == 20 { // the others were called
			for range 3 {
				<-log.examined
			}
		}
		body, err := io.ReadAll(r)
		if !want[string(body)] {
			t.Errorf("%s: %d bytes, %v", ref, len(body), err)
		}
		delete(want, string(body))
		return err
	})
	if err != nil || len(want) != 0 || came != n {
		t.Errorf("%d came, %d are missing, %v", came, len(want), err)
	}
	if stats := a.Stats(); stats.Connections != 3 || stats.Commands["EXAMINE"] != 3 {
		t.Errorf("%+v", stats)
	}
	log.once(t, n)
}

// A fetchLog hears which bodies are asked for.
type fetchLog struct {
	mu       sync.Mutex
	asked    map[int]int
	examined chan struct{}
}

func (l *fetchLog) hear(dir, line string) {
	if dir == "S" && strings.Contains(line, "OK [READ-ONLY]") {
		l.examined <- struct{}{}
	}
	_, args, ok := strings.Cut(line, " UID FETCH ")
	set, items, _ := strings.Cut(args, " ")
	if dir == "S" || !ok || !strings.Contains(items, "BODY.PEEK[]") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	eachUID(set, func(uid int) { l.asked[uid]++ })
}

func (l *fetchLog) once(t *testing.T, n int) {
	t.Helper()
	for uid := 1; uid <= n; uid++ {
		if l.asked[uid] != 1 {
			t.Errorf("%d was asked for %d times", uid, l.asked[uid])
		}
	}
}
