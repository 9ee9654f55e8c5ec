package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A task is the work of a row, which every tool does in every round.
type task struct {
	row string
	// begin changes, once a round, what all tools are to find changed.
	begin func(round int)
	// site is where a tool does the work in a round, all prepared but the
	// changes of begin. Without it the tool's standing site is used.
	site func(t *tool, round int) *site
	// prepare makes the sites of all rounds before the first.
	prepare bool
	// check looks whether the work has been done.
	check func(round int) func(s *site) error
	// also is the row of a second run right after the work, if any.
	also string
	raw  func() (usage, error)
	// rtt and limit are those of a relay, in all rounds; with are tools for this
	// row only.
	rtt   time.Duration
	limit int64
	with  []*tool
	// repeat is how often a round does it, for work that takes little time, and
	// most how many rounds there are at most, 0: as many as are asked for.
	repeat, most int
	tls          bool
	nosync       bool // fsync is off
	silent       bool // nothing is counted: another row has the same bytes
}

// measure lets all tools do the work of a row, in an order that turns with the
// rounds; then once more to count, and if wanted once for profiles of godwit.
func (b *bench) measure(k task) {
	b.t.Helper()
	if !b.matches(k.row) && (k.also == "" || !b.matches(k.also)) {
		return
	}
	r := b.named(k.row)
	n := *rounds
	if earnest() {
		n *= max(1, k.repeat)
	}
	if k.most > 0 {
		n = min(n, k.most)
	}
	if k.prepare {
		k.site = b.prepared(k.site, n+2)
	}
	for round := range n {
		if k.begin != nil {
			k.begin(round)
		}
		if k.raw != nil {
			u, err := k.raw()
			if err != nil {
				b.t.Fatal(err)
			}
			r.of(rawName).runs = append(r.of(rawName).runs, u)
		}
		tools := b.toolsFor(k)
		for i := range tools {
			t := tools[(i+round)%len(tools)]
			if t.slow && round > 0 && k.begin == nil {
				continue
			}
			b.once(k, r, t, round, b.timed)
		}
	}
	if !k.silent {
		b.extra(k, r, n, b.counted)
	}
	if *profiles != "" {
		b.extra(k, r, n+1, b.profiled)
	}
	b.t.Log(r.brief())
}

// toolsFor are those that do the work.
func (b *bench) toolsFor(k task) []*tool { return append(slices.Clone(b.tools), k.with...) }

// prepared makes the sites of all tools and rounds, and lets them rest.
func (b *bench) prepared(prepare func(*tool, int) *site, n int) func(*tool, int) *site {
	type key struct {
		t     *tool
		round int
	}
	made := map[key]*site{}
	for _, t := range b.tools {
		for round := range n {
			if !t.slow || round == 0 {
				made[key{t, round}] = prepare(t, round)
				b.age(made[key{t, round}])
			}
		}
	}
	b.touched = time.Now()
	b.rest()
	return func(t *tool, round int) *site { return made[key{t, round}] }
}

// extra is a round whose times do not count.
func (b *bench) extra(k task, r *row, round int, run func(task, *samples, *site, int) error) {
	b.t.Helper()
	if k.begin != nil {
		k.begin(round)
	}
	for _, t := range b.toolsFor(k) {
		if !t.slow || k.begin != nil {
			b.once(k, r, t, round, run)
		}
	}
}

// once lets one tool do the work. A peer that cannot is left out from then on.
func (b *bench) once(k task, r *row, t *tool, round int, run func(task, *samples, *site, int) error) {
	b.t.Helper()
	into := r.of(t.name)
	if into.failed != nil {
		return
	}
	s := k.site(t, round)
	if s == nil || s.failed != nil {
		return
	}
	s.tls, s.fsync = k.tls, !k.nosync
	if earnest() {
		flush()
	}
	err := run(k, into, s, round)
	b.touched = time.Now()
	if err == nil && k.check != nil {
		err = k.check(round)(s)
	}
	if err == nil && k.also != "" {
		if !earnest() {
			b.age(s)
		}
		again := k
		again.row = k.also
		err = run(again, b.named(k.also).of(t.name), s, round)
	}
	if err != nil {
		err = fmt.Errorf("%s, round %d, %s: %w", r.name, round, t.name, err)
		if t.name == "godwit" {
			b.t.Fatal(err)
		}
		b.t.Log(err)
		into.failed, s.failed = err, err
		return
	}
}

// timed is a run that counts.
func (b *bench) timed(k task, into *samples, s *site, _ int) error {
	if k.rtt > 0 {
		r := newRelay(b.t, s.server.Host, s.own(), k.rtt, k.limit)
		s.port = r.port()
		defer func() { s.port = 0; r.close() }()
	}
	u, err := s.run()
	if err != nil {
		return err
	}
	into.runs = append(into.runs, u)
	if u.wall > time.Second { // somebody may be waiting
		b.t.Logf("%s: %s", s.tool.name, short(u.wall))
	}
	return nil
}

