package maildir

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var (
	seeds     = flag.Int("seeds", 150, "how many seeds TestChangedMeanwhile runs")
	firstSeed = flag.Int("first", 0, "the first seed of TestChangedMeanwhile")
)

// A meddler is another program that changes the tree in the middle of a run.
type meddler struct {
	*account
	rng      *rand.Rand
	log      []string
	gone     map[int]bool // letters that it, or somebody before, removed
	maybe    map[int]bool // letters that may be gone with the folder they came to
	answered map[int]bool // letters that it gave \Answered
}

// find looks for letter n in the whole tree.
func (m *meddler) find(n int) string {
	var found string
	_ = filepath.WalkDir(m.opt.Root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || inTmp(path) || filepath.Base(filepath.Dir(path)) != "cur" && filepath.Base(filepath.Dir(path)) != "new" {
			return nil
		}
		if body, err := os.ReadFile(path); err == nil && string(sidetest.Canonical(body)) == letter(n) {
			found = path
		}
		return nil
	})
	return found
}

// meddle does one thing to the tree.
func (m *meddler) meddle(call int) {
	all := []int{0, 1, 3, 4, 6, 7, 8, 9, 10, 20, 30, 31, 50, 60, 61, 62, 70, 71}
	n := all[m.rng.IntN(len(all))]
	path := m.find(n)
	what := "nothing"
	switch k := m.rng.IntN(10); {
	case k == 8:
		what = m.moveBox()
	case k == 9:
		what = m.dropBox()
	case k == 7:
		what = "a letter comes"
		m.drop([]string{"INBOX", "Work", "Fresh"}[m.rng.IntN(3)], 80+len(m.log), "")
	case path == "":
	case k <= 2:
		key, info := splitName(filepath.Base(path))
		flags, _ := letters(info)
		what = "answered"
		m.answered[n] = true
		m.must(os.Rename(path, filepath.Join(filepath.Dir(filepath.Dir(path)), "cur", key+withLetters(info, flags+"R"))))
	case k == 3:
		what = "moved aside"
		for _, sub := range []string{"tmp", "new", "cur"} {
			m.must(os.MkdirAll(m.path("Aside", sub), 0o700))
		}
		m.must(os.Rename(path, m.path("Aside", filepath.Base(filepath.Dir(path)), filepath.Base(path))))
	case k == 4:
		what = "given another name"
		_, info := splitName(filepath.Base(path))
		m.must(os.Rename(path, filepath.Join(filepath.Dir(path), fmt.Sprintf("16000%d.M%dP2.host%s", len(m.log), n, info))))
	case k == 5:
		what = "removed"
		m.gone[n] = true
		delete(m.answered, n) // what it had last is gone with it
		m.must(os.Remove(path))
	case k == 6:
		what = "written anew"
		body, err := os.ReadFile(path)
		m.must(err)
		st, err := os.Stat(path)
		m.must(err)
		m.must(os.WriteFile(path+"~", body, 0o600))
		m.must(os.Chtimes(path+"~", st.ModTime(), st.ModTime()))
		m.must(os.Rename(path+"~", path))
	}
	m.log = append(m.log, fmt.Sprintf("at call %d: letter %d %s (%s)", call, n, what, path))
}

// moveBox renames a folder.
func (m *meddler) moveBox() string {
	from := []string{"Work", "Listen", "Old", "Renamed", "New", "Own"}[m.rng.IntN(6)]
	to := fmt.Sprintf("%s-%d", from, len(m.log))
	if os.Rename(m.path(from), m.path(to)) != nil {
		return "stays; there is no " + from
	}
	return "stays; " + from + " becomes " + to
}

// dropBox removes a folder with all that is in it.
func (m *meddler) dropBox() string {
	box := []string{"Work", "Listen"}[m.rng.IntN(2)]
	for _, n := range []int{0, 1, 3, 4, 6, 20, 50} {
		if path := m.find(n); strings.HasPrefix(path, m.path(box)+"/") {
			m.gone[n] = true
		}
	}
	// What the run, or the server, moves there in this moment goes with it.
	for _, n := range []int{1, 4, 6} {
		m.maybe[n] = true
	}
	m.must(os.RemoveAll(m.path(box)))
	return "stays; " + box + " is removed"
}

// TestChangedMeanwhile lets another program change the tree at any call of a
// run: files are renamed, moved, removed, written anew, folders come and go.
// After one more run both sides agree; nothing is lost, nothing twice, and no
// change of the other program undone.
func TestChangedMeanwhile(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			a, gone := eventful(t, Options{FSync: true})
			m := &meddler{account: a, rng: rand.New(rand.NewPCG(uint64(seed), 3)), gone: gone, maybe: map[int]bool{}, answered: map[int]bool{}}
			at := map[int]bool{}
			for range 1 + m.rng.IntN(3) {
				at[1+m.rng.IntN(1200)] = true
			}
			rep, err := a.run(&tap{hook: func(n int) {
				if at[n] {
					m.meddle(n)
				}
			}})
			told := fmt.Sprintf("%s\nrun: %v, %v\n%s\n", strings.Join(m.log, "\n"), err, rep.Faults, strings.Join(a.events, "\n"))
			rep, err = a.run(&tap{})
			if err == nil && rep.Exit() == 3 && rep.HeldBoxes > 0 {
				// A folder was removed here while mail came to it on the server:
				// that is for the user to decide.
				a.change = func(o *engine.Options) { o.Reject = true }
				rep, err = a.run(&tap{})
				a.change = nil
			}
			if err != nil || rep.Exit() != 0 {
				t.Errorf("the next run ends with %d, %v, %v\n%s", rep.Exit(), err, rep.Faults, told)
			}
			m.agree("then")
			m.check()
			if t.Failed() {
				t.Log(told)
			}
		})
	}
}

// check holds what is there against what must be.
func (m *meddler) check() {
	m.t.Helper()
	count, flags := map[string]int{}, map[string]mail.FlagSet{}
	for _, list := range m.disk() {
		for _, msg := range list {
			count[string(sidetest.Canonical(msg.Body))]++
			flags[string(sidetest.Canonical(msg.Body))] = msg.Flags
		}
	}
	for _, n := range []int{0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 20, 30, 31, 50, 60, 61, 62, 70, 71} {
		got := count[letter(n)]
		switch {
		case got > 1:
			m.t.Errorf("letter %d is there %d times", n, got)
		case got == 0 && !m.gone[n] && !m.maybe[n]:
			m.t.Errorf("letter %d is lost", n)
		case got == 1 && m.answered[n] && !flags[letter(n)].Has(mail.Answered):
			m.t.Errorf("letter %d lost a flag: %s", n, flags[letter(n)])
		}
	}
}
