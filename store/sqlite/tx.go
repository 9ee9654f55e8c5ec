package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// A Tx is a transaction that is under way. It is good until the function
// that it was handed to returns.
type Tx struct {
	db  *DB
	ctx context.Context
	tx  *sql.Tx
	// conn is what tx is of, for Insert; nil in a View.
	conn *sql.Conn
}

// Update runs fn in one transaction. It commits, durably, if fn returns nil;
// otherwise, or if the commit fails, nothing of it remains. fn must not call
// Update: there is one writing connection, and fn has it.
//
// A context that has ended is honoured before the transaction begins and not
// after: it is short, and half of it is of no use to anyone.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return db.update(ctx, fn, false)
}

// UpdateLoose is Update without a wait for the disk: a crash of the machine, not
// of the process, may take the transaction back, and then all that came
// after it as well. The next Update makes it durable.
func (db *DB) UpdateLoose(ctx context.Context, fn func(*Tx) error) error {
	return db.update(ctx, fn, true)
}

func (db *DB) update(ctx context.Context, fn func(*Tx) error, loose bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if db.write == nil {
		return fmt.Errorf("%s is open for reading only", db.path)
	}
	// The driver starts a goroutine for every statement whose context can end.
	ctx = context.WithoutCancel(ctx)
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return db.grade(err)
	}
	defer func() { _ = conn.Close() }() // back to the pool: nothing to tell
	if loose {
		if err := db.synchronous(ctx, conn, "NORMAL"); err != nil {
			return err
		}
		// Should it fail, what was committed stands all the same.
		defer func() { _ = db.synchronous(ctx, conn, "FULL") }()
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return db.grade(err)
	}
	done := false
	defer func() {
		if !done { // fn panicked
			_ = tx.Rollback()
		}
	}()
	err = fn(&Tx{db: db, ctx: ctx, tx: tx, conn: conn})
	done = true
	if err != nil {
		if back := tx.Rollback(); back != nil {
			err = errors.Join(err, db.grade(back))
		}
		return err
	}
	return db.grade(tx.Commit())
}

// synchronous says how durable the transactions of a connection are. If that
// fails, the connection is not used again: a new one is as every one begins.
func (db *DB) synchronous(ctx context.Context, conn *sql.Conn, mode string) error {
	pragma := "PRAGMA synchronous = " + mode
	db.watch(pragma)
	_, err := conn.ExecContext(ctx, pragma)
	if err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	return db.grade(err)
}

// View runs fn on one snapshot of the database, which writers do not disturb.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	tx, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return db.grade(err)
	}
	err = fn(&Tx{db: db, ctx: ctx, tx: tx})
	if back := tx.Rollback(); err == nil && !errors.Is(back, sql.ErrTxDone) {
		err = db.grade(back)
	}
	return err
}

// Each calls row for every row of the query's answer; an error of row ends it
// and is returned as it is. row may write to the database: the answer is
// that of before.
func (db *DB) Each(ctx context.Context, query string, args []any, row func(*sql.Rows) error) error {
	db.watch(query)
	rows, err := db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return db.grade(err)
	}
	return db.each(rows, row)
}

// Each is DB.Each within the transaction.
func (t *Tx) Each(query string, args []any, row func(*sql.Rows) error) error {
	t.db.watch(query)
	rows, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return t.db.grade(err)
	}
	return t.db.each(rows, row)
}

func (db *DB) watch(statement string) {
	if db.Watch != nil {
		db.Watch(statement)
	}
}

func (db *DB) each(rows *sql.Rows, row func(*sql.Rows) error) error {
	defer func() { _ = rows.Close() }() // its error is that of Err
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return db.grade(rows.Err())
}

// Exec runs a statement, or, without args, several.
func (t *Tx) Exec(query string, args ...any) error {
	t.db.watch(query)
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return t.db.grade(err)
}
