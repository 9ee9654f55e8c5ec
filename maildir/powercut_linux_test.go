package maildir

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A disk is a file system in a file. A copy of the file is what the disk
// holds when the power fails at that moment: what was not written yet is not
// in it.
type disk struct {
	t       *testing.T
	options []string // of mke2fs
	image   string
	dir     string
}

// noJournal is an option of mke2fs: what a power cut leaves has to be checked
// before it can be used.
const noJournal = "^has_journal"

// newDisk makes and mounts an ext4, if the test may.
func newDisk(t *testing.T, options ...string) (*disk, bool) {
	t.Helper()
	d := &disk{t: t, options: options, image: filepath.Join(t.TempDir(), "image")}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 48<<20); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-q", "-F", "-t", "ext4"}, options...)
	if out, err := exec.Command("mke2fs", append(args, d.image)...).CombinedOutput(); err != nil {
		t.Logf("no ext4 can be made here: %v, %s", err, out)
		return nil, false
	}
	return d, d.mount()
}

// mount mounts the image, replaying its journal.
func (d *disk) mount() bool {
	d.t.Helper()
	d.dir = d.t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		d.t.Logf("not permitted to mount a file system: %v, %s", err, out)
		return false
	}
	d.t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			d.t.Error(err)
		}
	})
	return true
}

// afterPowerCut mounts what the disk holds at this moment.
func (d *disk) afterPowerCut() *disk {
	d.t.Helper()
	c := &disk{t: d.t, image: filepath.Join(d.t.TempDir(), "image")}
	in, err := os.Open(d.image)
	if err != nil {
		d.t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(c.image)
	if err != nil {
		d.t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		d.t.Fatal(err)
	}
	var check []byte
	if slices.Contains(d.options, noJournal) { // else it is replayed by the mount
		check, err = exec.Command("e2fsck", "-y", c.image).CombinedOutput()
	}
	if !c.mount() {
		d.t.Fatalf("what is left of the disk cannot be used: %v, %s", err, check)
	}
	return c
}

// TestPowerCut: what Commit reported is there and whole when the power fails
// after it, while the next batch is being written; nothing is half there.
func TestPowerCut(t *testing.T) {
	for _, tt := range []struct {
		what    string
		options []string
		by      way
		link    bool
	}{
		{what: "named", by: byName},
		{what: "as it comes", by: asItComes, link: true},
		{what: "as it comes, without a journal", options: []string{"-O", noJournal}, by: asItComes},
	} {
		for _, size := range []int{maxOpen / 4, maxOpen * 2} { // synced one by one, and together
			t.Run(fmt.Sprintf("%s, %d", tt.what, size), func(t *testing.T) { powerCut(t, tt.options, tt.by, tt.link, size) })
		}
	}
}

// asItComes gives no message a name first where files without one last.
func asItComes(opt Options) Options {
	opt.namedFirst = -1
	return opt
}

func powerCut(t *testing.T, options []string, by way, link bool, size int) {
	d, ok := newDisk(t, options...)
	if !ok {
		return
	}
	fx := newFixture(t, by(Options{Root: d.dir + "/mail", FSync: true}))
	fx.make(mail.Inbox)
	body := func(i int) string { return letter(i) + strings.Repeat(fmt.Sprintf("line of letter %d\r\n", i), 300) }
	fill := func(from int) Batch {
		b, err := fx.Put(t.Context(), fx.ids[mail.Inbox])
		if err != nil {
			t.Fatal(err)
		}
		for i := from; i < from+size; i++ {
			item := mail.Item{Token: mail.Token("x", mail.Inbox, "1", mail.Ref(fmt.Sprint(i))), Date: firstDay, Flags: mail.NewFlagSet(mail.Seen)}
			if err := b.Add(t.Context(), incoming(i, body(i), item)); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	placed := map[mail.Ref]plan.Placed{}
	next := fill(0)
	for k := range 2 {
		b := next
		next = fill((k + 1) * size)
		list, err := b.Commit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			placed[p.Ref] = p
		}
		checkAfterCut(t, d.afterPowerCut(), placed, fmt.Sprintf("after batch %d", k))
	}
	next.Abort()
	wantEqual(t, "placed by a link", fx.Durability().Linked > 0, link)
}

// checkAfterCut looks at what a power cut left.
func checkAfterCut(t *testing.T, d *disk, placed map[mail.Ref]plan.Placed, when string) {
	t.Helper()
	after := newFixture(t, Options{Root: d.dir + "/mail"})
	after.bind(mail.Inbox)
	items, _ := after.scan(mail.Inbox)
	refs := []mail.Ref{}
	for ref, p := range placed {
		if item, ok := items[ref]; !ok || item.Stat != p.Stat {
			t.Errorf("%s: %s is lost or changed: %v, %s", when, ref, ok, item.Stat)
		}
		refs = append(refs, ref)
	}
	err := after.Identify(t.Context(), after.ids[mail.Inbox], refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
		if err != nil || id.Body != placed[ref].Ident.Body {
			t.Errorf("%s: %s is not whole: %v", when, ref, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
