package bench

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	imap "github.com/emersion/go-imap/v2"
	_ "github.com/mattn/go-sqlite3"

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

// remove deletes the first n files of every INBOX.
func (st *standing) remove(n int) {
	st.b.t.Helper()
	for _, s := range st.of {
		cur := s.path("Mail/INBOX/cur")
		list, err := os.ReadDir(cur)
		if err == nil && len(list) < n {
			err = fmt.Errorf("%s has %d files only", cur, len(list))
		}
		for i := 0; err == nil && i < n; i++ {
			err = os.Remove(filepath.Join(cur, list[i].Name()))
		}
		if err != nil && s.failed == nil {
			st.b.t.Fatal(err)
		}
		st.b.age(s)
	}
	st.b.touched = time.Now()
	st.b.rest()
}

// full measures godwit's comparison that looks at everything, beside runs of the
// others that find nothing changed.
func (st *standing) full(row string) {
	if st.b.matches(row) {
		st.settle()
	}
	st.b.measure(task{row: row, site: st.site, repeat: 3,
		begin: func(int) {
			for t, s := range st.of {
				if t.name == "godwit" {
					st.b.distrust(s)
				}
			}
		},
		check: func(int) func(*site) error { return compared }})
}

// distrust makes godwit believe that its last full comparison was long ago.
func (b *bench) distrust(s *site) {
	b.t.Helper()
	db, err := sql.Open("sqlite3", s.path(index))
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE mailbox_side SET full_at = full_at - ?", int64(8*24*time.Hour)); err != nil {
		b.t.Fatal(err)
	}
}

// index is godwit's, in a site.
const index = "state/me/index.db"

// compared is a check that godwit compared every mailbox in full of late.
func compared(s *site) error {
	if s.tool.name != "godwit" {
		return nil
	}
	db, err := sql.Open("sqlite3", s.path(index))
	if err != nil {
		return err
	}
	defer db.Close()
	var old int
	if err := db.QueryRow("SELECT count(*) FROM mailbox_side WHERE full_at < ?", time.Now().Add(-24*time.Hour).UnixNano()).Scan(&old); err != nil {
		return err
	}
	if old > 0 {
		return fmt.Errorf("%d mailboxes were not compared in full", old)
	}
	return nil
}

// reset measures an INBOX whose UIDVALIDITY is another one.
func (st *standing) reset(row string) {
	r := st.remote
	st.b.measure(task{row: row, site: st.site,
		begin: func(round int) {
			st.settle()
			r.server.Doveadm("mailbox", "update", "--uid-validity", fmt.Sprint(2_000_000_000+round), "-u", r.user, "INBOX")
		},
		check: func(int) func(*site) error { return hasLocally(r.total) }})
}
