package archive

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A tap is a seam that notes calls, and lets one of them fail or the process
// die there.
type tap struct {
	mu    sync.Mutex
	calls []string
	at    int // the number of that call from 1, 0 for none
	mode  string
	dead  bool
}

// With 3, each call is disturbed in one of the three ways.
var every = flag.Int("every", 3, "disturb each n-th of all calls in each way")

// The ways in which a call fails. To die after a call is to die before the next.
var tapModes = []string{"fails before", "fails after", "dies before"}

// errDied is what every call of a process that died gives.
var errDied = errors.New("the process has died")

func (x *tap) seam(call, path string, do func() error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead {
		return errDied
	}
	x.calls = append(x.calls, call+" "+path)
	if strings.HasPrefix(call, "sync") {
		do = func() error { return nil } // no test can tell
	}
	if len(x.calls) != x.at {
		return do()
	}
	switch x.mode {
	case "fails before":
		return syscall.EIO
	case "fails after":
		return errors.Join(do(), syscall.EIO)
	}
	x.dead = true
	return errDied
}

// A scene is what a run should bring about: mailboxes with their messages.
type scene map[mail.MailboxName][]modelMessage

// large is longer than what is held in memory.
var large = "Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef", 100_000)

var scenes = []scene{
	{"INBOX": {{life: 1, body: bodyOf(1)}, {life: 2, body: bodyOf(2), flags: `\Seen`}, {life: 3, body: large}}, "Old": {{life: 4, body: bodyOf(1)}}},
	{"INBOX": {{life: 2, body: bodyOf(2), flags: `\Flagged`}, {life: 3, body: large}, {life: 5, body: bodyOf(5)}}, "New": {{life: 1, body: bodyOf(1)}}},
	{"INBOX": {{life: 3, body: large}, {life: 6, body: bodyOf(6)}, {life: 7, body: bodyOf(6)}}, "New": {{life: 1, body: bodyOf(1)}}, "More": {}},
}

// A player brings scenes about as the engine does: it looks at what is there,
// and does what lacks. Messages know their life by their date.
type player struct {
	a     *Archive
	rec   *Recording
	boxes map[mail.MailboxName]mail.BoxID
}

var errIncomplete = errors.New("not everything could be done")

func (p *player) play(ctx context.Context, s scene) (g *Generation, err error) {
	if p.rec, err = p.a.Begin(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, scene) error{p.look, p.create, p.change, p.look, p.put, p.remove} {
		if err := step(ctx, s); err != nil {
			return nil, err
		}
	}
	return p.rec.Finish(ctx, Outcome{Complete: true})
}

func (p *player) look(ctx context.Context, _ scene) error {
	boxes, err := p.rec.Survey(ctx, nil)
	p.boxes = map[mail.MailboxName]mail.BoxID{}
	for i, b := range boxes {
		p.boxes[b.Name] = mail.BoxID(i + 1)
	}
	p.bind()
	return err
}

func (p *player) bind() {
	bound := map[mail.BoxID]mail.MailboxName{}
	for name, id := range p.boxes {
		bound[id] = name
	}
	p.rec.Bind(bound)
}

// lying gives what is in a mailbox, by its life.
func (p *player) lying(ctx context.Context, id mail.BoxID) (map[int]plan.Seen, error) {
	out := map[int]plan.Seen{}
	_, err := p.rec.Scan(ctx, id, plan.Since{}, func(s plan.Seen) error {
		life := int(s.Item.Date.Unix())
		if _, twice := out[life]; twice {
			return fmt.Errorf("the message %d is there twice", life)
		}
		out[life] = s
		return nil
	})
	return out, err
}

func (p *player) create(ctx context.Context, s scene) error {
	for name := range s {
		if p.boxes[name] > 0 {
			continue
		}
		if _, err := p.rec.Create(ctx, name); err != nil {
			return err
		}
		p.boxes[name] = mail.BoxID(len(p.boxes) + 100)
	}
	p.bind()
	return nil
}

