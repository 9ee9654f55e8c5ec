package maildir

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A way is how messages get to their places: it changes Options.
type way func(Options) Options

// byName gives every message a name in tmp first.
func byName(opt Options) Options {
	opt.keepsUnnamed = func(*dir) bool { return false }
	return opt
}

// byLink gives none of them one, if the file system has such files at all.
func byLink(opt Options) Options {
	opt.namedFirst, opt.keepsUnnamed = -1, func(*dir) bool { return true }
	return opt
}

// bothWays runs a test for both ways.
func bothWays(t *testing.T, test func(t *testing.T, by way)) {
	t.Run("named", func(t *testing.T) { test(t, byName) })
	t.Run("unnamed", func(t *testing.T) { test(t, byLink) })
}

// fewest is a big batch of which n messages more than namedFirst are there.
func fewest(n int) []plan.Incoming {
	in := make([]plan.Incoming, namedFirst+n)
	for i := range in {
		in[i] = incoming(i, letter(i), mail.Item{Token: mail.Token("x", mail.Inbox, "1", mail.Ref(fmt.Sprint(i))), Date: firstDay})
	}
	return in
}

// linkable tells whether files without a name can be linked where tests are.
func linkable(t *testing.T) bool {
	t.Helper()
	d, err := seam(nil).openPath(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	return d.linking(time.Now()) != linkNever
}

// TestUnnamed: a big batch goes by files without a name but for the first
// ones, which mail programs that listen for renames hear of.
func TestUnnamed(t *testing.T) {
	if !linkable(t) {
		t.Log("there are no files without a name here: messages are renamed")
	}
	for _, fsync := range []bool{true, false} {
		x := &tap{}
		fx := newFixture(t, Options{FSync: fsync, seam: x.seam, keepsUnnamed: func(*dir) bool { return true }})
		fx.make(mail.Inbox)
		fx.put(mail.Inbox, fewest(0)...)
		wantEqual(t, "a small batch", x.called("/INBOX/tmp")["create unnamed"], 0)
		fx.put(mail.Inbox, fewest(0)...) // the same: found to be there
		d := fx.Durability()
		wantEqual(t, "renamed", fmt.Sprint(d.Renamed, d.Linked), fmt.Sprint(namedFirst, 0))
		fx.reopen()
		fx.bind(mail.Inbox)
		fx.put(mail.Inbox, fewest(40)...)
		d = fx.Durability()
		want := fmt.Sprint(0, 40) // those of the first batch are there
		if !linkable(t) {
			want = fmt.Sprint(40, 0)
		}
		wantEqual(t, "placed", fmt.Sprint(d.Renamed, d.Linked), want)
		items, _ := fx.scan(mail.Inbox)
		wantEqual(t, "messages", len(items), namedFirst+40)
		wantEqual(t, "left in tmp", len(fx.files("INBOX", "tmp")), 0)
	}
}

// TestNoUnnamed: where files without a name are not to be had, or cannot be
// linked, messages are renamed, and it is not tried again for every batch.
func TestNoUnnamed(t *testing.T) {
	for call, errnos := range map[string][]unix.Errno{
		"create unnamed": {unix.EOPNOTSUPP, unix.EISDIR, unix.ENOENT, unix.EINVAL, unix.EMFILE},
		"link":           {unix.ENOENT, unix.EPERM, unix.EINVAL, unix.EXDEV, unix.ENOSYS},
	} {
		for _, errno := range errnos {
			tried := 0
			fx := newFixture(t, byLink(Options{FSync: true, seam: func(c, _ string, do func() error) error {
				if c == call {
					tried++
					return errno
				}
				return do()
			}}))
			fx.make(mail.Inbox, "Work")
			fx.put(mail.Inbox, fewest(3)...)
			once := tried
			fx.put("Work", fewest(3)...)
			what := fmt.Sprintf("%s gives %v", call, errno)
			wantEqual(t, what+": tried again", tried, once)
			d := fx.Durability()
			wantEqual(t, what+": placed", fmt.Sprint(d.Renamed, d.Linked), fmt.Sprint(2*(namedFirst+3), 0))
			wantEqual(t, what+": left in tmp", len(fx.files("INBOX", "tmp"))+len(fx.files("Work", "tmp")), 0)
		}
	}
}

// TestUnnamedByProc: where linkat does not take the descriptor itself, it
// takes what /proc shows of it.
func TestUnnamedByProc(t *testing.T) {
	d, err := seam(nil).openPath(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.linking(time.Now()) == linkNever {
		t.Log("there are no files without a name here")
		return
	}
	refused := 0
	d.seam = func(call, _ string, do func() error) error {
		if call == "link" && refused == 0 {
			refused++
			return unix.ENOENT
		}
		return do()
	}
	wantEqual(t, "then", d.linking(time.Now()), linkByProc)
	f, err := d.createUnnamed()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = io.WriteString(f, "hello")
	if err == nil {
		err = f.link(linkByProc, d, "a")
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(d.path + "/a")
	wantEqual(t, "read", fmt.Sprintf("%s, %v", text, err), "hello, <nil>")
	g, err := d.createUnnamed()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, how := range []linking{linkByHandle, linkByProc} {
		if err := g.link(how, d, "a"); err == nil || !strings.Contains(err.Error(), d.path+"/a") {
			t.Errorf("a second link gives %v", err)
		}
		if err := g.link(how, d, "../a"); err == nil {
			t.Error("what is no name of an entry was linked")
		}
	}
}

// TestDescriptors: files without a name leave descriptors to others. The kernel
// gives the lowest that is free, whoever has the others.
func TestDescriptors(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	less := limit
	less.Cur = min(limit.Cur, 400)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	const n = 600
	fx := newFixture(t, byLink(Options{FSync: true}))
	fx.make(mail.Inbox)
	fx.put(mail.Inbox, fewest(n)...)
	d := fx.Durability()
	wantEqual(t, "placed", d.Renamed+d.Linked, namedFirst+n)
	if d.Linked > 200 || linkable(t) && d.Linked < 50 {
		t.Errorf("%d of %d files without a name were open at once", d.Linked, namedFirst+n)
	}
	wantEqual(t, "left in tmp", len(fx.files("INBOX", "tmp")), 0)
}
