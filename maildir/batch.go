package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// staleTmp is the age at which what lies in tmp is a leftover, by the
// convention of Maildir.
const staleTmp = 36 * time.Hour

// A batch is messages on their way into one mailbox. They lie in tmp, or
// without a name (see unnamed.go), until Commit, which makes their bytes
// durable, renames or links them to where they are seen, and makes that durable.
//
// A batch may be filled while the one before it is committed, by two
// goroutines, so there is one rule: Put, Add and Abort use what is the batch's
// own (its open directories) and only look at what Maildir and
// mailbox keep of the tree, which stands still meanwhile; they alone use
// Maildir.cleaned, Maildir.linkings and Maildir.storer. All else that batches share (scratch, locals, durable,
// canon, and of a mailbox list, seen, stands, own, table and locked) belongs
// to Commit, and commits follow each other.
type batch struct {
	m      *Maildir
	id     mail.BoxID
	f      *folder
	tmp    *dir
	staged []*staged
	open   []*staged
	// linking is how files without a name are linked, once that was asked. When
	// one of them has a number of most or above, no more are opened.
	linking        linking
	most           int
	asked, crowded bool
	// unsynced are written, and closed if they have a name: a big batch is made
	// durable as a whole.
	unsynced []*staged
	touched  []*dir // got or lost an entry
	over     bool
}

// A staged message is written and not placed yet.
type staged struct {
	flags  mail.FlagSet // that it is to have
	date   time.Time    // zero if not known
	key    string       // by its token (see mail.Item), "" if it has none
	name   string       // in tmp; "" when it is there no more, or never was
	how    linking      // of a file without a name
	file   *handle
	placed plan.Placed
}

// waits tells whether the message is still to be placed.
func (s *staged) waits() bool { return s.name != "" || s.how != linkNever && s.file != nil }

// A Batch is the engine's: the same type, told in words that a side may know.
type Batch = interface {
	Add(ctx context.Context, in plan.Incoming) error
	Commit(ctx context.Context) ([]plan.Placed, error)
	Abort()
}

// Put begins a batch.
func (m *Maildir) Put(ctx context.Context, box mail.BoxID) (Batch, error) {
	b, err := m.box(ctx, box)
	if err != nil {
		return nil, err
	}
	f, err := m.open(b)
	if err != nil {
		return nil, err
	}
	tmp, err := f.fill()
	if err != nil {
		f.close()
		return nil, localFault(mail.GradeMailbox, err)
	}
	if !m.cleaned[b.name] {
		m.cleaned[b.name] = true
		m.clean(tmp, staleTmp)
	}
	return &batch{m: m, id: box, f: f, tmp: tmp}, nil
}

// clean removes what earlier runs left in tmp and is older than that. It does
// not matter if it fails.
func (m *Maildir) clean(tmp *dir, than time.Duration) {
	var scratch []byte // not the one of Commit
	list, err := tmp.entries(&scratch)
	if err != nil {
		return
	}
	for _, e := range list {
		if !strings.HasSuffix(e.name, ownSuffix) {
			continue
		}
		// Not the time of modification, which is that of the message.
		if st, err := tmp.stat(e.name); err == nil && st.regular() && m.opt.Clock().Sub(st.ctime) >= than {
			_ = tmp.unlink(e.name)
		}
	}
}

