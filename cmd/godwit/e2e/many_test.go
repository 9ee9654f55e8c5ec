package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// oddNames are names that some side, disk, protocol or program has trouble with.
var oddNames = []string{
	"INBOX", "INBOX/Below", "Archive/2024/Q1", "Archive/2024/Q2", "Archive",
	"Entwürfe & Briefe", "日本語/メール", "Ελληνικά", "emoji 🦆 🧑‍🚀",
	"with \"quotes\"", "it's", "back\\slash", "a&b", "&", "&AOQ-", "100%", "%41", "%d %s", "%-", "*", "what*ever",
	"cur", "new", "tmp", "Cur", "a.b", "a..b", "dovecot-keywords", "x/cur/tmp",
	"case", "Case", "CASE", "trailing ", " leading", "two  spaces", "#news", "-rf", "(brackets)", "[Gmail]/All Mail", "{12}",
	"é composed", "e\u0301 decomposed", "semi;colon", "comma,", "equals=", "colon:2,S", "$dollar", "!bang", "!Spam",
	"NIL", "\u202eright to left", "zero\u200bwidth", "slash\u2215like", "lost+found", strings.Repeat("long", 50),
}

var words = []mail.Flag{"$Todo", "$Forwarded", "Work", "NonJunk", "$Label1", "later", "x-very.odd/keyword+here", "$MDNSent"}

// A parcel is a generated message and where it belongs.
type parcel struct {
	box   string
	body  string // with CRLF
	flags mail.FlagSet
	date  time.Time
}

// parcels generates n messages in every odd name.
func parcels(n int) []parcel {
	rnd := rand.New(rand.NewPCG(1, 2))
	out := make([]parcel, n)
	for i := range out {
		var flags mail.FlagSet
		for _, f := range []mail.Flag{mail.Seen, mail.Answered, mail.Flagged, mail.Draft, mail.Deleted} {
			if rnd.IntN(4) == 0 {
				flags = flags.With(f)
			}
		}
		for _, w := range words {
			if rnd.IntN(12) == 0 {
				flags = flags.With(w)
			}
		}
		size := 20 + rnd.IntN(3000)
		if i%97 == 0 {
			size = 50_000 + rnd.IntN(100_000)
		}
		var body strings.Builder
		fmt.Fprintf(&body, "From: Ada Ümlaut <ada%d@example.org>\r\nTo: ben@example.org\r\nSubject: parcel %d\r\nMessage-ID: <p%d@example.org>\r\n\r\n", i%7, i, i)
		for body.Len() < size {
			fmt.Fprintf(&body, "%x and so on, ƒür ever\r\n", rnd.Uint64())
		}
		date := time.Date(1995, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rnd.Int64N(30*365*24*3600)) * time.Second)
		out[i] = parcel{oddNames[i%len(oddNames)], body.String(), flags, date}
	}
	return out
}

// quoted writes a mailbox name as the protocol wants it.
func quoted(box string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(mail.EncodeUTF7(box)) + `"`
}

// post appends messages to the server, mailbox by mailbox in one command
// each (RFC 3502): one by one it takes Dovecot longer than godwit.
func (a *account) post(list []parcel) {
	a.t.Helper()
	conn, err := net.Dial("tcp", a.server.Addr())
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriterSize(conn, 1<<20)
	said := func(tag string) string {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				a.t.Fatalf("waiting for %s: %v", tag, err)
			}
			if rest, ok := strings.CutPrefix(line, tag+" "); ok {
				return rest
			}
		}
	}
	fmt.Fprintf(out, "in LOGIN %s %s\r\n", a.user, imaptest.Password)
	out.Flush()
	need(a.t, strings.HasPrefix(said("in"), "OK"), "cannot log in")
	byBox := map[string][]parcel{}
	for _, p := range list {
		byBox[p.box] = append(byBox[p.box], p)
	}
	for box, list := range byBox {
		if box != "INBOX" {
			fmt.Fprintf(out, "mk CREATE %s\r\n", quoted(box))
			out.Flush()
			said("mk") // it may be there
		}
		fmt.Fprintf(out, "put APPEND %s", quoted(box))
		for _, p := range list {
			fmt.Fprintf(out, " (%s) \"%s\" {%d+}\r\n%s", p.flags, p.date.Format("_2-Jan-2006 15:04:05 -0700"), len(p.body), p.body)
		}
		fmt.Fprint(out, "\r\n")
		if err := out.Flush(); err != nil {
			a.t.Fatal(err)
		}
		if got := said("put"); !strings.HasPrefix(got, "OK") {
			a.t.Fatalf("append to %q: %s", box, got)
		}
	}
}

// genuine follows a division slash that stands for no "/".
const genuine = "\ufe00"

var escape = regexp.MustCompile(`%[0-9A-F]{2}`)

// onDisk gives the directory of a mailbox, by the rules that the
// documentation gives.
func onDisk(box string) string {
	levels := strings.Split(box, "/")
	for i, level := range levels {
		var out strings.Builder
		for k := range len(level) {
			switch {
			case k == 0 && (level[0] == '.' || slices.Contains([]string{"cur", "new", "tmp", "dovecot-keywords"}, level)),
				level[k] == '%' && escape.MatchString(level[k:min(k+3, len(level))]), level == "%-" && k == 0:
				fmt.Fprintf(&out, "%%%02X", level[k])
			default:
				out.WriteByte(level[k])
			}
		}
		levels[i] = strings.ReplaceAll(out.String(), mail.SlashInLevel, mail.SlashInLevel+genuine)
	}
	return strings.Join(levels, "/")
}

