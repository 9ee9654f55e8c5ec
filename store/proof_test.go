package store

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestProof: what is written is read, and when all was well last is kept.
func TestProof(t *testing.T) {
	dir := t.TempDir()
	at := func(hour int) time.Time { return time.Date(2026, time.March, 1, hour, 0, 0, 0, time.UTC) }
	if p, err := ReadProof(dir); err != nil || p.OrNil() != nil {
		t.Fatalf("before the first: %+v, %v", p, err)
	}
	for _, step := range []struct {
		verify written[LastVerify]
		drill  written[LastDrill]
	}{
		{written[LastVerify]{LastVerify{Ended: at(1), Messages: 5, Read: 2, Unread: 3}, at(1)}, written[LastDrill]{LastDrill{Ended: at(1), Generations: []int64{4}, Messages: 5}, at(1)}},
		{written[LastVerify]{LastVerify{Ended: at(2), Damage: 1, Mended: 1}, at(1)}, written[LastDrill]{LastDrill{Ended: at(2), Differences: 1}, at(1)}},
		{written[LastVerify]{LastVerify{Ended: at(3), Errors: []string{"no"}}, at(1)}, written[LastDrill]{LastDrill{Ended: at(3), Errors: []string{"no"}}, at(1)}},
		{written[LastVerify]{LastVerify{Ended: at(4)}, at(4)}, written[LastDrill]{LastDrill{Ended: at(4)}, at(4)}},
	} {
		if err := errors.Join(WriteLastVerify(dir, step.verify.what), WriteLastDrill(dir, step.drill.what)); err != nil {
			t.Fatal(err)
		}
		step.verify.what.LastOK, step.drill.what.LastOK = step.verify.ok, step.drill.ok
		p, err := ReadProof(dir)
		if err != nil || !reflect.DeepEqual(*p.Verify, step.verify.what) || !reflect.DeepEqual(*p.Drill, step.drill.what) {
			t.Errorf("%+v and %+v, %v, want %+v", p.Verify, p.Drill, err, step)
		}
	}
	path := filepath.Join(dir, LastDrillFile)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := ReadProof(dir); err == nil || !strings.Contains(err.Error(), path) || p.Verify == nil {
		t.Errorf("a damaged file: %+v, %v", p, err)
	}
}

// A written thing, and when all was well last.
type written[T any] struct {
	what T
	ok   time.Time
}
