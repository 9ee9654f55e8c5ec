package maildir

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A fixture is a tree in a directory of its own.
type fixture struct {
	t     *testing.T
	root  string
	opt   Options
	ahead time.Duration // the clock is that much ahead of the machine's
	*Maildir
	ids map[mail.MailboxName]mail.BoxID
}

func newFixture(t *testing.T, opt Options) *fixture {
	t.Helper()
	fx := &fixture{t: t, root: opt.Root, opt: opt}
	if fx.root == "" {
		fx.root = filepath.Join(t.TempDir(), "mail")
		fx.opt.Root = fx.root
	}
	fx.opt.Clock = func() time.Time { return time.Now().Add(fx.ahead) }
	fx.reopen()
	return fx
}

// reopen is what the next run does.
func (fx *fixture) reopen() {
	fx.t.Helper()
	m, err := Open(fx.t.Context(), fx.opt)
	if err != nil {
		fx.t.Fatal(err)
	}
	fx.Maildir, fx.ids = m, map[mail.MailboxName]mail.BoxID{}
}

// bind gives numbers to mailboxes.
func (fx *fixture) bind(names ...mail.MailboxName) {
	bound := map[mail.BoxID]mail.MailboxName{}
	for _, n := range names {
		if fx.ids[n] == 0 {
			fx.ids[n] = mail.BoxID(len(fx.ids) + 1)
		}
		bound[fx.ids[n]] = n
	}
	fx.Bind(bound)
}

// make creates mailboxes and binds them.
func (fx *fixture) make(names ...mail.MailboxName) {
	fx.t.Helper()
	for _, n := range names {
		if _, err := fx.Create(fx.t.Context(), n); err != nil {
			fx.t.Fatal(err)
		}
	}
	fx.bind(names...)
}

func (fx *fixture) survey(since map[mail.MailboxName]plan.Since) map[mail.MailboxName]plan.Box {
	fx.t.Helper()
	boxes, err := fx.Survey(fx.t.Context(), since)
	if err != nil {
		fx.t.Fatal(err)
	}
	out := map[mail.MailboxName]plan.Box{}
	for _, b := range boxes {
		out[b.Name] = b
	}
	return out
}

func (fx *fixture) scan(box mail.MailboxName) (map[mail.Ref]mail.Item, plan.Scanned) {
	fx.t.Helper()
	items := map[mail.Ref]mail.Item{}
	s, err := fx.Scan(fx.t.Context(), fx.ids[box], plan.Since{}, func(s plan.Seen) error {
		if _, twice := items[s.Ref]; twice {
			fx.t.Errorf("%s was yielded twice", s.Ref)
		}
		items[s.Ref] = s.Item
		return nil
	})
	if err != nil {
		fx.t.Fatal(err)
	}
	return items, s
}

func incoming(tag int, body string, item mail.Item) plan.Incoming {
	return plan.Incoming{Tag: tag, Item: item, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(body)), nil
	}}
}

// put places messages and expects that to work.
func (fx *fixture) put(box mail.MailboxName, in ...plan.Incoming) []plan.Placed {
	fx.t.Helper()
	placed, err := fx.tryPut(box, in...)
	if err != nil {
		fx.t.Fatal(err)
	}
	for _, p := range placed {
		if p.Err != nil {
			fx.t.Fatal(p.Err)
		}
	}
	return placed
}

func (fx *fixture) tryPut(box mail.MailboxName, in ...plan.Incoming) ([]plan.Placed, error) {
	fx.t.Helper()
	b, err := fx.Put(fx.t.Context(), fx.ids[box])
	if err != nil {
		fx.t.Fatal(err)
	}
	defer b.Abort()
	for _, i := range in {
		if err := b.Add(fx.t.Context(), i); err != nil {
			fx.t.Fatal(err)
		}
	}
	return b.Commit(fx.t.Context())
}

func (fx *fixture) do(ops ...plan.Op) []plan.Outcome {
	fx.t.Helper()
	var out []plan.Outcome
	err := fx.Do(fx.t.Context(), ops, func(o []plan.Outcome) error {
		out = append(out, o...)
		return nil
	})
	if err != nil {
		fx.t.Fatal(err)
	}
	if len(out) != len(ops) {
		fx.t.Fatalf("%d ops had %d outcomes", len(ops), len(out))
	}
	return out
}

func (fx *fixture) at(box mail.MailboxName, ref mail.Ref) plan.Place {
	return plan.Place{Box: fx.ids[box], Ref: ref}
}

func (fx *fixture) fetch(box mail.MailboxName, ref mail.Ref) (string, mail.Item) {
	fx.t.Helper()
	var body []byte
	var item mail.Item
	err := fx.Fetch(fx.t.Context(), fx.ids[box], []mail.Ref{ref}, func(_ mail.Ref, i mail.Item, r io.Reader) (err error) {
		item = i
		body, err = io.ReadAll(r)
		return err
	})
	if err != nil {
		fx.t.Fatal(err)
	}
	return string(body), item
}

// path is a path below the root.
func (fx *fixture) path(parts ...string) string {
	return filepath.Join(append([]string{fx.root}, parts...)...)
}

// write makes a file, and the directories it needs.
func (fx *fixture) write(text string, parts ...string) {
	fx.t.Helper()
	p := fx.path(parts...)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		fx.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		fx.t.Fatal(err)
	}
}

func (fx *fixture) rename(from, to string) {
	fx.t.Helper()
	if err := os.Rename(fx.path(from), fx.path(to)); err != nil {
		fx.t.Fatal(err)
	}
}

// maildirAt makes an empty Maildir as any mail program would.
func (fx *fixture) maildirAt(parts ...string) {
	fx.t.Helper()
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(fx.path(append(slices.Clone(parts), sub)...), 0o700); err != nil {
			fx.t.Fatal(err)
		}
	}
}

// files lists the names in a directory.
func (fx *fixture) files(parts ...string) []string {
	fx.t.Helper()
	list, err := os.ReadDir(fx.path(parts...))
	if err != nil {
		fx.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func (fx *fixture) read(parts ...string) string {
	fx.t.Helper()
	text, err := os.ReadFile(fx.path(parts...))
	if err != nil {
		fx.t.Fatal(err)
	}
	return string(text)
}

func bodyDigest(t *testing.T, text string) mail.Identity {
	t.Helper()
	id, err := mail.Identify(bytes.NewReader([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wantEqual[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