// change moves, flags and deletes.
func (p *player) change(ctx context.Context, s scene) error {
	want := map[int]mail.BoxID{}
	flags := map[int]mail.FlagSet{}
	for name, list := range s {
		for _, m := range list {
			want[m.life], flags[m.life] = p.boxes[name], mail.ParseFlagSet(m.flags)
		}
	}
	var ops []plan.Op
	for _, id := range p.boxes {
		there, err := p.lying(ctx, id)
		if err != nil {
			return err
		}
		for life, seen := range there {
			op := plan.Op{From: plan.Place{Box: id, Ref: seen.Ref}, To: want[life], Kind: plan.OpMove}
			switch {
			case op.To == 0:
				op.Kind = plan.OpDelete
			case op.To == id && seen.Item.Flags.Equal(flags[life]):
				continue
			case op.To == id:
				op.Kind, op.Add, op.Remove = plan.OpFlags, flags[life].Minus(seen.Item.Flags), seen.Item.Flags.Minus(flags[life])
			}
			ops = append(ops, op)
		}
	}
	return p.rec.Do(ctx, ops, func(list []plan.Outcome) error {
		for _, o := range list {
			if o.Result != plan.Done {
				return errors.Join(errIncomplete, o.Err)
			}
		}
		return nil
	})
}

