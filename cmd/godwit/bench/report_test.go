package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// brief is a row in one line, for those who watch.
func (r *row) brief() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", r.name)
	for _, s := range r.got {
		fmt.Fprintf(&b, " %s %s;", s.tool, short(s.wall()))
	}
	if best := r.better(); best != nil {
		fmt.Fprintf(&b, " %.2f×", ratio(best.wall(), r.of("godwit").wall()))
	}
	return b.String()
}

func short(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// times is a ratio, in print.
func times(a, b time.Duration) string { return fmt.Sprintf("%.2f×", ratio(a, b)) }

// report is the whole as Markdown.
func (b *bench) report() string {
	columns := []string{"godwit", "mbsync", "mbsync, no COMPRESS", "OfflineIMAP", rawName}
	table := [][]string{append([]string{"work"}, append(columns, "faster", "fastest runs", "CPU", "target")...)}
	costs := [][]string{{"work", "tool", "wall: fastest–slowest", "CPU", "peak memory", "sent", "received", "connections", "turns", "commands"}}
	for _, r := range b.rows {
		if len(r.got) == 0 {
			continue
		}
		line := []string{r.what}
		for _, c := range columns {
			line = append(line, short(r.of(c).wall()))
		}
		faster, fastest, cpu := "–", "–", "–"
		if best, us := r.better(), r.of("godwit"); best != nil && len(us.runs) > 0 {
			faster = times(best.wall(), us.wall())
			fastest = times(best.least(), us.least())
			cpu = times(best.cpu(), us.cpu())
		}
		table = append(table, append(line, faster, fastest, cpu, b.verdict(r)))
		for _, c := range columns {
			if s := r.of(c); len(s.runs) > 0 {
				costs = append(costs, s.cost(r.what))
			}
		}
	}
	return "\n" + b.environment() + "\n" + markdown(table) + "\n" + markdown(costs)
}

// cost is what the runs of a tool cost.
func (s *samples) cost(what string) []string {
	most := slices.MaxFunc(s.runs, func(a, b usage) int { return int(a.wall - b.wall) })
	out := []string{what, s.tool, short(s.least()) + "–" + short(most.wall), short(s.cpu()), size(s.peak())}
	if s.wire == nil {
		return append(out, "", "", "", "", "")
	}
	w := s.wire
	commands := fmt.Sprint(w.commands)
	if w.blind {
		commands = ""
	}
	return append(out, fmt.Sprint(w.up), fmt.Sprint(w.down), fmt.Sprint(w.connections), fmt.Sprint(w.turns), commands)
}

func size(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MB", float64(n)/mb)
}

// verdict tells each target of a row and whether it was met.
func (b *bench) verdict(r *row) string {
	var out []string
	say := func(met bool, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if !met {
			text += " MISSED"
		}
		out = append(out, text)
	}
	us, t := r.of("godwit"), r.target
	if best := r.better(); t.faster > 0 && best != nil {
		say(ratio(best.wall(), us.wall()) >= t.faster, "≥ %g×", t.faster)
	}
	if raw := r.of(rawName).wall(); t.raw > 0 && raw > 0 {
		say(ratio(us.wall(), raw) <= t.raw, "raw %.2f× ≤ %g×", ratio(us.wall(), raw), t.raw)
	}
	if t.bytes > 0 && us.wire != nil {
		n := us.wire.up + us.wire.down
		say(n < t.bytes, "%d B < %d B", n, t.bytes)
	}
	if t.rss > 0 && us.peak() > 0 {
		say(us.peak() < t.rss, "%s < %s", size(us.peak()), size(t.rss))
	}
	if t.trips > 0 && len(us.runs) > 0 {
		n := ratio(us.wall(), *rtt)
		say(n < t.trips+1, "%.1f round trips ≤ %g", n, t.trips)
	}
	if t.of != "" {
		if base := b.named(t.of).of("godwit").wall(); base > 0 {
			say(ratio(us.wall(), base) <= t.times, "%.2f× of %s ≤ %g×", ratio(us.wall(), base), t.of, t.times)
		}
	}
	return strings.Join(out, ", ")
}

// markdown is a table whose columns are aligned for reading as text too.
func markdown(lines [][]string) string {
	var widths []int
	for _, line := range lines {
		for i, cell := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for n, line := range lines {
		for i, cell := range line {
			fmt.Fprintf(&b, "| %-*s ", widths[i], cell)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
