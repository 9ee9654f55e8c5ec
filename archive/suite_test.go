package archive

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var (
	_ engine.Writer = (*Recording)(nil)
	_ engine.Rooted = (*Recording)(nil)
	_ engine.Writer = (*View)(nil)
)

// TestSide keeps every promise that the engine builds on.
func TestSide(t *testing.T) {
	sidetest.Run(t, func(t *testing.T) sidetest.Harness {
		a := open(t, Options{NoSync: true})
		return sidetest.Harness{
			Open:   func(t *testing.T) engine.Writer { return begin(t, a) },
			Claims: sidetest.Claims{TellsSame: true, Tokens: true},
		}
	})
}

// open opens an archive, in a new directory unless one is named, and closes
// it in the end.
func open(t *testing.T, o Options) *Archive {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(inMemoryDir(t), "archive")
	}
	if o.Clock == nil {
		o.Clock = ticking()
	}
	a, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// inMemoryDir is a directory that lasts as long as the test, in memory where
// the system has such a place: hundreds of archives are made, and none of the
// tests asks the disk.
func inMemoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "godwit-archive-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// ticking is a clock that goes on by an hour with every look at it.
func ticking() func() time.Time {
	at := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(time.Hour)
		return at
	}
}

func begin(t *testing.T, a *Archive) *Recording {
	t.Helper()
	r, err := a.Begin(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
