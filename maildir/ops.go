package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// chunk is how many ops share one sync of the directories.
const chunk = 500

// Do carries out ops in their order, and reports them in chunks, each after
// the directories it touched were synced.
func (m *Maildir) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	for part := range slices.Chunk(ops, chunk) {
		w := &doer{m: m, folders: map[mail.BoxID]*folder{}, targets: map[*folder]*view{}}
		out := make([]plan.Outcome, len(part))
		for i, op := range part {
			out[i] = w.do(ctx, op)
		}
		if err := w.sync(); err != nil {
			for i := range out {
				if out[i].Result == plan.Done {
					out[i].Result, out[i].Err = plan.Uncertain, err
				}
			}
		}
		w.close()
		if err := done(out); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// A doer carries out one chunk of ops.
type doer struct {
	m       *Maildir
	folders map[mail.BoxID]*folder
	targets map[*folder]*view // what lay in a mailbox before anything was moved there
	gained  []*dir            // to be synced first
	lost    []*dir
}

func (w *doer) folder(ctx context.Context, id mail.BoxID) (*folder, error) {
	if f, ok := w.folders[id]; ok {
		return f, nil
	}
	b, err := w.m.box(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := w.m.open(b)
	if err != nil {
		return nil, err
	}
	w.folders[id] = f
	return f, nil
}

func (w *doer) close() {
	for _, f := range w.folders {
		f.close()
	}
}

// sync makes the chunk durable: what came before what went.
func (w *doer) sync() error {
	var errs []error
	for _, dirs := range [][]*dir{w.gained, w.lost} {
		for _, d := range dirs {
			if err := w.m.syncDir(d); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return localFault(mail.GradeMailbox, errors.Join(errs...))
}

func touch(dirs *[]*dir, d *dir) {
	if !slices.Contains(*dirs, d) {
		*dirs = append(*dirs, d)
	}
}

// touched says that the last listing is ours to look files up in, but no
// longer what is there.
func (f *folder) touched() {
	if f.box.list != nil {
		f.box.list.complete = false
	}
	f.box.own.any = true
}

func (w *doer) do(ctx context.Context, op plan.Op) plan.Outcome {
	out := plan.Outcome{Tag: op.Tag, At: op.From, Epoch: epoch}
	err := ctx.Err()
	var f *folder
	if err == nil {
		f, err = w.folder(ctx, op.From.Box)
	}
	var e entry
	var seen stat
	var ok bool
	if err == nil {
		e, seen, ok, err = f.expect(ctx, op)
	}
	switch {
	case err != nil:
	case !ok && op.Kind == plan.OpDelete:
		out.Result = plan.Done
	case !ok:
		out.Result = plan.Missing
	case op.Kind == plan.OpFlags:
		err = w.flags(ctx, f, e, seen, op, &out)
	case op.Kind == plan.OpMove:
		err = w.move(ctx, f, e, op, &out)
	case op.Kind == plan.OpDelete:
		err = w.delete(ctx, f, e, op, &out)
	default:
		err = fmt.Errorf("unknown kind of op: %d", op.Kind)
	}
	if err != nil {
		out.Result, out.Err = plan.Failed, localFault(mail.GradeMessage, err)
	}
	return out
}

// expect finds the message of an op. Where the mailbox was not listed yet it
// looks for the name that the file had when the op was decided, and lists only
// if it is not there. seen is what it saw of the file there, if it did.
func (f *folder) expect(ctx context.Context, op plan.Op) (e entry, seen stat, ok bool, err error) {
	key := string(op.From.Ref)
	if f.box.list != nil || !isKey(key) {
		e, ok, err = f.lookup(ctx, key)
		return e, seen, ok, err
	}
	words := f.box.table // should it have changed, the name is not found by it
	if words == nil {
		if words, err = f.keywords(); err != nil {
			return e, seen, false, err
		}
	}
	flagLetters, _ := words.encode(op.Has)
	likely := []entry{{name: key + withLetters("", flagLetters)}}
	if flagLetters == "" && f.new != nil {
		likely = []entry{{name: key, inNew: true}, likely[0]}
	}
	for _, e := range likely {
		if st, err := f.part(e.inNew).stat(e.name); err == nil && st.regular() {
			return e, st, true, nil
		}
	}
	e, ok, err = f.lookup(ctx, key)
	return e, seen, ok, err
}

// flags changes the letters of the file e, of which seen was seen, if anything.
func (w *doer) flags(ctx context.Context, f *folder, e entry, seen stat, op plan.Op, out *plan.Outcome) error {
	words, err := f.box.table, error(nil)
	if words == nil || len(op.Add.Keywords())+len(op.Remove.Keywords()) > 0 { // system flags have the same letters everywhere
		words, err = f.wordsFor(ctx, op.Add)
	}
	if err != nil {
		return err
	}
	e, from, ok, err := f.reletter(ctx, e, words, op.Add, op.Remove)
	if from != nil {
		touch(&w.gained, f.cur)
	}
	if from != nil && from != f.cur {
		touch(&w.lost, from)
	}
	if err != nil {
		return err
	}
	if !ok {
		out.Result = plan.Missing
		return nil
	}
	touch(&w.gained, f.part(e.inNew)) // also of a change that a run made which died
	_, out.Accepted = words.encode(op.Add)
	out.Result = plan.Done
	if out.Accepted.Empty() && op.Remove.Empty() && !op.Add.Empty() {
		out.Result = plan.Declined // no letter for any of them
	}
	if seen.ino == 0 {
		seen, err = f.part(e.inNew).stat(e.name)
	}
	if err == nil { // a renaming changes nothing of it; if it is another file by now, its mark will tell
		out.Stat = seen.mark()
	}
	return nil
}

// reletter gives a file other flags. It starts from the letters that the file
// has at the moment of the renaming, whatever mail programs do to them
// meanwhile. A file in new that gets a flag goes to cur, as the letters mean
// nothing in new. ok is false if the message is not there; from is the
// directory that lost its old name, nil if it has it still.
func (f *folder) reletter(ctx context.Context, e entry, words *table, add, remove mail.FlagSet) (now entry, from *dir, ok bool, err error) {
	_, ok, err = f.hold(ctx, e, func(e entry) error {
		old, _ := letters(e.info())
		next := words.apply(old, add, remove)
		if next == sortLetters(old) {
			now = e
			_, err := f.part(e.inNew).stat(e.name)
			return err
		}
		now = entry{name: e.key() + withLetters(e.info(), next)}
		if err := f.part(e.inNew).rename(e.name, f.cur, now.name); err != nil {
			return err
		}
		from = f.part(e.inNew)
		f.touched()
		return nil
	})
	return now, from, ok, err
}

// delete removes a file, if it is still the one that was decided about.
func (w *doer) delete(ctx context.Context, f *folder, e entry, op plan.Op, out *plan.Outcome) error {
	changed := false
	e, ok, err := f.hold(ctx, e, func(e entry) error {
		d := f.part(e.inNew)
		file, st, err := d.read(e.name)
		if err != nil {
			return err
		}
		defer file.Close()
		changed = op.Stat != "" && st.mark() != op.Stat
		if !op.Expect.Body.IsZero() && (changed || op.Stat == "") {
			// Touched, or written anew (a restored backup): its bytes tell.
			id, err := w.m.identify(ctx, file, st)
			if err != nil {
				return err
			}
			changed = id.Body != op.Expect.Body
		}
		if changed {
			return nil
		}
		return d.unlink(e.name)
	})
	if err != nil {
		return err
	}
	if changed {
		out.Result = plan.Missing
		return nil
	}
	if ok {
		touch(&w.lost, f.part(e.inNew))
		f.touched()
		f.box.own.lose()
	}
	out.Result = plan.Done
	return nil
}

// errNoLetter declines a move.
var errNoLetter = errors.New("the target mailbox has no letter left for a keyword of the message")

// move renames a file into another mailbox. It keeps its key if the mailbox
// has no such key yet, and its letters are put in the terms of that mailbox.
func (w *doer) move(ctx context.Context, f *folder, e entry, op plan.Op, out *plan.Outcome) error {
	to, err := w.target(ctx, op.To)
	if err != nil {
		return err
	}
	if to.box == f.box {
		out.Result = plan.Done
		return nil
	}
	from, err := f.keywords()
	if err != nil {
		return err
	}
	var now entry
	e, ok, err := f.hold(ctx, e, func(e entry) error {
		old, _ := letters(e.info())
		words, err := to.wordsFor(ctx, from.flags(old))
		if err != nil {
			return err
		}
		name, inNew, err := w.nameIn(to, e, from, words)
		if err != nil {
			return err
		}
		now = entry{name: name, inNew: inNew}
		return f.carry(ctx, e, to, now)
	})
	switch {
	case errors.Is(err, errNoLetter):
		out.Result, out.Err = plan.Declined, err
		return nil
	case err != nil:
		return err
	case !ok:
		out.Result = plan.Missing
		return nil
	}
	touch(&w.gained, to.part(now.inNew))
	touch(&w.lost, f.part(e.inNew))
	f.touched()
	to.touched()
	f.box.own.lose()
	to.box.own.add(now.key())
	out.Result, out.At = plan.Done, plan.Place{Box: op.To, Ref: mail.Ref(now.key())}
	if st, err := to.part(now.inNew).stat(now.name); err == nil {
		out.Stat = st.mark()
	}
	return nil
}

// target opens the mailbox to move to, and notes what lies there.
func (w *doer) target(ctx context.Context, id mail.BoxID) (*folder, error) {
	to, err := w.folder(ctx, id)
	if err != nil || w.targets[to] != nil {
		return to, err
	}
	tmp, err := to.fill() // a mailbox that gets mail has all its directories
	if err != nil {
		return nil, err
	}
	tmp.close()
	w.targets[to], err = to.keys(ctx, id, nil)
	return to, err
}

// nameIn is the file name that a message gets in another mailbox.
func (w *doer) nameIn(to *folder, e entry, from, words *table) (name string, inNew bool, err error) {
	key, info := splitName(e.name)
	if w.targets[to].has(key) || to.box.own.came.has(key) {
		key = uniqueKey(w.m.opt.Clock())
	}
	old, _ := letters(info)
	next, ok := translate(old, from, words)
	if !ok {
		return "", false, errNoLetter
	}
	if next != sortLetters(old) {
		return key + withLetters(info, next), false, nil
	}
	return key + info, e.inNew, nil
}

// translate puts letters of one table in the terms of another. Letters that
// mean nothing are kept, unless they would begin to mean something; ok is
// false if a keyword has no letter there.
func translate(old string, from, to *table) (next string, ok bool) {
	flags := from.flags(old)
	next, taken := to.encode(flags)
	if !taken.Equal(flags) {
		return "", false
	}
	for i := 0; i < len(old); i++ {
		c := old[i]
		if c >= 'a' && c <= 'z' {
			if from.words[c-'a'] == "" && to.words[c-'a'] == "" {
				next += string(c)
			}
		} else if !isSystemLetter(c) {
			next += old[i : i+1]
		}
	}
	return sortLetters(next), true
}

func isSystemLetter(c byte) bool {
	for _, s := range systemLetters {
		if s.letter == c {
			return true
		}
	}
	return false
}

// carry renames a file into another mailbox; onto another file system it is copied first.
func (f *folder) carry(ctx context.Context, e entry, to *folder, target entry) error {
	from, into := f.part(e.inNew), to.part(target.inNew)
	err := from.rename(e.name, into, target.name)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	src, st, err := from.read(e.name)
	if err != nil {
		return err
	}
	defer src.Close()
	tmp, err := to.fill()
	if err != nil {
		return err
	}
	defer tmp.close()
	name := uniqueKey(f.m.opt.Clock())
	if err := copyInto(ctx, tmp, name, src, st); err != nil {
		_ = tmp.unlink(name)
		return err
	}
	if err := tmp.rename(name, into, target.name); err != nil {
		_ = tmp.unlink(name)
		return err
	}
	// The copy must last before the original goes.
	if err := f.m.syncDir(into); err != nil {
		return err
	}
	return from.unlink(e.name)
}

// copyInto copies an open file, with its time.
func copyInto(ctx context.Context, tmp *dir, name string, src *handle, st stat) error {
	dst, err := tmp.create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, contextReader{ctx, src})
	if err == nil {
		err = tmp.setTime(name, st.mtime)
	}
	if err == nil {
		err = dst.sync()
	}
	return errors.Join(err, dst.Close())
}
