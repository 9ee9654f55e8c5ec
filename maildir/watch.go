package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// pollEvery is how often directories are looked at whose changes the kernel
// does not tell.
const pollEvery = 5 * time.Second

// lookForRoot is how often it is looked whether the root is there now. The
// first run makes it, and people use it at once.
const lookForRoot = 250 * time.Millisecond

// Watch tells of what others change in the tree: it calls changed, for each
// change or for several, until ctx ends, with the path of what changed if it
// is known. up is called once everything is
// watched, with a note for people, which is "" if the kernel tells of changes;
// where it does not (the limits of inotify, network file systems, a root that
// is not there) Watch looks at the times of the directories every few seconds
// and the note says why. What Options.Echo explains is not told.
//
// Neither function may block. The error is never nil.
func Watch(ctx context.Context, opt Options, up func(note string), changed func(path string)) error {
	echo := opt.Echo
	if echo == nil {
		echo = NewEcho()
	}
	opt.Echo = nil // nothing is changed here
	m, err := Open(ctx, opt)
	if err != nil {
		return err
	}
	w := &watch{m: m, echo: echo, changed: changed, every: pollEvery}
	if opt.pollEvery > 0 {
		w.every = opt.pollEvery
	}
	for {
		why := w.listen(ctx, up)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(why, errAnew) {
			continue // up tells that anything may have come meanwhile
		}
		if err := w.poll(ctx, why, up); err != nil {
			return err
		}
	}
}

// A watch is one Watch under way.
type watch struct {
	m       *Maildir
	echo    *Echo
	changed func(path string)
	events  *fsnotify.Watcher
	paths   map[string]bool // directories that are watched; true: of messages
	every   time.Duration
}

var (
	// errAbsent says why nothing can be listened to.
	errAbsent = errors.New("the Maildir is not there")
	// errAnew asks to listen anew: the kernel's watches go with a directory
	// that is renamed, and tell of it by its old name, or some were not made
	// because events were lost.
	errAnew = errors.New("listen anew")
)

// listenAgain is after how long of polling the kernel is tried again.
const listenAgain = 15 * time.Minute

// listen tells of changes as the kernel does. Its error says why it cannot.
func (w *watch) listen(ctx context.Context, up func(note string)) error {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return limited(err)
	}
	defer events.Close()
	w.echo.listen(func(path string) { w.changed(path) })
	defer w.echo.listen(nil)
	w.events, w.paths = events, map[string]bool{}
	if err := w.addAll(ctx); err != nil {
		return err
	}
	up("")
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err, ok := <-events.Errors:
			if !ok {
				return errors.New("the kernel tells of no changes any more")
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				return errAnew // some were missed, and with them new directories
			}
			return limited(err)
		case ev, ok := <-events.Events:
			if !ok {
				return errors.New("the kernel tells of no changes any more")
			}
			if err := w.hear(ctx, ev); err != nil {
				return err
			}
		}
	}
}

// hear decides about one event.
func (w *watch) hear(ctx context.Context, ev fsnotify.Event) error {
	if ev.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) == 0 {
		return nil // bytes and attributes: neither adds, moves nor flags a message
	}
	parent, name := filepath.Split(ev.Name)
	ofMessages, watched := w.paths[strings.TrimSuffix(parent, "/")]
	_, isDir := w.paths[ev.Name]
	switch {
	case isDir && !ev.Has(fsnotify.Create):
		delete(w.paths, ev.Name) // its watch has gone with it
		switch {
		case ev.Name == w.m.opt.Root:
			return errAbsent
		case ev.Has(fsnotify.Rename):
			return errAnew
		}
		if !w.echo.heard(ev) {
			w.changed(ev.Name)
		}
		return nil
	case watched && ofMessages:
		if !strings.HasPrefix(name, ".") && !w.echo.heard(ev) {
			w.changed(ev.Name)
		}
		return nil
	case !ev.Has(fsnotify.Create) || !isDirectory(ev.Name):
		return nil // what others keep beside mailboxes
	}
	return w.hearDirectory(ctx, ev)
}

// hearDirectory watches a directory that came, with what it holds already.
func (w *watch) hearDirectory(ctx context.Context, ev fsnotify.Event) error {
	own := w.echo.heard(ev)
	level, ok := w.levelOf(ev.Name)
	if !ok {
		return nil
	}
	added, err := w.add(ctx, ev.Name, level)
	if added || !own {
		w.changed(ev.Name) // something may have come before it was watched
	}
	return err
}