// offDisk undoes onDisk.
func offDisk(name string) string {
	name = strings.ReplaceAll(name, genuine, "")
	return escape.ReplaceAllStringFunc(name, func(s string) string {
		b, _ := hex.DecodeString(s[1:])
		return string(b)
	})
}

// localNames is local with the names of mailboxes as the server has them.
func (a *account) localNames() sidetest.Snapshot {
	a.t.Helper()
	out := sidetest.Snapshot{}
	for name, list := range a.local() {
		out[mail.MailboxName(offDisk(string(name)))] = list
	}
	return out
}

// lay writes messages into the Maildir as a mail program that shares its
// keywords with Dovecot would: every mailbox with a table of letters of its own.
func (a *account) lay(list []parcel) {
	a.t.Helper()
	tables := map[string][]mail.Flag{}
	known := map[mail.Flag]byte{}
	for c, f := range letters {
		known[f] = c
	}
	for _, p := range list {
		info := []byte{}
		for _, f := range p.flags.Flags() {
			if c, ok := known[f]; ok {
				info = append(info, c)
				continue
			}
			k := slices.Index(tables[p.box], f)
			if k < 0 {
				k = len(tables[p.box])
				tables[p.box] = append(tables[p.box], f)
			}
			info = append(info, 'a'+byte(k))
		}
		slices.Sort(info)
		body := strings.ReplaceAll(p.body, "\r\n", "\n")
		path := a.deliver(onDisk(p.box), body, p.date, string(info))
		need(a.t, filepath.IsAbs(path), "not a path: %s", path)
	}
	for box, table := range tables {
		var text strings.Builder
		for k, f := range table {
			fmt.Fprintf(&text, "%d %s\n", k, f)
		}
		if err := os.WriteFile(filepath.Join(a.root, onDisk(box), "dovecot-keywords"), []byte(text.String()), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// manifest says what a snapshot must be: a line a message.
func manifest(snap sidetest.Snapshot) []string {
	var out []string
	for box, list := range snap {
		for _, m := range list {
			out = append(out, fmt.Sprintf("%q %x [%s] %d", box, sha256.Sum256(sidetest.Canonical(m.Body)), strings.ToLower(m.Flags.String()), m.Date.Unix()))
		}
	}
	slices.Sort(out)
	return out
}

func expected(list []parcel) []string {
	snap := sidetest.Snapshot{}
	for _, p := range list {
		name := mail.MailboxName(p.box)
		snap[name] = append(snap[name], sidetest.Message{Body: []byte(p.body), Flags: p.flags, Date: p.date})
	}
	return manifest(snap)
}

// same fails with the first lines that differ.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	extra := without(got, want)
	missing := without(want, got)
	t.Fatalf("%s: %d messages, want %d; %d not as expected:\n%s\n%d missing:\n%s", what, len(got), len(want),
		len(extra), strings.Join(extra[:min(5, len(extra))], "\n"), len(missing), strings.Join(missing[:min(5, len(missing))], "\n"))
}

func without(list, other []string) []string {
	count := map[string]int{}
	for _, s := range other {
		count[s]++
	}
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool {
		count[s]--
		return count[s] >= 0
	})
}

// index is the content of the index on the disk.
func (a *account) index() string {
	a.t.Helper()
	var out strings.Builder
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(filepath.Join(a.state, "me", "index.db"+suffix))
		if err != nil && !os.IsNotExist(err) {
			a.t.Fatal(err)
		}
		fmt.Fprintf(&out, "%q %d %x\n", suffix, len(text), sha256.Sum256(text))
	}
	return out.String()
}

// rest waits until the last change to the Maildir is more than two seconds
// past: before that godwit cannot trust the times of directories, and looks,
// and writes down what it saw, again.
func (a *account) rest() {
	a.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for files := a.newest(); time.Since(files) < 2500*time.Millisecond; <-tick.C {
	}
}

// newest is when something in the Maildir changed last.
func (a *account) newest() (last time.Time) {
	a.t.Helper()
	err := filepath.WalkDir(a.root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return last
}

func TestFirstSync(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		w := a.tap()
		all := parcels(5000)
		half := len(all) / 2
		a.post(all[:half])
		a.lay(all[half:])
		want := expected(all)
		r := a.sync()
		t.Logf("first sync: %v", r.took)
		first := w.take()
		remote := a.remote()
		for name, list := range remote { // Dovecot's own folders
			need(t, len(list) > 0 || !slices.Contains(oddNames, string(name)), "%q is empty", name)
		}
		same(t, "server", manifest(remote), want)
		same(t, "Maildir", manifest(a.localNames()), want)
		appends, most := len(named(first, "APPEND")), len(all)-half
		if strings.HasSuffix(t.Name(), "/full") {
			most /= 20 // with MULTIAPPEND one carries many (RFC 3502)
		}
		need(t, appends <= most, "%d APPENDs for %d messages", appends, len(all)-half)

		a.rest()
		a.quiet()
		second := w.take()
		need(t, len(tapBodies(second))+len(writing(second)) == 0, "the second run: %v", strings.Join(second, "\n"))
		index := a.index()
		a.quiet()
		third := w.take()
		need(t, a.index() == index, "the third run wrote to the index:\n%s\n%s", index, a.index())
		need(t, len(tapBodies(third))+len(writing(third)) == 0, "the third run: %v", strings.Join(third, "\n"))
		if strings.HasSuffix(t.Name(), "/full") {
			need(t, len(third) <= 8, "the third run took %d commands:\n%v", len(third), strings.Join(third, "\n"))
		}
	})
}
