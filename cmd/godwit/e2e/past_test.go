package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var (
	pastStates   = flag.Int("past-states", 12, "how many states of the mail TestPast keeps")
	pastMessages = flag.Int("past-messages", 200, "how many messages the account of TestPast comes to have")
	pastMoments  = flag.Int("past-moments", 6, "how many of them TestPast restores to a Maildir; a tenth of these, but one at least, to each other place")
	pastSeed     = flag.Uint64("past-seed", 1, "the life that the account of TestPast has")
)

// A past is what the server of an account held at every backup of it, by a
// book that is kept of all that was done there.
type past struct {
	*life
	states []state
}

// A state is what the server held while nobody changed it.
type state struct {
	mail        map[string][]*kept
	from, until time.Time // from the end of a backup to the beginning of the next
	generation  int64
}

// snapshot is the state as it is compared.
func (s state) snapshot() sidetest.Snapshot {
	snap := sidetest.Snapshot{}
	for name, list := range s.mail {
		snap[mail.MailboxName(name)] = nil
		for _, k := range list {
			snap[mail.MailboxName(name)] = append(snap[mail.MailboxName(name)], sidetest.Message{Body: k.body, Flags: k.flags, Date: k.date})
		}
	}
	return snap
}

// at says the state to a restore: by a time where a whole second was all its own.
func (s state) at() string {
	second := s.from.Truncate(time.Second).Add(time.Second)
	if second.Before(s.until) {
		return "--at=" + second.Format("2006-01-02T15:04:05Z07:00")
	}
	return fmt.Sprintf("--at=#%d", s.generation)
}

// Every state that an account was in when it was backed up comes back as it
// was, wherever it is restored to: through moves, renames, mailboxes that are
// made anew under an old name, other UIDVALIDITYs, backups that were killed and
// an index that was lost.
func TestPast(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	second := imaptest.Dovecot(t)
	p := &past{life: newLife(a, *pastSeed)}
	defer p.c.Close()
	a.alone()
	p.began()
	for len(p.states) < *pastStates {
		p.live()
		p.backUp()
	}
	p.states[len(p.states)-1].until = time.Now()
	p.listed()
	t.Logf("%d states, %d messages came, %d are left in %d mailboxes; %d backups were killed, %d had to begin an index, %d found nothing to do",
		len(p.states), p.count.came, p.size(), len(p.boxes), p.count.killed, p.count.index, p.count.still)

	chosen := p.rng.Perm(len(p.states))[:min(*pastMoments, len(p.states))]
	dir := filepath.Join(a.dir, "restored")
	for i, n := range chosen {
		s := &p.states[n]
		p.toMaildir(s, dir)
		must(t, os.RemoveAll(dir))
		if i <= (len(chosen)-1)/10 {
			p.toFiles(s, dir)
			must(t, os.RemoveAll(dir))
			p.toServer(s, second, fmt.Sprint("past", i))
		}
	}
	p.thinned(dir)
}

// thinned holds one state and gives up all but the newest few, in runs that are
// killed. What is left is as it was, and what is not is said to be gone.
func (p *past) thinned(dir string) {
	t := p.t
	t.Helper()
	text, err := os.ReadFile(p.config)
	must(t, err)
	must(t, os.WriteFile(p.config, append(text, "keep = { last = 3, grace = \"0h\" }\n"...), 0o600))
	held := p.states[p.rng.IntN(len(p.states))].generation
	p.exits(0, "hold", "me", fmt.Sprintf("#%d", held))
	files := p.messageFiles()
	for range 6 {
		p.killed("prune", "me")
	}
	for range 2 {
		p.exits(0, "prune", "me")
	}
	left := map[int64]bool{}
	for _, g := range p.told() {
		left[g.Number] = g.Retired == ""
	}
	last := p.states[len(p.states)-1].generation
	need(t, left[held] && left[last], "generations %d (held) and %d (the newest) are not both left: %v", held, last, left)
	gone := 0
	for i := range p.states {
		s := &p.states[i]
		if i > 0 && s.generation == p.states[i-1].generation {
			continue
		}
		if left[s.generation] {
			p.toMaildir(s, dir)
			must(t, os.RemoveAll(dir))
		} else if gone++; gone < 4 {
			p.exits(1, "restore", "me", fmt.Sprintf("--at=#%d", s.generation), "--to", "maildir:"+dir)
		}
	}
	now := p.messageFiles()
	need(t, gone > 0 && now < files, "%d states are gone, and of %d message files %d are left", gone, files, now)
	p.sync()
	p.keeps()
}

// began fills the account with its first messages, for one backup.
func (p *past) began() {
	for _, name := range []string{"Work", "Work/Deep", "Entwürfe & Briefe", "Lists.old", "日本語/メール"} {
		p.create(name)
	}
	for p.count.came < *pastMessages/2 {
		p.deliver(p.any(), 1+p.rng.IntN(1+*pastMessages/20))
	}
	p.backUp()
}

// live is what happens between two backups. The account grows towards its
// messages all its life, whatever is deleted.
func (p *past) live() {
	if len(p.states)%9 == 8 {
		return // nothing at all
	}
	want := *pastMessages/2 + *pastMessages/2*len(p.states) / *pastStates
	for lacks := want - p.size(); lacks > 0; lacks = want - p.size() {
		p.deliver(p.any(), 1+p.rng.IntN(lacks))
	}
	for range 3 + p.rng.IntN(10) {
		p.step()
	}
}

