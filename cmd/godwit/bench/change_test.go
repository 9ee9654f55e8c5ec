package bench

import (
	"fmt"
	"time"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// A remote changes a user's mail on the server.
type remote struct {
	b      *bench
	server *imaptest.Server
	user   string
	total  int // messages, in all mailboxes
	more   int // messages that were added
	flag   bool
}

func (b *bench) open(server *imaptest.Server, user string, total int) *remote {
	return &remote{b: b, server: server, user: user, total: total}
}

// add appends a message to INBOX.
func (r *remote) add() {
	r.b.t.Helper()
	c := r.server.Client(r.user)
	defer c.Close()
	body := tiny.message(r.user, 1_000_000+r.more)
	r.more++
	r.total++
	cmd := c.Append("INBOX", int64(len(body)), &imap.AppendOptions{Time: time.Unix(1_750_000_000, 0)})
	if _, err := cmd.Write([]byte(body)); err != nil {
		r.b.t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		r.b.t.Fatal(err)
	}
	if _, err := cmd.Wait(); err != nil {
		r.b.t.Fatal(err)
	}
}

// toggle flags n messages, spread over INBOX, or takes the flag off again.
func (r *remote) toggle(n int) {
	r.b.t.Helper()
	c := r.server.Client(r.user)
	defer c.Close()
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		r.b.t.Fatal(err)
	}
	var set imap.SeqSet
	for i := range n {
		set.AddNum(1 + uint32(i)*box.NumMessages/uint32(n))
	}
	r.flag = !r.flag
	store := imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}, Silent: true}
	if !r.flag {
		store.Op = imap.StoreFlagsDel
	}
	if err := c.Store(set, &store, nil).Close(); err != nil {
		r.b.t.Fatal(err)
	}
}

// unchanged measures runs that find nothing to do.
func (st *standing) unchanged(row string, tls bool, total int) {
	st.b.measure(task{row: row, site: st.site, tls: tls, repeat: 3, check: func(int) func(*site) error { return hasLocally(total) }})
}

// oneNew measures a message that came.
func (st *standing) oneNew(row string, tls bool) {
	st.b.measure(task{row: row, site: st.site, tls: tls,
		begin: func(int) { st.settle(); st.remote.add() },
		check: func(int) func(*site) error { return hasLocally(st.remote.total) }})
}

// flags measures flags that were changed.
func (st *standing) flags(row string, tls bool, n int) {
	st.b.measure(task{row: row, site: st.site, tls: tls,
		begin: func(int) { st.settle(); st.remote.toggle(n) },
		check: func(int) func(*site) error {
			if st.remote.flag {
				return flaggedLocally(n)
			}
			return flaggedLocally(0)
		}})
}

// full measures the comparison that looks at everything.
func (st *standing) full(row string) {}

// reset measures a mailbox whose UIDVALIDITY is another one.
func (st *standing) reset(row string) {}

var _ = fmt.Sprint