func (p *player) put(ctx context.Context, s scene) error {
	for name, list := range s {
		there, err := p.lying(ctx, p.boxes[name])
		if err != nil {
			return err
		}
		batch, err := p.rec.Put(ctx, p.boxes[name])
		if err != nil {
			return err
		}
		defer batch.Abort()
		for i, m := range list {
			if _, known := there[m.life]; known {
				continue
			}
			m.date = int64(m.life)
			if err := batch.Add(ctx, m.incoming(i)); err != nil {
				return err
			}
		}
		placed, err := batch.Commit(ctx)
		for _, pl := range placed {
			err = errors.Join(err, pl.Err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *player) remove(ctx context.Context, s scene) error {
	for name := range p.boxes {
		if _, keep := s[name]; !keep {
			if err := p.rec.Remove(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// show is a scene as text, without Refs.
func (s scene) show() string {
	var lines []string
	for name, list := range s {
		lines = append(lines, fmt.Sprintf("%s\n", name))
		for _, m := range list {
			lines = append(lines, fmt.Sprintf("%s %q %d %s\n", name, mail.ParseFlagSet(m.flags), m.life, brief([]byte(m.body))))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// withoutRefs is what showSide gives, with the Refs taken away.
func withoutRefs(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if f := strings.SplitN(line, " ", 3); len(f) == 3 {
			line = f[0] + " " + f[2]
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// TestInterruptedAtEveryStep lets every call that changes something fail, and
// the process die before it and after it. Then all that was complete is as it
// was, nothing that the catalogue names is missing, and the run is made up
// for, with nothing twice and nothing left over.
func TestInterruptedAtEveryStep(t *testing.T) {
	count := len(playAll(t, &tap{}).calls)
	if count < 60 {
		t.Fatalf("%d calls only: the seam is not everywhere", count)
	}
	for i, mode := range tapModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			for at := 1 + i%*every; at <= count; at += *every {
				x := playAll(t, &tap{at: at, mode: mode})
				if t.Failed() {
					t.Fatalf("call %d, %s, %s", at, x.calls[min(at, len(x.calls))-1], mode)
				}
			}
		})
	}
}

// playAll plays the scenes with a tap, and where that ended goes on without it.
func playAll(t *testing.T, x *tap) *tap {
	t.Helper()
	ctx := t.Context()
	opt := Options{Dir: filepath.Join(inMemoryDir(t), "archive"), Clock: ticking(), seam: x.seam}
	x.attempt(t, opt)
	opt.seam = nil
	a, err := Open(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	sound(t, a)
	done := complete(t, a)
	for _, s := range scenes[max(0, done-1):] {
		p := player{a: a}
		if _, err := p.play(ctx, s); err != nil {
			t.Errorf("going on: %v", err)
			return x
		}
	}
	if done := complete(t, a); done != len(scenes) {
		t.Errorf("%d of %d scenes are complete", done, len(scenes))
	}
	sound(t, a)
	if left, err := os.ReadDir(filepath.Join(opt.Dir, tmpDir)); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	return x
}

// attempt plays until something fails.
func (x *tap) attempt(t *testing.T, opt Options) {
	a, err := Open(t.Context(), opt)
	if err != nil {
		return
	}
	defer a.Close()
	for _, s := range scenes {
		p := player{a: a}
		if _, err := p.play(t.Context(), s); err != nil {
			return
		}
	}
}

// complete checks that the complete generations show the scenes in their
// order, and counts the scenes.
func complete(t *testing.T, a *Archive) (done int) {
	t.Helper()
	list, err := a.Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list {
		if !g.Complete {
			continue
		}
		switch got := withoutRefs(showSide(t, a.View(g.Number))); {
		case done < len(scenes) && got == scenes[done].show():
			done++
		case done > 0 && got == scenes[done-1].show():
		default:
			t.Errorf("generation %d is complete, and is no scene:\n%.500s", g.Number, got)
		}
	}
	return done
}

// sound checks what must always hold of an archive.
func sound(t *testing.T, a *Archive) {
	t.Helper()
	showSide(t, a.View(now)) // reads all bytes
	stored := map[string]bool{}
	err := a.Messages(t.Context(), "", func(m Message) error {
		r, err := a.OpenMessage(t.Context(), m.Digest)
		if err != nil {
			return err
		}
		defer r.Close()
		stored[a.files.message(m.Digest)] = true
		_, err = io.Copy(io.Discard, r)
		return err
	})
	if err != nil {
		t.Errorf("a message of the catalogue: %v", err)
	}
	if _, err := a.Begin(t.Context()); err != nil { // ends what was interrupted
		t.Fatal(err)
	}
	chained(t, a)
}

// chained checks that every generation has its manifest, and each names the
// one before it.
func chained(t *testing.T, a *Archive) {
	t.Helper()
	list, err := a.Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	previous := ""
	for _, g := range list {
		var head, end record
		digest, err := a.files.eachRecord(a.files.manifest(g.Number), func(r *record) error {
			if r.Type == recordGeneration {
				head = *r
			}
			end = *r
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if head.N != g.Number || head.Previous != previous || end.Type != recordEnd || *end.Complete != g.Complete || !end.Ended.Equal(g.Ended) {
			t.Errorf("the manifest of %+v is from %+v to %+v", g, head, end)
		}
		previous = digest.String()
	}
}

// TestEverythingIsDurableInItsOrder: a file has its name only when its bytes
// are durable, and the catalogue names it only when its name is; a manifest
// is durable before its generation is marked as ended.
func TestEverythingIsDurableInItsOrder(t *testing.T) {
	x := playAll(t, &tap{})
	written, named := map[string]bool{}, map[string]bool{} // tmp files not synced; directories with new names
	renames, transactions := 0, 0
	for _, c := range x.calls {
		call, path, _ := strings.Cut(c, " /")
		path = "/" + path
		switch {
		case call == "create" || call == "write":
			written[path] = true
		case call == "sync":
			delete(written, path)
		case call == "sync directory":
			delete(named, path)
		case strings.HasPrefix(call, "remove"):
			delete(written, path)
		case call == "rename":
			renames++
			for tmp := range written {
				if strings.HasSuffix(tmp, ".zst") {
					t.Errorf("%s while %s is not durable", c, tmp)
				}
			}
			named[filepath.Dir(path)] = true
		case strings.HasPrefix(call, "transact"):
			transactions++
			for dir := range named {
				t.Errorf("a transaction while the names in %s are not durable", dir)
			}
		}
	}
	if renames < 8 || transactions < 8 {
		t.Errorf("%d renames, %d transactions", renames, transactions)
	}
}

// TestManyFilesAreSyncedTogether: a big batch costs two syncs of the file
// system, not one or two a message.
func TestManyFilesAreSyncedTogether(t *testing.T) {
	x := &tap{}
	a := open(t, Options{seam: x.seam})
	p := player{a: a}
	big := scene{"INBOX": nil}
	for i := range 500 {
		big["INBOX"] = append(big["INBOX"], modelMessage{life: i + 1, body: bodyOf(i)})
	}
	if _, err := p.play(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	whole, single, order := 0, 0, ""
	for _, c := range x.calls {
		switch call, path, _ := strings.Cut(c, " /"); {
		case strings.HasPrefix(c, "sync the file system of"):
			whole++
			order += "S"
		case strings.HasPrefix(call, "sync"):
			single++
		case call == "rename" && strings.Contains(path, messagesDir) && !strings.HasSuffix(order, "R"):
			order += "R"
		case strings.HasPrefix(c, "transact") && whole > 0 && !strings.HasSuffix(order, "T"):
			order += "T"
		}
	}
	if canSyncFS && order != "SRST" {
		t.Errorf("synced, renamed, synced and recorded in the order %s", order)
	}
	if canSyncFS && (whole != 2 || single > 20) {
		t.Errorf("%d syncs of the file system, %d of files and directories", whole, single)
	}
}
