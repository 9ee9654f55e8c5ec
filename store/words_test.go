package store

import (
	"math"
	"time"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Generators of the words that an index takes and gives back. Zero values are
// among all of them.

var genFlags = rapid.Custom(func(t *rapid.T) mail.FlagSet {
	all := []mail.Flag{mail.Seen, mail.Answered, mail.Flagged, mail.Deleted, mail.Draft, mail.Forwarded, "Work", "é-not-an-atom", "$a$b"}
	return mail.NewFlagSet(rapid.SliceOfN(rapid.SampledFrom(all), 0, 4).Draw(t, "flags")...)
})

// genDate gives a time of arrival: hostile mail is of the year 0 as well as of 9999.
var genDate = rapid.Custom(func(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "no date") {
		return time.Time{}
	}
	seconds := rapid.Int64Range(-62_167_219_200, 253_402_300_799).Draw(t, "seconds")
	nsec := rapid.SampledFrom([]int64{0, 1, 123_456_789, 999_999_999}).Draw(t, "nsec")
	offset := rapid.SampledFrom([]int{0, 3600, -12600, 14 * 3600, -59}).Draw(t, "offset")
	d := time.Unix(seconds, nsec).UTC()
	if offset != 0 {
		d = d.In(time.FixedZone("", offset))
	}
	return d
})

// genMoment gives a time of godwit's own clock.
var genMoment = rapid.Custom(func(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "never") {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
})

// genText gives text as a server or a file system may: anything but a NUL is usual.
var genText = rapid.SampledFrom([]string{"", "a", "c1 2 3", "Größe ∕ \U0001f4ec", "quote ' \" ; --", "line\nbreak", "not UTF-8 \xff\xfe", "nul \x00 inside"})

var genDigest = rapid.Custom(func(t *rapid.T) mail.Digest {
	var d mail.Digest
	if n := rapid.Byte().Draw(t, "digest"); n%4 != 0 {
		d[0], d[31] = n%4, n
	}
	return d
})

var genIdent = rapid.Custom(func(t *rapid.T) mail.Identity {
	return mail.Identity{
		GlobalID: rapid.SampledFrom([]string{"", "M1", "M2"}).Draw(t, "global"),
		Size:     rapid.SampledFrom([]int64{0, 1, 1 << 40, math.MaxInt64}).Draw(t, "size"),
		Light:    genDigest.Draw(t, "light"), Header: genDigest.Draw(t, "header"),
		Body: genDigest.Draw(t, "body"), Wire: genDigest.Draw(t, "wire"),
	}
})

// genIdents gives both sides one identity as often as not.
var genIdents = rapid.Custom(func(t *rapid.T) [2]mail.Identity {
	ids := [2]mail.Identity{genIdent.Draw(t, "local"), genIdent.Draw(t, "remote")}
	if rapid.Bool().Draw(t, "equal") {
		ids[plan.Remote] = ids[plan.Local]
	}
	return ids
})

var genSide = rapid.SampledFrom(plan.Sides[:])

// genContent gives a row without places.
var genContent = rapid.Custom(func(t *rapid.T) plan.Row {
	return plan.Row{
		Flags: [2]mail.FlagSet{genFlags.Draw(t, "local flags"), genFlags.Draw(t, "remote flags")},
		Ident: genIdents.Draw(t, "identities"),
		Stat:  genText.Draw(t, "stat"),
		Date:  genDate.Draw(t, "date"),
	}
})

var genPending = rapid.Custom(func(t *rapid.T) plan.Pending {
	return plan.Pending{
		Side: genSide.Draw(t, "side"), At: plan.Place{Box: 1, Ref: mail.Ref(genText.Draw(t, "ref"))},
		Kind: rapid.SampledFrom([]plan.Kind{plan.KindNew, plan.KindFlags, plan.KindGone}).Draw(t, "kind"),
		Row:  rapid.Int64Range(0, 9).Draw(t, "row"), Why: plan.Reason(genText.Draw(t, "why")), Text: genText.Draw(t, "text"),
		Tries: rapid.IntRange(0, 99).Draw(t, "tries"), Since: genMoment.Draw(t, "since"), Next: genMoment.Draw(t, "next"),
		Ident: genIdent.Draw(t, "ident"),
	}
})

var genIntent = rapid.Custom(func(t *rapid.T) plan.Intent {
	return plan.Intent{
		Kind: plan.IntentKind(rapid.IntRange(0, 5).Draw(t, "kind")), Side: genSide.Draw(t, "side"),
		To:        mail.BoxID(rapid.Int64Range(0, 3).Draw(t, "to")),
		From:      plan.Place{Box: mail.BoxID(rapid.Int64Range(0, 3).Draw(t, "from")), Ref: mail.Ref(genText.Draw(t, "ref"))},
		FromEpoch: genText.Draw(t, "from epoch"), Row: rapid.Int64Range(0, 9).Draw(t, "row"),
		Epoch: genText.Draw(t, "epoch"), Next: rapid.SampledFrom([]uint32{0, 1, math.MaxUint32}).Draw(t, "next"),
		At: genMoment.Draw(t, "at"),
		Item: mail.Item{
			Flags: genFlags.Draw(t, "flags"), Date: genDate.Draw(t, "date"), Ident: genIdent.Draw(t, "ident"),
			Stat: genText.Draw(t, "stat"), Token: genText.Draw(t, "token"),
			HintUID: rapid.SampledFrom([]uint32{0, 7, math.MaxUint32}).Draw(t, "hint"),
		},
	}
})

var genBoxSide = rapid.Custom(func(t *rapid.T) plan.BoxSide {
	return plan.BoxSide{
		Epoch: genText.Draw(t, "epoch"), ID: genText.Draw(t, "id"), Cursor: plan.Cursor(genText.Draw(t, "cursor")),
		Next:   rapid.SampledFrom([]uint32{0, 1, math.MaxUint32}).Draw(t, "next"),
		FullAt: genMoment.Draw(t, "full at"), FullRuns: rapid.IntRange(0, 99).Draw(t, "full runs"),
		Rights: plan.Rights{
			NoInsert: rapid.Bool().Draw(t, "no insert"), NoFlags: rapid.Bool().Draw(t, "no flags"), NoDelete: rapid.Bool().Draw(t, "no delete"),
		},
		Missing: rapid.Bool().Draw(t, "missing"),
	}
})

var genEvent = rapid.Custom(func(t *rapid.T) plan.Event {
	return plan.Event{
		At: genMoment.Draw(t, "at"), Run: rapid.Int64Range(0, 9).Draw(t, "run"), Verb: genText.Draw(t, "verb"),
		Side: genSide.Draw(t, "side"), Mailbox: mail.MailboxName(genText.Draw(t, "mailbox")),
		Row: rapid.Int64Range(0, 9).Draw(t, "row"), Ident: genDigest.Draw(t, "digest"), Text: genText.Draw(t, "text"),
	}
})

var genRun = rapid.Custom(func(t *rapid.T) plan.RunRecord {
	two := func(what string) [2]int {
		return [2]int{rapid.IntRange(0, 9).Draw(t, what), rapid.IntRange(0, 9).Draw(t, what)}
	}
	return plan.RunRecord{
		Began: genMoment.Draw(t, "began"), Exit: rapid.IntRange(0, 130).Draw(t, "exit"),
		Gains: two("gains"), Losses: two("losses"), Flags: two("flags"), Moves: two("moves"),
		BytesIn: rapid.Int64().Draw(t, "in"), Bytes: rapid.Int64().Draw(t, "bytes"), Text: genText.Draw(t, "text"),
	}
})
