package demo

import "time"

// Mailboxes are those of the sample account, as a server lists them.
var Mailboxes = []string{"INBOX", "Archive", "Drafts", "Reisepläne", "Sent", "Work", "Work/Deep"}

func day(month time.Month, d, hour int) time.Time {
	return time.Date(2026, month, d, hour, 12, 30, 0, time.UTC)
}

const (
	me    = "You <you@example.org>"
	ada   = "Ada <ada@example.org>"
	linus = "Linnea <linnea@example.com>"
)

// Sample is the mail of the sample account.
var Sample = []Message{
	{"INBOX", "<welcome@demo.godwit>", ada, me, "Welcome", day(9, 1, 9), []string{`\Seen`}, "Two places, one mailbox.\r\n"},
	{"INBOX", "<lunch@demo.godwit>", linus, me, "Lunch on Friday?", day(9, 3, 11), nil, "The place by the canal?\r\n"},
	{"INBOX", "<invoice@demo.godwit>", "Billing <billing@example.com>", me, "Invoice 4711", day(9, 4, 8), []string{`\Seen`, "$Important"}, "Due in 30 days.\r\n"},
	{"INBOX", "<offer@demo.godwit>", "Offers <offers@example.net>", me, "Only today", day(9, 5, 7), nil, "You will not want to miss this.\r\n"},
	{"INBOX", "<minutes@demo.godwit>", ada, me, "Minutes of Monday", day(9, 7, 16), []string{`\Seen`, `\Answered`}, "Three points, two of them open.\r\n"},
	{"Archive", "<old@demo.godwit>", ada, me, "The old days", day(1, 15, 10), []string{`\Seen`}, "Kept since January.\r\n"},
	{"Drafts", "<draft@demo.godwit>", me, linus, "Re: Lunch on Friday?", day(9, 3, 12), []string{`\Draft`, `\Seen`}, "By the canal is\r\n"},
	{"Reisepläne", "<train@demo.godwit>", "Tickets <tickets@example.com>", me, "=?utf-8?q?Fahrkarte_nach_K=C3=B6ln?=", day(8, 20, 18), []string{`\Seen`, `\Flagged`}, "Wagen 7, Platz 42.\r\n"},
	{"Sent", "<answer@demo.godwit>", me, ada, "Re: Minutes of Monday", day(9, 7, 17), []string{`\Seen`}, "I take the second point.\r\n"},
	{"Work", "<plan@demo.godwit>", linus, me, "The plan for autumn", day(9, 2, 14), []string{`\Seen`, "$Forwarded"}, "See below.\r\n"},
	{"Work/Deep", "<design@demo.godwit>", linus, me, "Design notes", day(9, 2, 15), nil, "Identity matches, wire verifies.\r\n"},
	{"Work/Deep", "<measure@demo.godwit>", linus, me, "Measurements", day(9, 6, 15), []string{`\Flagged`}, "One round trip for all mailboxes.\r\n"},
}

// What comes in the course of the demo: a draft that is written in the
// Maildir, and mail that arrives on the server, the last in a mailbox of its own.
var (
	LocalDraft  = Message{"Drafts", "<local-draft@demo.godwit>", me, ada, "Written offline", day(9, 8, 10), []string{`\Draft`, `\Seen`}, "On the train.\r\n"}
	NewMail     = Message{"INBOX", "<news@demo.godwit>", ada, me, "News", day(9, 8, 11), nil, "Just arrived.\r\n"}
	ProjectMail = Message{"Work/Übersicht", "<project@demo.godwit>", linus, me, "Overview", day(9, 8, 12), []string{`\Flagged`}, "In a new mailbox.\r\n"}
)