// Add writes one message.
func (b *batch) Add(ctx context.Context, in plan.Incoming) error {
	if b.over {
		return errors.New("the batch is over")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s := &staged{flags: in.Item.Flags, date: in.Item.Date, key: b.tokenKey(in.Item), placed: plan.Placed{Tag: in.Tag, Epoch: epoch}}
	b.staged = append(b.staged, s)
	if err := b.write(ctx, s, in.Open); err != nil {
		s.placed.Err = localFault(mail.GradeMessage, err)
		b.discard(s)
		return ctx.Err()
	}
	b.open = append(b.open, s)
	if len(b.open) >= maxOpen || !b.m.opt.FSync {
		b.closeUnsynced()
	}
	return nil
}

func (b *batch) write(ctx context.Context, s *staged, open func() (io.ReadCloser, error)) error {
	body, err := open()
	if err != nil {
		return err
	}
	if b.m.storer == nil {
		b.m.storer = newStorer(storeBuffer)
	}
	at := berth{tmp: b.tmp}
	if s.how = b.nextLinking(); s.how == linkNever {
		at.name = uniqueKey(b.m.opt.Clock())
	}
	s.file, s.placed.Ident, err = b.m.storer.store(at, contextReader{ctx, body})
	if cerr := body.Close(); err == nil && cerr != nil {
		s.name, err = at.name, cerr
	}
	if err != nil {
		return err
	}
	s.name = at.name
	// The kernel gives the lowest number that is free, so all below are taken.
	b.crowded = b.crowded || s.how != linkNever && s.file.fd >= b.most
	if s.how != linkNever && !b.m.opt.FSync {
		return nil // Commit dates it: what fills a batch has more to do
	}
	return b.finish(s)
}

// finish gives a written message its date, and takes its mark.
func (b *batch) finish(s *staged) error {
	if err := b.setTime(s); err != nil {
		return err
	}
	st, err := s.file.stat() // a new name changes nothing of the mark
	s.placed.Stat = st.mark()
	return err
}

// setTime gives a message the date it is to have.
func (b *batch) setTime(s *staged) error {
	switch {
	case s.date.IsZero():
		return nil
	case s.name == "":
		return s.file.setTime(s.date)
	}
	return b.tmp.setTime(s.name, s.date)
}

// discard throws a message away that was not placed.
func (b *batch) discard(s *staged) {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	if s.name != "" {
		_ = b.tmp.unlink(s.name)
		s.name = ""
	}
}

// Commit places all that was added.
func (b *batch) Commit(ctx context.Context) ([]plan.Placed, error) {
	if b.over {
		return nil, errors.New("the batch is over")
	}
	b.m.committing.Lock()
	defer b.m.committing.Unlock()
	defer b.end()
	b.syncAll()
	err := b.place(ctx)
	placed := make([]plan.Placed, len(b.staged))
	for i, s := range b.staged {
		if s.placed.Ref == "" && s.placed.Err == nil {
			s.placed.Err = err
		}
		placed[i] = s.placed
	}
	return placed, err
}

// place moves the staged messages to where they are seen.
func (b *batch) place(ctx context.Context) error {
	var all mail.FlagSet
	for _, s := range b.staged {
		if s.waits() {
			all = all.Union(s.flags)
		}
	}
	words, wordsErr := b.f.wordsFor(ctx, all)
	if wordsErr != nil {
		if words, _ = b.f.keywords(); words == nil || ctx.Err() != nil {
			return wordsErr
		}
	}
	there, err := b.f.keys(ctx, b.id, b.tokenKeys())
	if err != nil {
		return err
	}
	b.f.box.list = nil // we are about to change it
	for _, s := range b.staged {
		if !s.waits() {
			continue
		}
		if ctx.Err() != nil {
			break // what is placed already is made durable
		}
		if wordsErr != nil && len(words.lacks(s.flags)) > 0 {
			s.placed.Err = wordsErr // the others do not need what could not be had
			continue
		}
		if err := b.placeOne(ctx, s, words, there); err != nil {
			s.placed.Err = localFault(mail.GradeMessage, err)
		}
	}
	b.f.ours()
	if err := b.syncDirs(); err != nil {
		return err
	}
	return ctx.Err()
}

// tokenKey is the key that a message is to have by its token.
func (b *batch) tokenKey(it mail.Item) string {
	if !validToken(it.Token) {
		return ""
	}
	date := it.Date
	if date.IsZero() {
		date = b.m.opt.Clock()
	}
	return tokenKey(date, it.Token)
}

// tokenKeys are the keys that the staged messages are to have.
func (b *batch) tokenKeys() []mail.Ref {
	keys := make([]mail.Ref, 0, len(b.staged))
	for _, s := range b.staged {
		if s.waits() && s.key != "" {
			keys = append(keys, mail.Ref(s.key))
		}
	}
	return keys
}

// placeOne gives one message its key.
func (b *batch) placeOne(ctx context.Context, s *staged, words *table, there *view) error {
	key := s.key
	if came := b.f.box.own.came.has(key); key != "" && (came || there.has(key)) {
		if !came || !b.gave(key) {
			same, err := b.already(ctx, s, key, words)
			if same || err != nil {
				return err
			}
		}
		key = ""
	}
	if key == "" {
		key = uniqueKey(b.m.opt.Clock())
	}
	if s.how != linkNever && !b.m.opt.FSync {
		if err := b.finish(s); err != nil {
			return err
		}
	}
	flagLetters, taken := words.encode(s.flags)
	for {
		to, name := b.f.new, key
		if flagLetters != "" {
			to, name = b.f.cur, key+withLetters("", flagLetters)
		}
		err := b.move(s, to, name)
		if errors.Is(err, unix.EEXIST) {
			key = uniqueKey(b.m.opt.Clock())
			continue
		}
		if err != nil {
			return err
		}
		s.placed.Ref, s.placed.Flags = mail.Ref(key), taken
		b.f.box.own.add(key)
		touch(&b.touched, to)
		return nil
	}
}

// move renames or links a message to where it is seen.
func (b *batch) move(s *staged, to *dir, name string) error {
	if s.how == linkNever {
		err := b.tmp.rename(s.name, to, name)
		if err == nil {
			s.name = ""
			b.m.durable.renamed++
		}
		return err
	}
	if err := s.file.link(s.how, to, name); err != nil {
		return err
	}
	_ = s.file.Close() // where a close can fail, there are no such files
	s.file = nil
	b.m.durable.linked++
	return nil
}

// gave tells whether a message of this very batch got the key.
func (b *batch) gave(key string) bool {
	return slices.ContainsFunc(b.staged, func(s *staged) bool { return s.placed.Ref == mail.Ref(key) })
}

// already finds that the very message lies there, placed by a run that
// died before it could say so: then it gets the flags, and nothing is stored twice.
func (b *batch) already(ctx context.Context, s *staged, key string, words *table) (bool, error) {
	e, ok, err := b.f.lookup(ctx, key)
	if err != nil || !ok {
		return false, err
	}
	file, st, err := b.f.part(e.inNew).read(e.name)
	if err != nil {
		return false, nil // whatever it is, it keeps its name
	}
	defer file.Close()
	id, err := b.m.identify(ctx, file, st)
	if err != nil || id.Body != s.placed.Ident.Body {
		return false, ctx.Err()
	}
	e, from, ok, err := b.f.reletter(ctx, e, words, s.flags, mail.FlagSet{})
	// The run that placed it may have died before that was durable.
	for _, d := range []*dir{b.f.cur, from, b.f.part(e.inNew)} {
		if d != nil {
			touch(&b.touched, d)
		}
	}
	if err != nil || !ok {
		return false, err
	}
	b.discard(s)
	_, taken := words.encode(s.flags)
	s.placed.Ref, s.placed.Flags, s.placed.Stat = mail.Ref(e.key()), taken, st.mark()
	return true, nil
}

// syncDirs makes the new names durable. If that fails, nobody knows what a
// crash would leave.
func (b *batch) syncDirs() error {
	var errs []error
	for _, d := range b.touched {
		errs = append(errs, b.m.syncDir(d))
	}
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	err = localFault(mail.GradeMailbox, fmt.Errorf("placing messages in %s: %w", b.f.box.name, err))
	for _, s := range b.staged {
		if s.placed.Ref != "" {
			s.placed.Ref, s.placed.Unknown, s.placed.Err = "", true, err
		}
	}
	return err
}

// Abort throws away what was not placed.
func (b *batch) Abort() {
	if !b.over {
		b.end()
	}
}

func (b *batch) end() {
	b.over = true
	for _, s := range b.staged {
		b.discard(s)
	}
	b.tmp.close()
	b.f.close()
}
