package maildir

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// TestDurabilityChoice: syncfs is taken while it is cheap, given up when it is
// dear, and tried again when that is long ago.
func TestDurabilityChoice(t *testing.T) {
	const files = 1000
	var d durability
	wantEqual(t, "at first", d.preferWhole(), true)
	d.tookWhole(files*30*time.Microsecond, files)
	wantEqual(t, "cheap", d.preferWhole(), true)
	d.tookWhole(files*9*time.Millisecond, files)
	wantEqual(t, "dear: the other way is tried", d.preferWhole(), false)
	d.tookSingle(files*time.Millisecond, files)
	wantEqual(t, "the other way is cheaper", d.preferWhole(), false)
	batches := 0
	for !d.preferWhole() && batches < 100 {
		d.tookSingle(files*time.Millisecond, files)
		batches++
	}
	if batches < 5 || batches > 20 {
		t.Errorf("syncfs is tried again after %d batches", batches)
	}
	d.tookWhole(files*9*time.Millisecond, files)
	wantEqual(t, "still dear", d.preferWhole(), false)
}

// TestDurabilityTold: the way that was taken is told, with its cost.
func TestDurabilityTold(t *testing.T) {
	for _, tt := range []struct {
		what         string
		fsync        bool
		fail         error
		mode         string
		whole, files int // batches
	}{
		{what: "off", mode: "off"},
		{what: "syncfs", fsync: true, mode: "syncfs", whole: 2},
		{what: "no syncfs", fsync: true, fail: unix.ENOSYS, mode: "fdatasync", files: 2},
		{what: "syncfs fails", fsync: true, fail: unix.EIO, mode: "syncfs", files: 2},
	} {
		t.Run(tt.what, func(t *testing.T) {
			tried := 0
			fx := newFixture(t, Options{FSync: tt.fsync, seam: func(call, _ string, do func() error) error {
				if call == "sync the file system of" {
					if tried++; tt.fail != nil {
						return tt.fail
					}
				}
				return do()
			}})
			fx.make(mail.Inbox)
			for k := range 2 {
				var in []plan.Incoming
				for i := range maxOpen + 1 {
					in = append(in, incoming(i, letter(k*1000+i), mail.Item{}))
				}
				fx.put(mail.Inbox, in...)
			}
			d := fx.Durability()
			if tt.whole > 0 { // a disk that is busy may make it dear
				wantEqual(t, "batches", d.BySyncFS+d.ByFDataSync, 2)
				wantEqual(t, "tried and told", d.BySyncFS > 0 && d.SyncFS > 0, true)
				return
			}
			wantEqual(t, "mode", d.Mode, tt.mode)
			wantEqual(t, "batches", fmt.Sprint(d.BySyncFS, d.ByFDataSync), fmt.Sprint(tt.whole, tt.files))
			wantEqual(t, "costs known", fmt.Sprint(d.SyncFS > 0, d.FDataSync > 0), fmt.Sprint(tt.whole > 0, tt.files > 0))
			wantEqual(t, "asked again", tried > 1, tt.fsync && tt.fail != unix.ENOSYS)
		})
	}
}
