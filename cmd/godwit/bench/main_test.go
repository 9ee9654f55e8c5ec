package bench

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// Without flags it is the miniature.
var (
	wanted   = flag.String("rows", ".", "a `regexp` of the rows to measure")
	rounds   = flag.Int("rounds", 1, "how often each tool does the work of a row")
	messages = flag.Int("messages", 40, "how many messages the big INBOX has; all other numbers are in proportion, as for 20000")
	with     = flag.String("tools", "^(godwit|mbsync)$", "a `regexp` of the tools")
	rtt      = flag.Duration("rtt", 4*time.Millisecond, "the round trip of the delaying relay")
	margin   = flag.Duration("margin", 0, "how long directories stand still before a run that is to find nothing changed")
	store    = flag.String("store", "sdbox", "how the server keeps mail: sdbox, mdbox or maildir; with maildir it lists a directory after each change itself")
	profiles = flag.String("profile", "", "a `directory` for CPU and allocation profiles of godwit")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}

// TestBench measures the rows and prints their table.
func TestBench(t *testing.T) {
	b := newBench(t)
	for _, s := range scenarios {
		if b.wants(s.rows...) {
			t.Run(s.name, func(t *testing.T) {
				b.t = t
				s.run(b)
			})
		}
	}
	b.t = t
	fmt.Println(b.report())
	for _, r := range b.rows {
		if b.matches(r.name) && len(r.of("godwit").runs) == 0 {
			t.Errorf("row %s has no figures of godwit", r.name)
		}
	}
}

// A scenario prepares an account and measures the rows that need it.
type scenario struct {
	name string
	rows []string // prefixes of the names of the rows it measures
	run  func(b *bench)
}

var scenarios = []scenario{
	{"roundtrip", []string{"roundtrip/"}, (*bench).roundtrips},
	{"push", []string{"push/"}, (*bench).pushes},
	{"account", []string{"nochange/", "new/", "flags/", "full/", "uidvalidity/"}, (*bench).account},
	{"small", []string{"small/"}, (*bench).small},
	{"huge", []string{"huge/"}, (*bench).huge},
	{"bare", []string{"bare/"}, (*bench).bare},
	{"delete", []string{"delete/"}, (*bench).deletions},
	{"large", []string{"large/"}, (*bench).large},
	{"pull", []string{"pull/", "settle/"}, (*bench).pulls},
}

// A bench is one run of the benchmark.
type bench struct {
	t     *testing.T // of the scenario in hand
	whole *testing.T // lives as long as the servers
	dir   string     // holds every tool's directories, for as long
	only  *regexp.Regexp
	tools []*tool
	rows  []*row
	made  int // directories so far
	began time.Time
	// touched is when a tool or a change last wrote into a Maildir.
	touched time.Time
	started map[string]*imaptest.Server
}

func newBench(t *testing.T) *bench {
	if *profiles != "" {
		if err := os.MkdirAll(*profiles, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{t: t, whole: t, dir: place(t), began: time.Now(), only: regexp.MustCompile(*wanted), rows: table(), started: map[string]*imaptest.Server{}}
	godwit, err := buildGodwit(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	choice := regexp.MustCompile(*with)
	for _, tool := range []*tool{godwit, mbsync(true), mbsync(false), offlineimap()} {
		if tool.name == "godwit" || choice.MatchString(tool.name) {
			b.tools = append(b.tools, tool)
		}
	}
	return b
}

// place is where the tools' directories are: the miniature's in memory, so that it does
// not wait for the disk.
func place(t *testing.T) string {
	if !earnest() {
		if dir, err := os.MkdirTemp("/dev/shm", "godwit-bench"); err == nil {
			t.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			return dir
		}
	}
	return t.TempDir()
}

// wants tells whether a row with one of these prefixes is to be measured.
func (b *bench) wants(prefixes ...string) bool {
	for _, r := range b.rows {
		for _, p := range prefixes {
			if len(r.name) >= len(p) && r.name[:len(p)] == p && b.matches(r.name) {
				return true
			}
		}
	}
	return false
}

func (b *bench) matches(name string) bool { return b.only.MatchString(name) }

// server is the Dovecot of this kind, started when first asked for.
func (b *bench) server(kind string) *imaptest.Server {
	if s := b.started[kind]; s != nil {
		return s
	}
	options := []imaptest.Option{imaptest.Location(*store + ":~/" + *store), imaptest.WithTLS()}
	if *store == "maildir" {
		options = []imaptest.Option{imaptest.Maildir(), imaptest.WithTLS()}
	}
	if kind == "bare" {
		options = append(options, imaptest.Bare())
	}
	s := imaptest.Dovecot(b.whole, options...)
	b.started[kind] = s
	return s
}

// fresh is a new directory.
func (b *bench) fresh(name string) string {
	b.t.Helper()
	b.made++
	dir := filepath.Join(b.dir, fmt.Sprintf("%03d-%s", b.made, name))
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// scaled is n in proportion to the messages of the big INBOX.
func scaled(n int) int { return max(3, n**messages/20000) }
