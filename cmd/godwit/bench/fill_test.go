package bench

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// A mix makes messages: the n-th is the same in every run.
type mix struct {
	kind string
	size func(rng *rand.Rand) int
}

// As mail is: most messages have a few kB, some hundreds; 15 kB on average.
var (
	ordinary = mix{"ordinary", func(rng *rand.Rand) int {
		return min(2<<20, max(700, int(5000*math.Exp(1.48*rng.NormFloat64()))))
	}}
	tiny = mix{"tiny", func(rng *rand.Rand) int { return 800 + rng.IntN(1200) }}
)

// attachment is what cannot be compressed by much, in lines as MIME has them.
var attachment = func() string {
	rng := rand.New(rand.NewPCG(3, 4))
	raw, out := make([]byte, 57), strings.Builder{}
	for out.Len() < 4<<20 {
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		out.WriteString(base64.StdEncoding.EncodeToString(raw))
		out.WriteByte('\n')
	}
	return out.String()
}()

const words = "the of and to in mail is that for it was on message as with be by at have are this not but from they which one you had server all there we her has been when who will more no if out so up said what folder its about than into them can only other time new some could these two may first then do any like my now over such our man me even most made after also did many off before must well back through years where much your way down should because long each just state those people mr how too little good world make very year still see own work men day get here old life both between being under three never know same last another while us might great go come since against right came take used himself few house american use place during high without again home around small however found mrs part school upon every"

// message is the n-th of a user; the user's name makes it another than all others.
func (m mix) message(user string, n int) string {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	size := m.size(rng)
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <sender%d@example.org>\n", n%97)
	for hop := range 2 {
		fmt.Fprintf(&b, "Received: from relay%d.example.org (relay%d.example.org [192.0.2.%d])\n\tby mx%d.example.com with ESMTPS id %016x\n\tfor <me@example.com>; Mon, 2 Mar 2026 10:%02d:%02d +0000\n",
			hop, n%50, n%250, hop, rng.Uint64(), n/60%60, n%60)
	}
	fmt.Fprintf(&b, "From: Sender Number %d <sender%d@example.org>\nTo: Me <me@example.com>\nSubject: %s %d\nMessage-ID: <%s.%d@bench.example.org>\nDate: Mon, 2 Mar 2026 10:%02d:%02d +0000\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n",
		n%97, n%97, m.kind, n, user, n, n/60%60, n%60)
	list := strings.Fields(words)
	text := min(size, 20000)
	for b.Len() < text {
		for range 12 {
			b.WriteString(list[rng.IntN(len(list))])
			b.WriteByte(' ')
		}
		b.WriteByte('\n')
	}
	for b.Len() < size {
		from := rng.IntN(len(attachment)/77-1) * 77
		b.WriteString(attachment[from:min(len(attachment), from+(size-b.Len())/77*77+77)])
	}
	return b.String()
}

// pour writes messages first to first+n-1 into a directory that is a Maildir's cur.
func (m mix) pour(cur, user string, first, n int) (bytes int64, err error) {
	for i := first; i < first+n; i++ {
		text := m.message(user, i)
		lines := strings.Count(text, "\n")
		// Sizes in the name are what Dovecot, and deliveries by it, put there.
		name := fmt.Sprintf("%d.M%06dP7.bench,S=%d,W=%d:2,S", 1700000000+i, i%1000000, len(text), len(text)+lines)
		if err := os.WriteFile(filepath.Join(cur, name), []byte(text), 0o600); err != nil {
			return 0, err
		}
		bytes += int64(len(text))
	}
	return bytes, nil
}

// filled makes a user whose INBOX has n messages, and other mailboxes of ten each.
// It returns how many messages there are in all. A Dovecot that keeps mail in
// Maildirs finds them in place; another one imports them.
func (b *bench) filled(server *imaptest.Server, user string, m mix, n, boxes int) int {
	b.t.Helper()
	c := server.Client(user) // the first login makes the home
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		b.t.Fatal(err)
	}
	root := filepath.Join(server.Home(user), "Maildir")
	imports := *store != "maildir"
	if imports {
		root = filepath.Join(server.Home(user), "letters")
	}
	names := []string{""}
	for i := range boxes {
		names = append(names, fmt.Sprintf("folder%03d", i))
	}
	for i, name := range names {
		if !imports && i > 0 {
			if err := c.Create(name, nil).Wait(); err != nil {
				b.t.Fatal(err)
			}
		}
		first, count := 0, n
		if i > 0 {
			first, count = n+10*(i-1), 10
		}
		b.poured(m, filepath.Join(root, name), user, first, count)
	}
	c.Close()
	b.owned(root)
	if imports {
		server.Doveadm("import", "-u", user, "maildir:"+root+":LAYOUT=fs", "", "ALL")
	}
	server.Doveadm("index", "-u", user, "*")
	return n + 10*boxes
}

// poured writes messages into a Maildir.
func (b *bench) poured(m mix, dir, user string, first, n int) {
	b.t.Helper()
	for _, part := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, part), 0o700); err != nil {
			b.t.Fatal(err)
		}
	}
	if _, err := m.pour(filepath.Join(dir, "cur"), user, first, n); err != nil {
		b.t.Fatal(err)
	}
}

// owned gives files to the owner of the server's mail.
func (b *bench) owned(root string) {
	b.t.Helper()
	owner, err := os.Stat(filepath.Dir(root))
	if err != nil {
		b.t.Fatal(err)
	}
	st, ok := owner.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return // the mail is whose the test is
	}
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(st.Uid), int(st.Gid))
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// laid fills the INBOX of a site's Maildir.
func (b *bench) laid(s *site, m mix, n int) {
	b.t.Helper()
	for _, part := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.path("Mail/INBOX"), part), 0o700); err != nil {
			b.t.Fatal(err)
		}
	}
	if _, err := m.pour(s.path("Mail/INBOX/cur"), s.user, 0, n); err != nil {
		b.t.Fatal(err)
	}
}

// counted is how many messages of a site's Maildir have names that fit.
func counted(s *site, fits func(name string) bool) (n int, err error) {
	err = filepath.WalkDir(s.path("Mail"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if part := filepath.Base(filepath.Dir(path)); !d.IsDir() && (part == "cur" || part == "new") && fits(d.Name()) {
			n++
		}
		return nil
	})
	return n, err
}

// hasLocally is a check that a site's Maildir holds n messages.
func hasLocally(n int) func(*site) error {
	return func(s *site) error {
		got, err := counted(s, func(string) bool { return true })
		if err == nil && got != n {
			err = fmt.Errorf("%d messages in the Maildir, want %d", got, n)
		}
		return err
	}
}

// flaggedLocally is a check that n messages of a site's Maildir are flagged.
func flaggedLocally(n int) func(*site) error {
	return func(s *site) error {
		got, err := counted(s, func(name string) bool {
			_, letters, _ := strings.Cut(name, ":2,")
			return strings.Contains(letters, "F")
		})
		if err == nil && got != n {
			err = fmt.Errorf("%d flagged messages in the Maildir, want %d", got, n)
		}
		return err
	}
}

// hasOnServer is a check that the site's INBOX on the server has n messages.
func hasOnServer(n int) func(*site) error {
	return func(s *site) error {
		want := fmt.Sprintf("INBOX messages=%d", n)
		if got := strings.TrimSpace(s.server.Doveadm("mailbox", "status", "-u", s.user, "messages", "INBOX")); got != want {
			return fmt.Errorf("the server says %q, want %q", got, want)
		}
		return nil
	}
}
