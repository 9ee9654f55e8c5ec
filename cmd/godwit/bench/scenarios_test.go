package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// each does something for plain text and for TLS.
func each(prefix string, do func(name string, tls bool)) {
	do(prefix+"/plain", false)
	do(prefix+"/tls", true)
}

// pulls measures first pulls, and the runs that follow them.
func (b *bench) pulls() {
	n := *messages
	server := b.server("full")
	b.filled(server, "pull", ordinary, n, 0)
	fresh := func(t *tool, round int) *site {
		return &site{tool: t, server: server, user: "pull", dir: b.fresh("pull")}
	}
	check := func(int) func(*site) error { return hasLocally(n) }
	each("pull/fsync", func(name string, tls bool) {
		again := strings.Replace(name, "pull/fsync", "settle", 1)
		b.measure(task{row: name, site: fresh, check: check, tls: tls, also: again,
			raw: func() (usage, error) { return rawPipe(server, "pull", tls) }})
	})
	each("pull/nofsync", func(name string, tls bool) {
		b.measure(task{row: name, site: fresh, check: check, tls: tls, nosync: true, silent: true})
	})
}

// pushes measures first pushes.
func (b *bench) pushes() {
	n := scaled(3000)
	each("push", func(name string, tls bool) {
		b.measure(task{row: name, site: b.toPush(ordinary, n), prepare: true, tls: tls, check: func(int) func(*site) error { return hasOnServer(n) }})
	})
}

// toPush makes users without mail, and sites with mail to push.
func (b *bench) toPush(m mix, n int) func(*tool, int) *site {
	return func(t *tool, round int) *site {
		server := b.server("full")
		dir := b.fresh("push")
		s := &site{tool: t, server: server, user: fmt.Sprintf("push%d", b.made), dir: dir}
		b.filled(server, s.user, m, 0, 0)
		b.laid(s, m, n)
		return s
	}
}

// account measures a large account in which little or nothing changes.
func (b *bench) account() {
	total := b.filled(b.server("full"), "account", tiny, *messages, scaled(200))
	st := b.stand("full", "account", total, true)
	each("nochange", func(name string, tls bool) { st.unchanged(name, tls, st.remote.total) })
	each("new", func(name string, tls bool) { st.oneNew(name, tls) })
	each("flags", func(name string, tls bool) { st.flags(name, tls, scaled(200)) })
	st.full("full/plain")
	st.reset("uidvalidity/plain")
}

// small measures an account with few messages, for comparison.
func (b *bench) small() {
	total := b.filled(b.server("full"), "small", tiny, scaled(1000), 0)
	b.stand("full", "small", total, false).unchanged("small/nochange/plain", false, total)
}

// huge measures one with many.
func (b *bench) huge() {
	total := b.filled(b.server("full"), "huge", tiny, 5**messages, 0)
	st := b.stand("full", "huge", total, false)
	st.unchanged("huge/nochange/plain", false, total)
	st.oneNew("huge/new/plain", false)
	st.flags("huge/flags/plain", false, scaled(200))
}

// bare measures a server that claims nothing but IMAP4rev1.
func (b *bench) bare() {
	total := b.filled(b.server("bare"), "bare", tiny, *messages, scaled(200))
	st := b.stand("bare", "bare", total, false)
	st.unchanged("bare/nochange/plain", false, total)
	st.oneNew("bare/new/plain", false)
}

// roundtrips measures a link whose round trips take time.
func (b *bench) roundtrips() {
	n, pushed := scaled(2000), scaled(300)
	server := b.server("full")
	b.filled(server, "link", tiny, n, 0)
	each("roundtrip/pull", func(name string, tls bool) {
		b.measure(task{row: name, tls: tls, rtt: *rtt, check: func(int) func(*site) error { return hasLocally(n) },
			site: func(t *tool, round int) *site {
				return &site{tool: t, server: server, user: "link", dir: b.fresh("link")}
			}})
	})
	many := scaled(4000)
	b.filled(server, "limited", ordinary, many, 0)
	each("roundtrip/limited", func(name string, tls bool) {
		b.measure(task{row: name, tls: tls, rtt: *rtt, limit: perConnection, most: 3, with: []*tool{alone(b.tools[0])},
			check: func(int) func(*site) error { return hasLocally(many) },
			site: func(t *tool, round int) *site {
				return &site{tool: t, server: server, user: "limited", dir: b.fresh("limited")}
			}})
	})
	each("roundtrip/push", func(name string, tls bool) {
		b.measure(task{row: name, tls: tls, rtt: *rtt, site: b.toPush(tiny, pushed), prepare: true, check: func(int) func(*site) error { return hasOnServer(pushed) }})
	})
	if b.wants("roundtrip/nochange") {
		st := b.stand("full", "link", n, true)
		each("roundtrip/nochange", func(name string, tls bool) {
			b.measure(task{row: name, tls: tls, rtt: *rtt, site: st.site})
		})
	}
}

// deletions measures local deletions, of messages that are kept.
func (b *bench) deletions() {
	n := scaled(1000)
	all := n * (*rounds + 3)
	user := func(t *tool) string {
		return "delete-" + strings.NewReplacer(", ", "-", " ", "-").Replace(strings.ToLower(t.name))
	}
	for _, t := range b.tools {
		if !t.slow {
			b.filled(b.server("full"), user(t), ordinary, all, 0)
		}
	}
	st := b.standApart("full", user, all, false)
	b.measure(task{row: "delete/plain", site: st.site,
		begin: func(int) { st.settle(); st.remove(n) },
		check: func(round int) func(*site) error { return hasOnServer(all - n*(round+1)) }})
}

// large measures one message of many megabytes.
func (b *bench) large() {
	huge := mix{"large", func(*rand.Rand) int { return largeSize() }}
	server := b.server("full")
	b.filled(server, "large", huge, 1, 0)
	b.measure(task{row: "large/pull/plain", most: 3, check: func(int) func(*site) error { return hasLocally(1) },
		site: func(t *tool, _ int) *site {
			return &site{tool: t, server: server, user: "large", dir: b.fresh("large")}
		}})
	b.measure(task{row: "large/push/plain", most: 3, site: b.toPush(huge, 1), prepare: true,
		check: func(int) func(*site) error { return hasOnServer(1) }})
}
