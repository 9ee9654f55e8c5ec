package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A hand changes things on both sides as people and their programs do.
type hand struct {
	*account
	c *imapclient.Client
	n int // letters given out
}

// write puts n letters into a mailbox of the server and returns the number of
// the first.
func (h *hand) write(box string, n int) int {
	h.t.Helper()
	first := h.n
	h.n += n
	for i := first; i < h.n; i++ {
		h.appendWith(h.c, box, letter(i), date(i))
	}
	return first
}

// there selects a mailbox of the server and finds letter n in it.
func (h *hand) there(box string, n int) imap.UIDSet {
	h.t.Helper()
	if _, err := h.c.Select(box, nil).Wait(); err != nil {
		h.t.Fatal(err)
	}
	found, err := h.c.UIDSearch(&imap.SearchCriteria{Body: []string{mark(n)}}, nil).Wait()
	if err != nil || len(found.AllUIDs()) == 0 {
		h.t.Fatalf("letter %d is not in %s: %v", n, box, err)
	}
	return imap.UIDSetNum(found.AllUIDs()[0])
}

func (h *hand) storeThere(box string, n int, op imap.StoreFlagsOp, flags ...imap.Flag) {
	h.t.Helper()
	if err := h.c.Store(h.there(box, n), &imap.StoreFlags{Op: op, Silent: true, Flags: flags}, nil).Close(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) flagThere(box string, n int, flags ...imap.Flag) {
	h.t.Helper()
	h.storeThere(box, n, imap.StoreFlagsAdd, flags...)
}

func (h *hand) moveThere(from string, n int, to string) {
	h.t.Helper()
	if _, err := h.c.Move(h.there(from, n), to).Wait(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) deleteThere(box string, n int) {
	h.t.Helper()
	uids := h.there(box, n)
	if err := h.c.Store(uids, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		h.t.Fatal(err)
	}
	if err := h.c.UIDExpunge(uids).Close(); err != nil {
		h.t.Fatal(err)
	}
}

// here finds the file of letter n.
func (h *hand) here(box string, n int) string {
	h.t.Helper()
	path := h.file(box, mark(n))
	if path == "" {
		h.t.Fatalf("letter %d is not in %s", n, filepath.Join(h.root, box))
	}
	return path
}

func (h *hand) rename(from, to string) {
	h.t.Helper()
	if err := os.Rename(from, to); err != nil {
		h.t.Fatal(err)
	}
}

// flagHere gives letter n exactly these letters, as a mail program would.
func (h *hand) flagHere(box string, n int, info string) {
	h.t.Helper()
	path := h.here(box, n)
	key, _, _ := strings.Cut(filepath.Base(path), ":2,")
	h.rename(path, filepath.Join(h.root, box, "cur", key+":2,"+info))
}

// moveHere moves letter n under the name it has.
func (h *hand) moveHere(from string, n int, to string) {
	h.t.Helper()
	path := h.here(from, n)
	h.rename(path, filepath.Join(h.root, to, filepath.Base(filepath.Dir(path)), filepath.Base(path)))
}

// passHere moves letter n and gives it another name, as mutt does.
func (h *hand) passHere(from string, n int, to string) {
	h.t.Helper()
	path := h.here(from, n)
	_, info, _ := strings.Cut(filepath.Base(path), ":2,")
	serial++
	h.rename(path, filepath.Join(h.root, to, "cur", fmt.Sprintf("1700000000.%d_1.mutt:2,%s", serial, info)))
}

func (h *hand) deleteHere(box string, n int) {
	h.t.Helper()
	if err := os.Remove(h.here(box, n)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) makeHere(box string) {
	h.t.Helper()
	for _, part := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(h.root, box, part), 0o700); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *hand) makeThere(box string) {
	h.t.Helper()
	if err := h.c.Create(box, nil).Wait(); err != nil {
		h.t.Fatal(err)
	}
}

// letterFor gives the letter of a keyword in a folder, adding it to the table.
func (h *hand) letterFor(box string, word mail.Flag) string {
	h.t.Helper()
	table := readKeywords(filepath.Join(h.root, box))
	for c, w := range table {
		if strings.EqualFold(string(w), string(word)) {
			return string(c)
		}
	}
	k := len(table)
	f, err := os.OpenFile(filepath.Join(h.root, box, "dovecot-keywords"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%d %s\n", k, word); err != nil {
		h.t.Fatal(err)
	}
	return string(rune('a' + k))
}

// A change is something that happens between two runs to letters of one
// mailbox, and where each of them must be afterwards, on both sides.
type change struct {
	name    string
	letters int // in the mailbox that act gets
	before  func(h *hand, box string, n int)
	act     func(h *hand, box string, n int)
	want    []want
}

// want is what must be of a letter: how often it is in a mailbox ("" for the
// one of the change), with which flags.
type want struct {
	letter int // counted from the first of the change
	in     string
	flags  string
	times  int // 0: once
	not    bool
}

const target = "Target/Deep"

var changes = []change{
	{name: "flagged here", letters: 1,
		act:  func(h *hand, box string, n int) { h.flagHere(box, n, "FS") },
		want: []want{{flags: `\Flagged \Seen`}}},
	{name: "flagged there", letters: 1,
		act:  func(h *hand, box string, n int) { h.flagThere(box, n, imap.FlagSeen, imap.FlagAnswered) },
		want: []want{{flags: `\Answered \Seen`}}},
	{name: "flagged on both sides", letters: 1,
		act:  func(h *hand, box string, n int) { h.flagHere(box, n, "F"); h.flagThere(box, n, imap.FlagSeen) },
		want: []want{{flags: `\Flagged \Seen`}}},
	{name: "flagged alike on both sides", letters: 1,
		act:  func(h *hand, box string, n int) { h.flagHere(box, n, "S"); h.flagThere(box, n, imap.FlagSeen) },
		want: []want{{flags: `\Seen`}}},
	{name: "one flag given, another taken", letters: 1,
		before: func(h *hand, box string, n int) { h.flagThere(box, n, imap.FlagSeen) },
		act: func(h *hand, box string, n int) {
			h.flagHere(box, n, "RS")
			h.storeThere(box, n, imap.StoreFlagsDel, imap.FlagSeen)
		},
		want: []want{{flags: `\Answered`}}},
	{name: "marked as deleted here", letters: 1,
		act:  func(h *hand, box string, n int) { h.flagHere(box, n, "ST") },
		want: []want{{flags: `\Deleted \Seen`}}},
	{name: "keyword here", letters: 1,
		act:  func(h *hand, box string, n int) { h.flagHere(box, n, h.letterFor(box, "$Todo")) },
		want: []want{{flags: `$Todo`}}},
	{name: "keywords there", letters: 1,
		act:  func(h *hand, box string, n int) { h.flagThere(box, n, "$Todo", "Work", "$Forwarded") },
		want: []want{{flags: `$Todo Work $Forwarded`}}},
	{name: "keyword given here, another taken there", letters: 1,
		before: func(h *hand, box string, n int) { h.flagThere(box, n, "$Todo", imap.FlagSeen) },
		act: func(h *hand, box string, n int) {
			h.flagHere(box, n, "S"+h.letterFor(box, "$Todo")+h.letterFor(box, "Work"))
			h.storeThere(box, n, imap.StoreFlagsDel, "$Todo")
		},
		want: []want{{flags: `Work \Seen`}}},
	{name: "moved here", letters: 1,
		act:  func(h *hand, box string, n int) { h.moveHere(box, n, target) },
		want: []want{{not: true}, {in: target}}},
	{name: "moved here under another name", letters: 1,
		act:  func(h *hand, box string, n int) { h.passHere(box, n, target) },
		want: []want{{not: true}, {in: target}}},
	{name: "moved there", letters: 1,
		act:  func(h *hand, box string, n int) { h.moveThere(box, n, target) },
		want: []want{{not: true}, {in: target}}},
	{name: "moved to the same place on both sides", letters: 2,
		act: func(h *hand, box string, n int) {
			h.moveHere(box, n, target)
			h.moveThere(box, n, target)
			h.passHere(box, n+1, target)
			h.moveThere(box, n+1, target)
		},
		want: []want{{not: true}, {in: target}, {letter: 1, not: true}, {letter: 1, in: target}}},
	{name: "moved to two places", letters: 2,
		act: func(h *hand, box string, n int) {
			h.moveHere(box, n, target)
			h.moveThere(box, n, "Elsewhere")
			h.passHere(box, n+1, target)
			h.moveThere(box, n+1, "Elsewhere")
		},
		want: []want{{in: "Elsewhere"}, {in: target, not: true}, {not: true}, {letter: 1, in: "Elsewhere"}, {letter: 1, in: target, not: true}}},
	{name: "moved here, flagged there", letters: 2,
		act: func(h *hand, box string, n int) {
			h.moveHere(box, n, target)
			h.flagThere(box, n, imap.FlagFlagged, "$Todo")
			h.passHere(box, n+1, target)
			h.flagThere(box, n+1, imap.FlagFlagged, "$Todo")
		},
		want: []want{{in: target, flags: `\Flagged $Todo`}, {not: true}, {letter: 1, in: target, flags: `\Flagged $Todo`}}},
	{name: "moved there, flagged here", letters: 1,
		act:  func(h *hand, box string, n int) { h.moveThere(box, n, target); h.flagHere(box, n, "FS") },
		want: []want{{in: target, flags: `\Flagged \Seen`}, {not: true}}},
	{name: "moved and flagged here, flagged there", letters: 1,
		act: func(h *hand, box string, n int) {
			h.flagHere(box, n, "S")
			h.passHere(box, n, target)
			h.flagThere(box, n, imap.FlagFlagged)
		},
		want: []want{{in: target, flags: `\Flagged \Seen`}, {not: true}}},
	{name: "moved here, deleted there", letters: 1,
		act:  func(h *hand, box string, n int) { h.moveHere(box, n, target); h.deleteThere(box, n) },
		want: []want{{in: target}, {not: true}}},
	{name: "moved there, deleted here", letters: 1,
		act:  func(h *hand, box string, n int) { h.moveThere(box, n, target); h.deleteHere(box, n) },
		want: []want{{in: target}, {not: true}}},
	{name: "exchanged", letters: 1,
		before: func(h *hand, box string, n int) { h.makeThere(box + "/other"); h.write(box+"/other", 1) },
		act: func(h *hand, box string, n int) {
			other := h.here(box+"/other", h.n0(box+"/other"))
			h.moveHere(box, n, box+"/other")
			h.rename(other, filepath.Join(h.root, box, "cur", filepath.Base(other)+":2,"))
		},
		want: []want{{not: true}}},
	{name: "deleted here", letters: 2,
		act:  func(h *hand, box string, n int) { h.deleteHere(box, n) },
		want: []want{{not: true}, {letter: 1}}},
	{name: "deleted there", letters: 2,
		act:  func(h *hand, box string, n int) { h.deleteThere(box, n) },
		want: []want{{not: true}, {letter: 1}}},
	{name: "deleted on both sides", letters: 2,
		act:  func(h *hand, box string, n int) { h.deleteThere(box, n); h.deleteHere(box, n) },
		want: []want{{not: true}, {letter: 1}}},
	{name: "deleted here, flagged there", letters: 2,
		act:  func(h *hand, box string, n int) { h.deleteHere(box, n); h.flagThere(box, n, imap.FlagFlagged) },
		want: []want{{not: true}, {letter: 1}}},
	{name: "deleted there, flagged here", letters: 2,
		act:  func(h *hand, box string, n int) { h.deleteThere(box, n); h.flagHere(box, n, "F") },
		want: []want{{not: true}, {letter: 1}}},
	{name: "renamed here", letters: 2,
		act: func(h *hand, box string, n int) {
			h.passHere(box, n, box)
			path := h.here(box, n+1)
			h.rename(path, filepath.Join(h.root, box, "cur", filepath.Base(path)+",U=7:2,S"))
		},
		want: []want{{}, {letter: 1, flags: `\Seen`}}},
	{name: "edited here", letters: 2,
		act: func(h *hand, box string, n int) {
			if err := os.WriteFile(h.here(box, n), []byte(strings.Replace(letter(n), "Hello", "EDITED\n\nHello", 1)), 0o600); err != nil {
				h.t.Fatal(err)
			}
			path := h.here(box, n+1)
			draft := filepath.Join(h.root, box, "tmp", "draft")
			if err := os.WriteFile(draft, []byte(strings.Replace(letter(n+1), "Hello", "REPLACED\n\nHello", 1)), 0o600); err != nil {
				h.t.Fatal(err)
			}
			h.rename(draft, path)
		},
		want: []want{{}, {letter: 1}}},
	{name: "edited here, flagged there", letters: 1,
		act: func(h *hand, box string, n int) {
			if err := os.WriteFile(h.here(box, n), []byte(letter(n)+"and more\n"), 0o600); err != nil {
				h.t.Fatal(err)
			}
			h.flagThere(box, n, imap.FlagFlagged)
		},
		want: []want{{}}},
	{name: "touched", letters: 1,
		act: func(h *hand, box string, n int) {
			path := h.here(box, n)
			if err := os.WriteFile(path, []byte(letter(n)), 0o600); err != nil { // a restore from a backup
				h.t.Fatal(err)
			}
			if err := os.Chtimes(path, date(n), date(n)); err != nil {
				h.t.Fatal(err)
			}
		},
		want: []want{{}}},
	{name: "copied here", letters: 2,
		act: func(h *hand, box string, n int) {
			h.deliver(box, letter(n), date(n), "S")
			h.deliver(target, letter(n+1), date(n+1), "")
		},
		want: []want{{times: 2}, {letter: 1}, {letter: 1, in: target}}},
	{name: "copied there", letters: 2,
		act: func(h *hand, box string, n int) {
			for i, to := range []string{box, target} {
				if _, err := h.c.Copy(h.there(box, n+i), to).Wait(); err != nil {
					h.t.Fatal(err)
				}
			}
		},
		want: []want{{times: 2}, {letter: 1}, {letter: 1, in: target}}},
	{name: "copied and the first one deleted", letters: 1,
		act: func(h *hand, box string, n int) {
			h.deliver(target, letter(n), date(n), "S")
			h.deleteHere(box, n)
		},
		want: []want{{not: true}, {in: target, flags: `\Seen`}}},
	{name: "new here", letters: 1,
		act:  func(h *hand, box string, n int) { h.n++; h.deliver(box, letter(h.n-1), date(h.n-1), "") },
		want: []want{{}}},
	{name: "the same message came on both sides", letters: 1,
		act: func(h *hand, box string, n int) {
			k := h.n
			h.deliver(box, letter(k), date(k), "S")
			h.write(box, 1)
		},
		want: []want{{}}},
	{name: "new mailbox here", letters: 1,
		act: func(h *hand, box string, n int) {
			k := h.n
			h.n++
			h.deliver(box+"/Made here/Deep", letter(k), date(k), "F")
			h.makeHere(box + "/Empty")
			h.moveHere(box, n, box+"/Empty")
		},
		want: []want{{not: true}, {in: "/Empty"}}},
	{name: "new mailbox there", letters: 1,
		act: func(h *hand, box string, n int) {
			h.write(box+"/Made there/Deep", 1)
			h.makeThere(box + "/Empty")
			h.moveThere(box, n, box+"/Empty")
		},
		want: []want{{not: true}, {in: "/Empty"}}},
	{name: "mailbox renamed there", letters: 2,
		before: func(h *hand, box string, n int) { h.write(box+"/Child", 2); h.makeThere(box + "/Child/Grandchild") },
		act: func(h *hand, box string, n int) {
			h.flagThere(box, n, imap.FlagSeen)
			if err := h.c.Unselect().Wait(); err != nil {
				h.t.Fatal(err)
			}
			if err := h.c.Rename(box, "Renamed there", nil).Wait(); err != nil {
				h.t.Fatal(err)
			}
		},
		want: []want{{in: "Renamed there", flags: `\Seen`}, {letter: 1, in: "Renamed there"}, {not: true}}},
	{name: "mailbox renamed here", letters: 2,
		before: func(h *hand, box string, n int) { h.write(box+"/Child", 2); h.makeThere(box + "/Child/Grandchild") },
		act: func(h *hand, box string, n int) {
			h.flagHere(box, n, "S")
			h.rename(filepath.Join(h.root, box), filepath.Join(h.root, "Renamed here"))
		},
		want: []want{{in: "Renamed here", flags: `\Seen`}, {letter: 1, in: "Renamed here"}, {not: true}}},
}

// n0 is the number of the first letter of a mailbox of the Maildir.
func (h *hand) n0(box string) int {
	h.t.Helper()
	for n := range h.n {
		if h.file(box, mark(n)) != "" {
			return n
		}
	}
	h.t.Fatalf("no letter in %s", box)
	return 0
}

// newHand fills an account with ballast, so that no change is a catastrophe.
func newHand(a *account) *hand {
	a.t.Helper()
	h := &hand{account: a, c: a.server.Client(a.user)}
	list := make([]parcel, 200)
	for i := range list {
		list[i] = parcel{box: "Ballast", body: string(sidetest.Canonical([]byte(letter(100_000 + i)))), date: date(i)}
	}
	a.post(list)
	h.makeThere(target)
	h.makeThere("Elsewhere")
	return h
}

// TestChanges makes every kind of change between two runs. Each happens in a
// mailbox of its own; all arrive in one run.
func TestChanges(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		h := newHand(a)
		first := make([]int, len(changes))
		box := make([]string, len(changes))
		for i, c := range changes {
			box[i] = fmt.Sprintf("%02d %s", i, c.name)
			first[i] = h.write(box[i], c.letters)
			h.write(box[i], 3) // they stay, so that no mailbox is emptied
			if c.before != nil {
				c.before(h, box[i], first[i])
			}
		}
		a.sync()
		a.agree()
		for i, c := range changes {
			c.act(h, box[i], first[i])
		}
		r := a.sync()
		a.agree()
		snap := a.remote()
		for i, c := range changes {
			for _, w := range c.want {
				if d := w.check(snap, box[i], first[i]); d != "" {
					t.Errorf("%s: %s", c.name, d)
				}
			}
			if t.Failed() {
				t.Logf("the run said:\n%s", grep(r.out+r.errout, box[i]))
			}
		}
		a.quiet()
		a.quiet()
	})
}

func grep(text, what string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return !strings.Contains(line, what) }), "\n")
}

// check tells how the server differs from what is wanted.
func (w want) check(snap sidetest.Snapshot, box string, first int) string {
	n, in := first+w.letter, w.in
	if in == "" || in[0] == '/' {
		in = box + in
	}
	times := max(w.times, 1)
	if w.not {
		times = 0
	}
	var found []sidetest.Message
	for _, m := range snap[mail.MailboxName(in)] {
		if bytes.Contains(m.Body, []byte(mark(n))) {
			found = append(found, m)
		}
	}
	if len(found) != times {
		return fmt.Sprintf("letter %d is %d times in %q, want %d", n, len(found), in, times)
	}
	if flags := mail.ParseFlagSet(w.flags); times == 1 && w.flags != "" && !flags.Equal(found[0].Flags) {
		return fmt.Sprintf("letter %d in %q has the flags %s, want %s", n, in, found[0].Flags, flags)
	}
	return ""
}