// levelOf is how many levels a directory lies below the root. It is false for
// one that neither is, nor holds, a mailbox or its messages.
func (w *watch) levelOf(path string) (level int, ok bool) {
	below, level := "", 0
	if rest, found := strings.CutPrefix(path, w.m.opt.Root+"/"); found {
		below = rest
	} else if rest, found := strings.CutPrefix(path, w.m.opt.Inbox+"/"); found && w.m.opt.Inbox != "" {
		below, level = rest, 1
	} else {
		return 0, false
	}
	for _, name := range strings.Split(below, "/") {
		if !w.takesPart(name, level) {
			return 0, false
		}
		level++
	}
	return level, true
}

func isDirectory(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.IsDir()
}

// addAll watches the whole tree.
func (w *watch) addAll(ctx context.Context) error {
	root, err := w.m.opt.seam.openPath(w.m.opt.Root)
	if err != nil {
		if gone(err) {
			err = errAbsent
		}
		return err
	}
	local := root.local()
	root.close()
	if !local {
		return errors.New("its file system does not tell of changes that are made elsewhere")
	}
	if w.m.opt.Inbox != "" {
		if _, err = w.add(ctx, w.m.opt.Inbox, 1); err != nil {
			return err
		}
	}
	_, err = w.add(ctx, w.m.opt.Root, 0)
	return err
}

// add watches a directory and those below it: cur and new, which hold the
// messages of a mailbox, and those in which mailboxes may come and go. A
// directory is watched before it is read, so that nothing comes unseen.
func (w *watch) add(ctx context.Context, path string, level int) (added bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	base := filepath.Base(path)
	ofMessages := level > 0 && (base == "cur" || base == "new")
	if _, ok := w.paths[path]; !ok {
		err := w.events.Add(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			return false, nil // gone meanwhile
		case err != nil:
			return false, limited(err)
		}
		w.paths[path], added = ofMessages, true
	}
	if ofMessages {
		return added, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return added, nil // its own trouble: a run tells of it
	}
	for _, e := range entries {
		if !e.IsDir() || !w.takesPart(e.Name(), level) {
			continue
		}
		more, err := w.add(ctx, path+"/"+e.Name(), level+1)
		added = added || more
		if err != nil {
			return added, err
		}
	}
	return added, nil
}

// takesPart tells whether a directory that lies so many levels below the root
// may be, or hold, a mailbox or its messages.
func (w *watch) takesPart(name string, level int) bool {
	switch {
	case name == "tmp":
		return false
	case name == "cur" || name == "new":
		return true
	case w.m.opt.Layout == PlusPlus:
		return level == 0 && strings.HasPrefix(name, ".")
	}
	return !strings.HasPrefix(name, ".")
}

// limited explains an error of inotify.
func limited(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("the kernel watches no more directories for this user: raise fs.inotify.max_user_watches")
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("the kernel has no more watchers for this user: raise fs.inotify.max_user_instances")
	}
	return err
}

// poll tells of changes by looking at the times of directories. why says what
// made it necessary; it returns nil when that may be over.
func (w *watch) poll(ctx context.Context, why error, up func(note string)) error {
	was, err := w.times(ctx)
	if err != nil {
		return err
	}
	every := w.every
	if errors.Is(why, errAbsent) {
		every = min(every, lookForRoot)
	}
	up(fmt.Sprintf("looks every %v: %v", every, why))
	tick := time.NewTicker(every)
	defer tick.Stop()
	over := time.After(listenAgain)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-over:
			return nil
		case <-tick.C:
		}
		if errors.Is(why, errAbsent) {
			if isDirectory(w.m.opt.Root) {
				w.changed("") // it came before it was listened to
				return nil
			}
			continue
		}
		now, err := w.times(ctx)
		if err != nil {
			return err
		}
		if now != was {
			was = now
			w.changed("")
		}
	}
}

// times sums up what the directories of all mailboxes look like. A time that
// is not settled yet looks different once it is: in between, a change may have
// left it as it was.
func (w *watch) times(ctx context.Context) (string, error) {
	found, err := w.m.walk(ctx, nil)
	if err != nil {
		return "", err
	}
	before := w.m.opt.Clock().Add(-settled)
	var sum strings.Builder
	for _, name := range slices.Sorted(maps.Keys(found.found)) {
		k := found.found[name].marks
		fmt.Fprintf(&sum, "%s %v %v %v\n", name, k.cur, k.new, k.cur.before(before) && k.new.before(before))
	}
	return sum.String(), nil
}
