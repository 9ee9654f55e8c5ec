package archive

import (
	"context"
	"database/sql"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// An effect is a transaction that may change what the mailboxes show. With
// its first change it opens the generation, unless that is open already, and
// takes a number by which scans tell what is new.
type effect struct {
	tx  *sqlite.Tx
	rec *Recording

	gen, change int64 // 0 until something is changed
	delta       counts
	touched     map[int64]int    // by how many messages each mailbox grew
	next        map[string]int64 // of sequences
	placed      [2]int64         // the placements that it made: the first, and after the last
}

// counts are what a generation counts, as differences.
type counts struct {
	came, went, changed, moved, mailboxes, messages int
	bytes, stored                                   int64
}

// effect runs fn in a transaction of the generation. When it fails, nothing of
// it remains.
func (r *Recording) effect(ctx context.Context, fn func(*effect) error) error {
	if err := r.a.make(ctx); err != nil {
		return err
	}
	r.a.writing.Lock()
	defer r.a.writing.Unlock()
	if r.failed != nil {
		return r.failed
	}
	e := &effect{rec: r, touched: map[int64]int{}, next: map[string]int64{}}
	err := r.a.update(ctx, func(tx *sqlite.Tx) error {
		e.tx = tx
		if err := fn(e); err != nil {
			return err
		}
		return e.end()
	})
	if err == nil && e.gen > 0 {
		r.open = e.gen
		r.own = addRange(r.own, e.placed)
	}
	return err
}

// addRange adds numbers that follow one another.
func addRange(list [][2]int64, r [2]int64) [][2]int64 {
	switch last := len(list) - 1; {
	case r[0] == r[1]:
	case last >= 0 && list[last][1] == r[0]:
		list[last][1] = r[1]
	default:
		list = append(list, r)
	}
	return list
}

// begin makes sure that the generation is open, before a change.
func (e *effect) begin() error {
	if e.gen > 0 {
		return nil
	}
	change, err := e.take("change", 1)
	if err != nil {
		return err
	}
	e.change = change
	last, open, err := lastGeneration(e.tx)
	if err != nil {
		return err
	}
	if open && last == e.rec.open {
		e.gen = last
		return nil
	}
	first, err := e.take("message", 0)
	if err != nil {
		return err
	}
	e.gen = last + 1
	return e.tx.Exec(`INSERT INTO generation
		SELECT ?1, ?2, 0, 0, '', 0, 0, 0, 0, coalesce(max(mailboxes), 0), coalesce(max(messages), 0), coalesce(max(bytes), 0), 0, ?3, ?4, NULL, 0
		FROM generation WHERE n = ?5`, e.gen, moment(e.rec.began), change, first, last)
}

// lastGeneration is the number of the newest generation, 0 if there is none,
// and whether it has not been ended.
func lastGeneration(tx *sqlite.Tx) (n int64, open bool, err error) {
	err = tx.Each("SELECT n, ended = 0 FROM generation ORDER BY n DESC LIMIT 1", nil, func(rows *sql.Rows) error {
		return rows.Scan(&n, &open)
	})
	return n, open, err
}

// take gives the first of n new numbers of a sequence.
func (e *effect) take(sequence string, n int64) (int64, error) {
	next, known := e.next[sequence]
	if !known {
		err := e.tx.Each("SELECT next FROM sequence WHERE name = ?", []any{sequence}, func(rows *sql.Rows) error {
			return rows.Scan(&next)
		})
		if err != nil {
			return 0, err
		}
	}
	e.next[sequence] = next + n
	return next, nil
}

// end writes what was counted.
func (e *effect) end() error {
	if e.gen == 0 {
		return nil
	}
	for name, next := range e.next {
		if err := e.tx.Exec("UPDATE sequence SET next = ? WHERE name = ?", next, name); err != nil {
			return err
		}
	}
	for id, grown := range e.touched {
		if err := e.tx.Exec("UPDATE mailbox SET change = ?, messages = messages + ? WHERE id = ?", e.change, grown, id); err != nil {
			return err
		}
	}
	d := e.delta
	return e.tx.Exec(`UPDATE generation SET came = came + ?, went = went + ?, changed = changed + ?, moved = moved + ?,
		mailboxes = mailboxes + ?, messages = messages + ?, bytes = bytes + ?, stored = stored + ? WHERE n = ?`,
		d.came, d.went, d.changed, d.moved, d.mailboxes, d.messages, d.bytes, d.stored, e.gen)
}

// touch notes that a mailbox changed, and by how many messages it grew.
func (e *effect) touch(mailbox int64, grown int) { e.touched[mailbox] += grown }

// A lying message is a placement that still holds.
type lying struct {
	id, mailbox, genFrom, flagsFrom int64
	flags                           string
	message, size                   int64
	origin                          int64
	date                            dateColumns
	uidvalidity, uid                string
}

// lying finds a placement that still holds; nil if it does not.
func (e *effect) lying(ref mail.Ref, mailbox int64) (p *lying, err error) {
	err = e.tx.Each(`SELECT p.id, p.mailbox, p.gen_from, p.flags_from, p.flags, p.message, m.size, coalesce(p.origin, 0),
		p.date, p.date_nsec, p.date_zone, p.uidvalidity, p.uid
		FROM placement p JOIN message m ON m.id = p.message WHERE p.id = ? AND p.mailbox = ? AND p.gen_to IS NULL`,
		[]any{placementOf(ref), mailbox}, func(rows *sql.Rows) error {
			p = &lying{}
			return rows.Scan(&p.id, &p.mailbox, &p.genFrom, &p.flagsFrom, &p.flags, &p.message, &p.size, &p.origin,
				&p.date.seconds, &p.date.nsec, &p.date.zone, &p.uidvalidity, &p.uid)
		})
	return p, err
}

// place lets a message lie in a mailbox from this generation on, and gives
// its number. id and genFrom of p are set.
func (e *effect) place(p *lying, token string) (err error) {
	if err := e.begin(); err != nil {
		return err
	}
	if p.id, err = e.take("placement", 1); err != nil {
		return err
	}
	if e.placed[1] == 0 {
		e.placed[0] = p.id
	}
	e.placed[1] = p.id + 1
	p.genFrom, p.flagsFrom = e.gen, e.gen
	if err := e.tx.Exec("INSERT INTO placement VALUES (?, ?, ?, ?, NULL, ?, ?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?)",
		p.id, p.mailbox, e.change, e.gen, e.gen, p.flags, p.message, p.origin,
		p.date.seconds, p.date.nsec, p.date.zone, p.uidvalidity, p.uid, token); err != nil {
		return err
	}
	e.touch(p.mailbox, 1)
	e.delta.messages++
	e.delta.bytes += p.size
	return e.count(p, 1)
}

// lift ends the interval of a message in a mailbox. moved says that it goes
// on in another.
func (e *effect) lift(p *lying, moved bool) error {
	if err := e.begin(); err != nil {
		return err
	}
	if err := e.tx.Exec("UPDATE placement SET gen_to = ?, change = ? WHERE id = ?", e.gen, e.change, p.id); err != nil {
		return err
	}
	e.touch(p.mailbox, -1)
	e.delta.messages--
	e.delta.bytes -= p.size
	first, _, err := e.first(p)
	if err != nil {
		return err
	}
	if !moved && first < e.gen {
		e.delta.went++
	}
	return e.count(p, -1)
}

// first is since which generation the message lies anywhere, and the mailbox
// in which it did before this generation moved it; 0 if it came only now.
func (e *effect) first(p *lying) (gen, mailbox int64, err error) {
	gen, mailbox = p.genFrom, p.mailbox
	for origin := p.origin; gen == e.gen && origin > 0; {
		next := int64(0)
		err := e.tx.Each("SELECT gen_from, mailbox, coalesce(origin, 0) FROM placement WHERE id = ?", []any{origin}, func(rows *sql.Rows) error {
			return rows.Scan(&gen, &mailbox, &next)
		})
		if err != nil {
			return 0, 0, err
		}
		origin = next
	}
	return gen, mailbox, nil
}

// count adds (by 1) or takes back (by -1) what a placement that holds means
// to the counts of the generation.
func (e *effect) count(p *lying, by int) error {
	switch {
	case p.genFrom < e.gen && p.flagsFrom == e.gen:
		e.delta.changed += by
		return nil
	case p.genFrom < e.gen:
		return nil
	}
	first, mailbox, err := e.first(p)
	switch {
	case err != nil:
	case first == e.gen:
		e.delta.came += by
	case mailbox != p.mailbox:
		e.delta.moved += by
	}
	return err
}

// flag gives a message in a mailbox other flags.
func (e *effect) flag(p *lying, flags string) error {
	if err := e.begin(); err != nil {
		return err
	}
	e.touch(p.mailbox, 0)
	if err := e.count(p, -1); err != nil {
		return err
	}
	var err error
	switch {
	case p.flagsFrom == e.gen && p.genFrom < e.gen:
		err = e.flagAgain(p, flags)
	case p.flagsFrom < e.gen:
		err = e.tx.Exec("INSERT INTO past_flags VALUES (?, ?, ?, ?)", p.id, p.flagsFrom, e.gen, p.flags)
		p.flagsFrom = e.gen
	}
	if err != nil {
		return err
	}
	p.flags = flags
	if err := e.tx.Exec("UPDATE placement SET flags = ?, flags_from = ?, change = ? WHERE id = ?", flags, p.flagsFrom, e.change, p.id); err != nil {
		return err
	}
	return e.count(p, 1)
}

// flagAgain is a second change of flags in one generation: if it undoes the
// first, there was none.
func (e *effect) flagAgain(p *lying, flags string) error {
	var since int64
	err := e.tx.Each("SELECT gen_from FROM past_flags WHERE placement = ? AND gen_to = ? AND flags = ?", []any{p.id, e.gen, flags}, func(rows *sql.Rows) error {
		return rows.Scan(&since)
	})
	if err != nil || since == 0 {
		return err
	}
	p.flagsFrom = since
	return e.tx.Exec("DELETE FROM past_flags WHERE placement = ? AND gen_from = ?", p.id, since)
}
