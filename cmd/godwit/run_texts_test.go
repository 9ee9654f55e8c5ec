package main

import (
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/maildir"
)

// TestDiskTexts: how big batches took to the disk is told, small ones without a word.
func TestDiskTexts(t *testing.T) {
	for _, tt := range []struct {
		d    maildir.Durability
		want string
	}{
		{maildir.Durability{Mode: "off", Renamed: fewPlaced}, ""},
		{maildir.Durability{Mode: "off", Linked: 984, Renamed: 16}, "984 messages were written without a name and linked (O_TMPFILE), 16 were renamed from tmp"},
		{
			maildir.Durability{Mode: "syncfs", BySyncFS: 2, SyncFS: 40 * time.Microsecond, Renamed: 2000},
			"mail was made durable by syncfs in the end: 2 batches by syncfs (lately 40µs a message), 0 by fdatasync (0s)\n" +
				"0 messages were written without a name and linked (O_TMPFILE), 2000 were renamed from tmp",
		},
	} {
		if got := strings.Join(diskTexts(tt.d), "\n"); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.d, got, tt.want)
		}
	}
}
