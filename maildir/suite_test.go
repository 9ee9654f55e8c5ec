package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// TestSide keeps every promise that the engine builds on, in both layouts.
func TestSide(t *testing.T) {
	for _, opt := range []Options{
		{Layout: FS, FSync: true},
		{Layout: PlusPlus},
		{Layout: FS, FolderEncoding: UTF7},
	} {
		t.Run(string(opt.Layout)+" "+string(opt.FolderEncoding), func(t *testing.T) {
			sidetest.Run(t, func(t *testing.T) sidetest.Harness { return newUser(t, opt).harness() })
		})
	}
}

// A user acts on a tree with the plain means of a mail program.
type user struct {
	opt   Options
	ahead atomic.Int64
	count int
}

func newUser(t *testing.T, opt Options) *user {
	u := &user{opt: opt}
	u.opt.Root = filepath.Join(t.TempDir(), "mail")
	u.opt.Clock = func() time.Time { return time.Now().Add(time.Duration(u.ahead.Load())) }
	return u
}

func (u *user) harness() sidetest.Harness {
	return sidetest.Harness{
		Open: func(t *testing.T) engine.Writer {
			m, err := Open(t.Context(), u.opt)
			if err != nil {
				t.Fatal(err)
			}
			return m
		},
		Claims: sidetest.Claims{KeepsKeys: true, TellsSame: true, Tokens: true, Keywords: maxKeywords},
		Age:    func(*testing.T) { u.ahead.Add(int64(time.Minute)) },
		User: sidetest.User{
			Deliver: u.deliver,
			SetFlags: func(t *testing.T, box mail.MailboxName, ref mail.Ref, flags mail.FlagSet) {
				text, _ := parseKeywords(nil).encode(flags)
				u.rename(t, u.file(t, box, ref), u.path(t, box, "cur", string(ref)+withLetters("", text)))
			},
			Move: func(t *testing.T, from mail.MailboxName, ref mail.Ref, to mail.MailboxName) {
				file := u.file(t, from, ref)
				u.rename(t, file, u.path(t, to, filepath.Base(filepath.Dir(file)), filepath.Base(file)))
			},
			Expunge: func(t *testing.T, box mail.MailboxName, ref mail.Ref) {
				if err := os.Remove(u.file(t, box, ref)); err != nil {
					t.Fatal(err)
				}
			},
			DeleteBox: func(t *testing.T, box mail.MailboxName) {
				if err := os.RemoveAll(u.path(t, box)); err != nil {
					t.Fatal(err)
				}
			},
			Edit: func(t *testing.T, box mail.MailboxName, ref mail.Ref, body []byte) {
				if err := os.WriteFile(u.file(t, box, ref), body, 0o600); err != nil {
					t.Fatal(err)
				}
			},
		},
	}
}

// path is a path in a mailbox.
func (u *user) path(t *testing.T, box mail.MailboxName, parts ...string) string {
	t.Helper()
	opt, err := u.opt.complete()
	if err != nil {
		t.Fatal(err)
	}
	n := names{opt.Layout, opt.FolderEncoding}
	return filepath.Join(append([]string{opt.Root, n.disk(box)}, parts...)...)
}

// file finds a message by its key.
func (u *user) file(t *testing.T, box mail.MailboxName, ref mail.Ref) string {
	t.Helper()
	for _, sub := range []string{"cur", "new"} {
		list, err := os.ReadDir(u.path(t, box, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if key, _ := splitName(e.Name()); key == string(ref) {
				return u.path(t, box, sub, e.Name())
			}
		}
	}
	t.Fatalf("%s is not in %s", ref, box)
	return ""
}

func (u *user) rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// deliver does as a delivery agent does: by way of tmp.
func (u *user) deliver(t *testing.T, box mail.MailboxName, body []byte, flags mail.FlagSet, date time.Time) {
	t.Helper()
	u.count++
	name := fmt.Sprintf("1700000000.M%dP1.host", u.count)
	tmp := u.path(t, box, "tmp", name)
	if err := os.WriteFile(tmp, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if !date.IsZero() {
		if err := os.Chtimes(tmp, date, date); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := parseKeywords(nil).encode(flags)
	if text == "" {
		u.rename(t, tmp, u.path(t, box, "new", name))
		return
	}
	u.rename(t, tmp, u.path(t, box, "cur", name+withLetters("", text)))
}
