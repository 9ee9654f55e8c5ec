package imap

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// TestSightingsAreSmall measures what the table of a large mailbox takes.
func TestSightingsAreSmall(t *testing.T) {
	const n = 100_000
	flags := make([]string, n)
	for i := range flags { // each a string of its own, as they come
		flags[i] = fmt.Sprintf(`(\Seen $Keyword%d)`, i%50)
	}
	for name, reserved := range map[string]int{"counted": n, "not counted": 0} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var rows sightings
		rows.reserve(reserved)
		for i := range n {
			date := time.Date(2020, 2, 1, 10, 0, i, 0, time.FixedZone("", 3600*(i%24-12)))
			rows.add(wire.Told{UID: uint32(i + 1), Have: haveEverything, Flags: flags[i], Date: date, Size: int64(i)})
		}
		rows.sort()
		runtime.GC()
		runtime.ReadMemStats(&after)
		kept, moved := (after.HeapAlloc-before.HeapAlloc)/n, (after.TotalAlloc-before.TotalAlloc)/n
		t.Logf("%s: %d bytes a message are kept, %d were allocated", name, kept, moved)
		if kept > 100 || name == "counted" && moved > 180 {
			t.Errorf("%s: %d bytes a message are kept, %d were allocated", name, kept, moved)
		}
		runtime.KeepAlive(&rows)
	}
	runtime.KeepAlive(flags)
}

func TestSightingsMerge(t *testing.T) {
	var rows sightings
	zone := time.FixedZone("", -9000)
	date := time.Date(2020, 2, 1, 10, 0, 0, 0, zone)
	rows.add(wire.Told{UID: 7, Have: wire.HaveFlags, Flags: `(\Seen)`})
	rows.add(wire.Told{UID: 3, Have: haveEverything, Flags: "()", Date: wire.BadDate, Size: 5, GlobalID: "x"})
	rows.add(wire.Told{UID: 7, Have: wire.HaveDate | wire.HaveSize, Date: date, Size: 9})
	rows.add(wire.Told{UID: 7, Have: wire.HaveFlags, Flags: `(\Flagged Foo)`})
	rows.add(wire.Told{UID: 5, Have: wire.HaveSize, Size: 1})
	rows.sort()
	if len(rows.list) != 3 || rows.has(4) || !rows.has(5) || len(rows.from(4)) != 2 {
		t.Fatalf("%+v", rows.list)
	}
	if got := rows.lacking(6); len(got) != 1 || got[0] != 5 {
		t.Errorf("lacking %v", got)
	}
	if it := rows.item(&rows.list[0]); !it.Date.IsZero() || it.Ident.Size != 5 || it.Ident.GlobalID != "x" {
		t.Errorf("%+v", it)
	}
	it := rows.item(&rows.list[2])
	if !it.Date.Equal(date) || it.Date.Format(time.RFC3339) != date.Format(time.RFC3339) || it.Ident.Size != 9 ||
		!it.Flags.Equal(mail.ParseFlagSet(`\Flagged Foo`)) {
		t.Errorf("%+v", it)
	}
}

// Sorted by what is known of them, strangers are found as if each were looked at.
func TestStrangersAreFound(t *testing.T) {
	digest := func(b byte) (d mail.Digest) {
		d[0] = b
		return d
	}
	rapid.Check(t, func(t *rapid.T) {
		var rows table
		for range rapid.IntRange(0, 4).Draw(t, "rows") {
			rows.rows = append(rows.rows, row{
				have: rapid.SampledFrom([]uint8{0, haveSize, haveHeader, haveHeader | haveSize}).Draw(t, "have"),
				gid:  rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "gid"),
				size: rapid.Int64Range(1, 3).Draw(t, "size"), ident: mail.Identity{Light: digest(rapid.ByteRange(1, 3).Draw(t, "light"))},
			})
		}
		id := mail.Identity{
			GlobalID: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "GlobalID"),
			Size:     rapid.Int64Range(0, 3).Draw(t, "Size"), Light: digest(rapid.ByteRange(0, 3).Draw(t, "Light")),
		}
		want := false
		for i := range rows.rows {
			r := &rows.rows[i]
			switch {
			case id.GlobalID != "" && r.gid != "":
				want = want || id.GlobalID == r.gid
			case r.have&haveHeader != 0 && !id.Light.IsZero():
				want = want || id.Light == r.ident.Light
			default:
				want = want || id.Size <= 0 || r.have&haveSize == 0 || r.identity().Size == id.Size
			}
		}
		s := newStrangers(&rows)
		if got := s.mayHold(&id); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	})
}