// backUp makes a backup, now and then one that is killed before, or with no
// index of what is in the archive.
func (p *past) backUp() {
	t := p.t
	t.Helper()
	if n := len(p.states); n > 0 {
		p.states[n-1].until = time.Now()
	}
	if p.rng.IntN(4) == 0 {
		p.killed("sync")
		if p.rng.IntN(2) == 0 {
			p.step()
		}
	}
	if len(p.states)%17 == 5 {
		p.count.index++
		must(t, os.RemoveAll(filepath.Join(p.state, "me", "backup")))
	}
	began := time.Now()
	r := p.sync()
	p.took = time.Since(began)
	if strings.Contains(r.out, "nothing changed since") {
		p.count.still++
	}
	if len(p.states)%20 == 0 {
		same(t, fmt.Sprintf("the book after state %d", len(p.states)), manifest(p.now().snapshot()), manifest(p.remote()))
	}
	s := p.now()
	s.from = time.Now()
	told := regexp.MustCompile(`backup: .*generation #(\d+)`).FindStringSubmatch(r.out)
	need(t, told != nil, "the backup does not name its generation: %v", r)
	s.generation, _ = strconv.ParseInt(told[1], 10, 64)
	p.states = append(p.states, s)
}

// killed is a run that does not come to its end, unless it is fast.
func (p *past) killed(args ...string) {
	p.t.Helper()
	cmd := exec.Command(binary, append([]string{"--config", p.config}, args...)...)
	must(p.t, cmd.Start())
	after := time.AfterFunc(time.Duration(p.rng.Int64N(int64(p.took+time.Millisecond))), func() { _ = cmd.Process.Kill() })
	if err := cmd.Wait(); err != nil && !after.Stop() {
		p.count.killed++
	}
}

// told are the complete generations that history tells of.
func (p *past) told() (list []listed) {
	p.t.Helper()
	for line := range strings.Lines(p.exits(0, "--json", "history", "me").out) {
		var l struct {
			Type       string
			Generation listed
		}
		must(p.t, json.Unmarshal([]byte(line), &l))
		if l.Type == "generation" && l.Generation.Complete {
			list = append(list, l.Generation)
		}
	}
	return list
}

// listed fails unless history lists each state.
func (p *past) listed() {
	p.t.Helper()
	list := p.told()
	for _, s := range p.states {
		i := slices.IndexFunc(list, func(g listed) bool { return g.Number == s.generation })
		need(p.t, i >= 0, "history lists no complete generation %d", s.generation)
		g, snap := list[i], s.snapshot()
		need(p.t, g.Messages == snap.Messages() && g.Mailboxes == len(snap), "generation %d has %d messages in %d mailboxes, want %d in %d",
			g.Number, g.Messages, g.Mailboxes, snap.Messages(), len(snap))
	}
}

// A listed generation is one that history told.
type listed struct {
	Number              int64
	Complete            bool
	Retired             string
	Messages, Mailboxes int
}

func (p *past) toMaildir(s *state, dir string) {
	p.t.Helper()
	want := undeleted(s.snapshot())
	r := p.restored(s.at(), "--to", "maildir:"+dir)
	got := p.at(dir).localNames()
	same(p.t, fmt.Sprintf("the Maildir of generation %d %s", s.generation, r.out), manifest(got), manifest(want))
	need(p.t, slices.Equal(boxes(got), boxes(want)), "generation %d has mailboxes %q, want %q", s.generation, boxes(got), boxes(want))
}

// toFiles restores to the places that are files.
func (p *past) toFiles(s *state, dir string) {
	p.t.Helper()
	snap := s.snapshot()
	p.restored(s.at(), "--to", "eml:"+dir)
	same(p.t, fmt.Sprintf("the eml files of generation %d", s.generation), readEML(p.t, dir), manifest(snap))
	for i, name := range boxes(snap) {
		list := snap[mail.MailboxName(name)]
		if len(list) == 0 {
			continue
		}
		mbox := filepath.Join(dir, fmt.Sprint(i, ".mbox"))
		p.restored(name, s.at(), "--to", "mbox:"+mbox)
		got, want := readMbox(p.t, mbox), plain(list)
		for _, texts := range [][]string{got, want} { // the format has a line end at the end of each
			for i := range texts {
				texts[i] = strings.TrimRight(texts[i], "\n")
			}
			slices.Sort(texts)
		}
		same(p.t, fmt.Sprintf("the mbox of %q in generation %d", name, s.generation), got, want)
	}
}

func (p *past) toServer(s *state, second *imaptest.Server, user string) {
	p.t.Helper()
	text, err := os.ReadFile(p.config)
	must(p.t, err)
	defer func() { must(p.t, os.WriteFile(p.config, text, 0o600)) }()
	must(p.t, os.WriteFile(p.config, append(bytes.Clone(text), table("other", user, second.Host, second.Port, "")...), 0o600))
	want := undeleted(s.snapshot())
	p.restored(s.at(), "--to", "imap:other")
	got := p.with(second, user).remote()
	same(p.t, fmt.Sprintf("the second server, generation %d", s.generation), manifest(got), manifest(want))
	need(p.t, slices.Equal(bytesOf(got), bytesOf(want)), "the bytes of generation %d are others on the second server", s.generation)
	need(p.t, slices.Equal(boxes(got), boxes(want)), "generation %d has mailboxes %q there, want %q", s.generation, boxes(got), boxes(want))
}
