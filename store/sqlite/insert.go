package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
)

// An Insert is a statement that writes rows into one table.
type Insert struct {
	// Into is the table and its columns, as they follow INSERT INTO:
	// "event (at, verb)".
	Into string
	// Else, if not empty, is what becomes of a row that is there already: an
	// ON CONFLICT clause.
	Else string
}

// insertRows is how many rows one statement writes.
const insertRows = 50

// Insert writes n rows with few statements. row appends to args the columns of
// row i, each an int64, string, []byte or nil: the driver takes no others,
// and they are not converted. Each value costs a call into SQLite: what all the
// rows of a statement agree on is handed over once.
//
// If a statement fails, what those before it wrote remains in the transaction.
func (t *Tx) Insert(in Insert, n int, row func(args []any, i int) []any) error {
	if t.conn == nil {
		return fmt.Errorf("%s: nothing is written in a View", t.db.path)
	}
	w := inserting{Insert: in, tx: t}
	for i := range n {
		w.args = row(w.args, i)
		if w.rows++; w.rows == insertRows || i == n-1 {
			if err := w.write(); err != nil {
				return err
			}
		}
	}
	return nil
}

// inserting are rows on their way into a table.
type inserting struct {
	Insert
	tx     *Tx
	args   []any // of the rows of one statement, one after the other
	rows   int   // in args
	bound  []driver.NamedValue
	shared []bool // columns in which the rows agree; fewer with each statement

	text       string // the statement for so many rows and shared columns
	textRows   int
	textShared int
}

func (w *inserting) write() error {
	w.share()
	w.bind()
	w.tx.db.watch(w.text)
	err := w.tx.conn.Raw(func(conn any) error {
		_, err := conn.(driver.ExecerContext).ExecContext(context.WithoutCancel(w.tx.ctx), w.text, w.bound)
		return err
	})
	w.args, w.rows = w.args[:0], 0
	return w.tx.db.grade(err)
}

// share finds the columns in which all rows have one value. A column that had
// several before stays apart, so that few different statements are prepared.
func (w *inserting) share() {
	columns := len(w.args) / w.rows
	if w.shared == nil {
		w.shared = make([]bool, columns)
		for c := range w.shared {
			w.shared[c] = true
		}
	}
	count := 0
	for c := range w.shared {
		for r := 1; r < w.rows && w.shared[c]; r++ {
			w.shared[c] = same(w.args[c], w.args[r*columns+c])
		}
		if w.shared[c] {
			count++
		}
	}
	if w.text == "" || w.textRows != w.rows || w.textShared != count {
		w.text, w.textRows, w.textShared = w.statement(count), w.rows, count
	}
}

// same compares two values. Slices of bytes count as different.
func same(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case int64:
		b, ok := b.(int64)
		return ok && a == b
	case string:
		b, ok := b.(string)
		return ok && a == b
	}
	return false
}

// statement is the text: the numbers of shared parameters come first, then
// those of the rows.
func (w *inserting) statement(shared int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + w.Into + " VALUES ")
	own := shared
	for r := range w.rows {
		if r > 0 {
			b.WriteByte(',')
		}
		common := 0
		for c, is := range w.shared {
			if c == 0 {
				b.WriteString("(?")
			} else {
				b.WriteString(",?")
			}
			number := &own
			if is {
				number = &common
			}
			*number++
			b.WriteString(strconv.Itoa(*number))
		}
		b.WriteByte(')')
	}
	b.WriteString(" " + w.Else)
	return b.String()
}

// bind puts the values in the order of their numbers.
func (w *inserting) bind() {
	w.bound = w.bound[:0]
	add := func(value any) {
		w.bound = append(w.bound, driver.NamedValue{Ordinal: len(w.bound) + 1, Value: value})
	}
	for c, is := range w.shared {
		if is {
			add(w.args[c])
		}
	}
	columns := len(w.shared)
	for i, value := range w.args {
		if !w.shared[i%columns] {
			add(value)
		}
	}
}
