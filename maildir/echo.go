package maildir

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// An Echo remembers what godwit itself does to the entries of a tree, so that
// a Watch can tell it from what others do. It is shared by the Maildirs that
// work on the tree, one after the other, and by the Watch of it.
//
// An event is taken for an echo only if a call of our own explains it by name
// and kind, and each call explains one event. A call that fails explains none:
// if its event was heard all the same, somebody else's is told after all.
type Echo struct {
	mu   sync.Mutex
	due  map[sound]due
	made int
	tell func(path string) // nil while nobody listens
}

// A sound is an event that will be heard: an entry that came, or went.
type sound struct {
	path string
	came bool
}

type due struct {
	n     int
	until time.Time
}

// echoTime is how long after a call its event can come. One that comes later
// is taken for somebody else's, and costs a run.
const echoTime = 10 * time.Second

// tidyEvery is after how many calls what never was heard is thrown away.
const tidyEvery = 4096

// NewEcho makes an Echo.
func NewEcho() *Echo { return &Echo{due: map[sound]due{}} }

// seam passes calls on to next, and notes what they will sound like. The note
// is made first: the event may be heard before the call returns.
func (e *Echo) seam(next seam) seam {
	return func(call, path string, do func() error) error {
		sounds := soundsOf(call, path)
		e.expect(sounds, 1)
		err := do
		if next != nil {
			err = func() error { return next(call, path, do) }
		}
		if err := err(); err != nil {
			e.expect(sounds, -1)
			return err
		}
		return nil
	}
}

// listen says who is told of what was taken for an echo and was none; nil: no
// event is heard, so that none is to be expected.
func (e *Echo) listen(tell func(path string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tell = tell
	clear(e.due)
}

// soundsOf lists what a call of the seam will sound like.
func soundsOf(call, path string) []sound {
	switch call {
	case "rename":
		from, to, _ := strings.Cut(path, arrow)
		return audible(sound{from, false}, sound{to, true})
	case "link":
		_, to, _ := strings.Cut(path, arrow)
		return audible(sound{to, true})
	case "remove":
		return audible(sound{path, false})
	case "mkdir", "create":
		return audible(sound{path, true})
	}
	return nil
}

// audible leaves out what happens in tmp, which nobody listens to.
func audible(sounds ...sound) []sound {
	return slices.DeleteFunc(sounds, func(s sound) bool { return filepath.Base(filepath.Dir(s.path)) == "tmp" })
}

func (e *Echo) expect(sounds []sound, n int) {
	if len(sounds) == 0 {
		return
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tell == nil {
		return
	}
	for _, s := range sounds {
		d := e.due[s]
		d.n, d.until = d.n+n, now.Add(echoTime)
		if d.n < 0 {
			e.tell(s.path)
		}
		if d.n <= 0 {
			delete(e.due, s)
		} else {
			e.due[s] = d
		}
	}
	if e.made++; e.made%tidyEvery == 0 {
		for s, d := range e.due {
			if now.After(d.until) {
				delete(e.due, s)
			}
		}
	}
}

// heard tells whether an event is an echo.
func (e *Echo) heard(ev fsnotify.Event) bool {
	s := sound{ev.Name, ev.Has(fsnotify.Create)}
	e.mu.Lock()
	defer e.mu.Unlock()
	d, ok := e.due[s]
	if !ok || time.Now().After(d.until) {
		return false
	}
	if d.n--; d.n == 0 {
		delete(e.due, s)
	} else {
		e.due[s] = d
	}
	return true
}
