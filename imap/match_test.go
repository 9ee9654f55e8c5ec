package imap

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
)

// TestMatchingLooksAtAllThatMatters compares what matching finds by its maps
// with what a look at each message for each want finds.
func TestMatchingLooksAtAllThatMatters(t *testing.T) {
	digest := rapid.Custom(func(t *rapid.T) mail.Digest {
		switch n := rapid.IntRange(0, 4).Draw(t, "light"); n {
		case 0:
			return mail.Digest{}
		case 1:
			return mail.NoLightFields
		default:
			return mail.Digest{byte(n)}
		}
	})
	body := rapid.Custom(func(t *rapid.T) mail.Digest { return mail.Digest{byte(rapid.IntRange(0, 2).Draw(t, "body"))} })
	gid := rapid.SampledFrom([]string{"", "", "g1", "g2"})
	size := rapid.Int64Range(0, 2)
	rapid.Check(t, func(t *rapid.T) {
		tab := &table{sorted: true}
		free := map[uint32]bool{}
		for i := range rapid.IntRange(0, 8).Draw(t, "rows") {
			uid := uint32(i + 1)
			free[uid] = rapid.IntRange(0, 5).Draw(t, "free") > 0
			tab.rows = append(tab.rows, row{uid: uid, gid: gid.Draw(t, "gid"), size: size.Draw(t, "size"),
				ident: mail.Identity{Light: digest.Draw(t, "light"), Body: body.Draw(t, "body")}})
		}
		var wants []mail.Identity
		for range rapid.IntRange(0, 8).Draw(t, "wants") {
			wants = append(wants, mail.Identity{GlobalID: gid.Draw(t, "gid"), Light: digest.Draw(t, "light"), Body: body.Draw(t, "body"), Size: size.Draw(t, "size")})
		}
		m := newMatching(tab, func(uid uint32) bool { return free[uid] }, wants)
		if got, want := m.doubtful(), plainlyDoubtful(tab, free, wants); !slices.Equal(got, want) {
			t.Fatalf("doubtful are %v, want %v", got, want)
		}
		m.assign(m.same)
		taken := map[uint32]bool{}
		for i := range wants {
			var want uint32
			for j := range tab.rows {
				if r := &tab.rows[j]; want == 0 && free[r.uid] && !taken[r.uid] && m.same(r, &wants[i]) {
					want = r.uid
				}
			}
			if taken[want] = true; m.got[i] != want {
				t.Fatalf("want %d is matched with %d, not with %d", i, m.got[i], want)
			}
		}
	})
}

// plainlyDoubtful is doubtful as it reads.
func plainlyDoubtful(tab *table, free map[uint32]bool, wants []mail.Identity) (uids []uint32) {
	count := func(w *mail.Identity) (n int) {
		for i := range tab.rows {
			if r := &tab.rows[i]; free[r.uid] && alike(r, w) {
				n++
			}
		}
		return n
	}
	for i := range tab.rows {
		r := &tab.rows[i]
		alikes, blind := 0, false
		for j := range wants {
			if w := &wants[j]; alike(r, w) && !w.Body.IsZero() {
				alikes++
				blind = blind || w.Light.IsZero() || w.Light == mail.NoLightFields || count(w) > 1
			}
		}
		if free[r.uid] && (alikes > 1 || blind) {
			uids = append(uids, r.uid)
		}
	}
	return uids
}
