package main

import (
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

func TestSelection(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	item := func(size int64, day int, flags ...mail.Flag) mail.Item {
		return mail.Item{Ident: mail.Identity{Size: size}, Date: time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC), Flags: mail.NewFlagSet(flags...)}
	}
	for _, c := range []struct {
		s       selection
		in, out mail.Item
	}{
		{selection{minSize: "2kB"}, item(2000, 1), item(1999, 1)},
		{selection{maxSize: "2kB"}, item(2000, 1), item(2001, 1)},
		{selection{since: "2026-11-10"}, item(1, 10), item(1, 9)},
		{selection{since: "5 days ago"}, item(1, 16), item(1, 15)},
		{selection{before: "2026-11-10"}, item(1, 9), item(1, 10)},
		{selection{unseen: true}, item(1, 1, mail.Flagged), item(1, 1, mail.Seen)},
		{selection{flagged: true, unseen: true}, item(1, 1, mail.Flagged), item(1, 1)},
	} {
		wanted, err := c.s.wanted(now)
		if err != nil || !wanted(c.in) || wanted(c.out) {
			t.Errorf("%+v: %v", c.s, err)
		}
	}
	for _, bad := range []selection{{minSize: "much"}, {maxSize: "-1kB"}, {since: "#3"}, {before: "soonish"}} {
		if _, err := bad.wanted(now); err == nil {
			t.Errorf("%+v is understood", bad)
		}
	}
	if wanted, err := (selection{}).wanted(now); err != nil || wanted != nil {
		t.Error("nothing asked for is not everything")
	}
}
