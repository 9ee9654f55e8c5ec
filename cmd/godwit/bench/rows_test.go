package bench

import (
	"fmt"
	"slices"
	"time"
)

// A target is what godwit is to reach in a row; a zero asks for nothing.
type target struct {
	faster float64 // than the better mbsync, at least so many times
	raw    float64 // within so many times of the raw pipe
	bytes  int64   // on the wire, both ways, less than
	rss    int64   // less than
	trips  float64 // round trips at most
	times  float64 // at most so many times as long as row of
	of     string
}

// A row is one piece of work, and what it cost each tool.
type row struct {
	name string
	what string
	target
	got []*samples
}

// samples are the runs of one tool, in the order of the rounds.
type samples struct {
	tool   string
	runs   []usage
	wire   *wire // of a run of its own
	failed error
	// durable is what godwit told of how it made mail durable.
	durable string
}

const rawName = "raw pipe"

const mb = 1 << 20

// table is every row, in the order of printing.
func table() []*row {
	big, n := *messages, fmt.Sprintf
	account := n("INBOX %d + %d mailboxes", big, scaled(200))
	link := n("%v round trip", *rtt)
	var rows []*row
	add := func(name, what string, t target) { rows = append(rows, &row{name: name, what: what, target: t}) }
	both := func(name, what string, plain, tls target) {
		add(name+"/plain", what+", plain", plain)
		add(name+"/tls", what+", TLS", tls)
	}
	both("pull/fsync", n("first pull of %d, fsync", big), target{faster: 4, raw: 4.5, rss: 48 * mb}, target{faster: 3.5, raw: 1.5, rss: 48 * mb})
	both("pull/nofsync", n("first pull of %d, no fsync", big), target{faster: 1}, target{faster: 1})
	both("settle", "the run right after it", target{}, target{})
	both("push", n("first push of %d, fsync", scaled(3000)), target{faster: 2}, target{faster: 2})
	both("nochange", "nothing changed, "+account, target{faster: 4, bytes: 40000}, target{faster: 4, bytes: 40000})
	both("new", "one new message", target{faster: 3}, target{faster: 3})
	both("flags", n("%d flag changes", scaled(200)), target{faster: 3}, target{faster: 3})
	add("full/plain", "the daily full comparison", target{})
	add("uidvalidity/plain", n("UIDVALIDITY reset of %d", big), target{})
	add("delete/plain", n("%d local deletions, keep_deleted", scaled(1000)), target{})
	add("bare/nochange/plain", "bare IMAP4rev1, nothing changed, "+account, target{})
	add("bare/new/plain", "bare IMAP4rev1, one new message", target{})
	add("small/nochange/plain", n("nothing changed, INBOX %d", scaled(1000)), target{})
	add("huge/nochange/plain", n("nothing changed, INBOX %d", 5*big), target{faster: 12, rss: 48 * mb, times: 1.5, of: "small/nochange/plain"})
	add("huge/new/plain", n("one new message, INBOX %d", 5*big), target{faster: 12})
	add("huge/flags/plain", n("%d flag changes, INBOX %d", scaled(200), 5*big), target{faster: 12})
	both("roundtrip/pull", n("%s: pull %d small", link, scaled(2000)), target{faster: 2.5}, target{faster: 2.5})
	both("roundtrip/push", n("%s: push %d small", link, scaled(300)), target{faster: 1.5}, target{faster: 1.5})
	both("roundtrip/nochange", n("%s: nothing changed", link), target{faster: 1.8, trips: 4}, target{faster: 1.8, trips: 5})
	both("roundtrip/limited", n("%s, %s a second a connection: pull %d", link, size(perConnection), scaled(4000)), target{}, target{})
	add("large/pull/plain", n("pull one message of %s", size(int64(largeSize()))), target{rss: 48 * mb})
	add("large/push/plain", n("push one message of %s", size(int64(largeSize()))), target{rss: 48 * mb})
	return rows
}

// perConnection is how many bytes a second a limited connection gives.
const perConnection = 8 * mb

// largeSize is that of the one large message.
func largeSize() int { return max(100_000, 200*mb/20000**messages) }

// of are the samples of a tool.
func (r *row) of(tool string) *samples {
	for _, s := range r.got {
		if s.tool == tool {
			return s
		}
	}
	s := &samples{tool: tool}
	r.got = append(r.got, s)
	return s
}

// named finds a row.
func (b *bench) named(name string) *row {
	b.t.Helper()
	i := slices.IndexFunc(b.rows, func(r *row) bool { return r.name == name })
	if i < 0 {
		b.t.Fatalf("the table has no row %s", name)
	}
	return b.rows[i]
}

// median is that of all runs, 0 if there is none.
func median[T int64 | time.Duration](runs []usage, of func(usage) T) T {
	if len(runs) == 0 {
		return 0
	}
	var list []T
	for _, u := range runs {
		list = append(list, of(u))
	}
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func (s *samples) wall() time.Duration {
	return median(s.runs, func(u usage) time.Duration { return u.wall })
}
func (s *samples) cpu() time.Duration {
	return median(s.runs, func(u usage) time.Duration { return u.cpu })
}

// least is the fastest run: what the others took longer, the machine took.
func (s *samples) least() time.Duration {
	return slices.MinFunc(s.runs, func(a, b usage) int { return int(a.wall - b.wall) }).wall
}

// peak is the most memory of any run.
func (s *samples) peak() (most int64) {
	for _, u := range s.runs {
		most = max(most, u.rss)
	}
	return most
}

// better is the mbsync whose median is the lower, nil if none ran.
func (r *row) better() *samples {
	var best *samples
	for _, s := range r.got {
		if len(s.tool) >= 6 && s.tool[:6] == "mbsync" && len(s.runs) > 0 && (best == nil || s.wall() < best.wall()) {
			best = s
		}
	}
	return best
}