// counted is a run through a relay that counts.
func (b *bench) counted(k task, into *samples, s *site, _ int) error {
	r := newRelay(b.t, s.server.Host, s.own(), 0, k.limit)
	s.port, s.talks = r.port(), true
	_, err := s.run()
	s.port, s.talks = 0, false
	w := r.close()
	into.wire = &w
	if err == nil && s.tool.name == "godwit" {
		into.durable, err = s.durable()
	}
	return err
}

// durable is what godwit told of how it made mail durable, "" if it did not.
func (s *site) durable() (string, error) {
	said, err := os.ReadFile(s.path("output"))
	for line := range strings.Lines(string(said)) {
		if strings.Contains(line, "made durable") {
			return strings.TrimSpace(line), nil
		}
	}
	return "", err
}

// profiled is a run of which godwit leaves profiles.
func (b *bench) profiled(k task, _ *samples, s *site, round int) error {
	dir, err := filepath.Abs(*profiles)
	if err != nil {
		return err
	}
	if s.tool.name != "godwit" {
		_, err = s.run()
		return err
	}
	runs := 1
	if k.repeat > 1 {
		runs = 20 // a short run has few samples; pprof adds them up
	}
	for i := range runs {
		s.log = filepath.Join(dir, fmt.Sprintf("%s.%02d", strings.ReplaceAll(k.row, "/", "-"), i))
		if k.repeat > 1 && k.begin != nil {
			k.begin(round)
		}
		if _, err := s.run(); err != nil {
			return err
		}
	}
	s.log = ""
	return nil
}

// own is the server's own port for the site.
func (s *site) own() int {
	if s.tls {
		return s.server.TLSPort
	}
	return s.server.Port
}

// A standing is a user whose mail each tool keeps in a directory that lasts.
type standing struct {
	b      *bench
	name   string
	of     map[*tool]*site
	remote *remote
}

// stand lets every tool pull the user's n messages, and then run until nothing is
// left to do. slow says whether tools that take long for it take part.
func (b *bench) stand(server, user string, n int, slow bool) *standing {
	b.t.Helper()
	st := b.standApart(server, func(t *tool) string { return user }, n, slow)
	st.remote = &remote{b: b, server: b.server(server), user: user, total: n}
	return st
}

// standApart is stand with a user for each tool.
func (b *bench) standApart(server string, user func(*tool) string, n int, slow bool) *standing {
	b.t.Helper()
	st := &standing{b: b, of: map[*tool]*site{}}
	for _, t := range b.tools {
		if t.slow && !slow {
			continue
		}
		st.name = user(t)
		s := &site{tool: t, server: b.server(server), user: st.name, dir: b.fresh(st.name)}
		st.of[t] = s
		_, err := s.run()
		if err == nil {
			err = hasLocally(n)(s)
		}
		if err != nil {
			if t.name == "godwit" {
				b.t.Fatal(err)
			}
			b.t.Logf("%s: %s: %v", st.name, t.name, err)
			s.failed = err
		}
	}
	b.touched = time.Now()
	st.settle()
	return st
}

func (st *standing) site(t *tool, _ int) *site { return st.of[t] }

// settle lets every tool run until a further run has nothing to do but to look.
func (st *standing) settle() {
	st.b.t.Helper()
	for range 2 {
		st.b.rest()
		for _, s := range st.of {
			if s.failed != nil {
				continue
			}
			if !earnest() {
				st.b.age(s)
			}
			if _, err := s.run(); err != nil {
				if s.tool.name == "godwit" {
					st.b.t.Fatal(err)
				}
				st.b.t.Logf("%s: %s: %v", st.name, s.tool.name, err)
				s.failed = err
			}
		}
	}
}

// earnest tells whether the figures are to mean something.
func earnest() bool { return *margin > 0 }

// rest waits until no directory was written to of late: such ones are listed
// again, or waited for, by tools that go by their times.
func (b *bench) rest() {
	if wait := *margin - time.Since(b.touched); wait > 0 {
		time.Sleep(wait)
	}
}

// age makes the directories of a Maildir seem old. mbsync sleeps where they
// are not.
func (b *bench) age(s *site) {
	b.t.Helper()
	if s.tool.name == "godwit" {
		return
	}
	old := time.Now().Add(-time.Minute)
	for _, part := range []string{"cur", "new"} {
		list, err := filepath.Glob(s.path("Mail/*/" + part))
		for _, dir := range list {
			err = errors.Join(err, os.Chtimes(dir, old, old))
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}
