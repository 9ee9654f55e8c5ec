package archive

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// A Generation is the state that one run left.
type Generation struct {
	Number       int64
	Began, Ended time.Time // Ended is zero while it is under way
	// Complete: the run saw every mailbox, and every message of each is in the
	// archive or in quarantine. Only such a generation is offered to restore.
	Complete bool
	Why      string // why it is not complete, for a person
	// Messages that came, went, changed their flags and moved to another
	// mailbox since the generation before.
	Came, Went, Changed, Moved int
	Mailboxes, Messages        int   // that it holds
	Bytes                      int64 // of the messages that it holds, each as often as it lies there
	Stored                     int64 // bytes of the message files that it added
	Retired                    time.Time
}

const generationColumns = "n, began, ended, complete, why, came, went, changed, moved, mailboxes, messages, bytes, stored, retired"

func scanGeneration(rows *sql.Rows) (g Generation, err error) {
	var began, ended, retired int64
	err = rows.Scan(&g.Number, &began, &ended, &g.Complete, &g.Why, &g.Came, &g.Went, &g.Changed, &g.Moved,
		&g.Mailboxes, &g.Messages, &g.Bytes, &g.Stored, &retired)
	g.Began, g.Ended, g.Retired = fromMoment(began), fromMoment(ended), fromMoment(retired)
	return g, err
}

// Generations lists all generations, the oldest first: also those that are not
// complete, are retired, or are under way.
func (a *Archive) Generations(ctx context.Context) ([]Generation, error) {
	return a.generations(ctx, "ORDER BY n")
}

// Generation gives the generation of a number. Errors: ErrNoGeneration.
func (a *Archive) Generation(ctx context.Context, n int64) (Generation, error) {
	list, err := a.generations(ctx, "WHERE n = ?", n)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: #%d", ErrNoGeneration, n)
	}
	if err != nil {
		return Generation{}, err
	}
	return list[0], nil
}

// AsOf gives the latest complete generation that ended at or before t and is
// not retired. Errors: ErrNoGeneration.
func (a *Archive) AsOf(ctx context.Context, t time.Time) (Generation, error) {
	list, err := a.generations(ctx, "WHERE complete AND retired = 0 AND ended <= ? ORDER BY n DESC LIMIT 1", moment(t))
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: none was complete by %s", ErrNoGeneration, t.Format(time.RFC3339))
	}
	if err != nil {
		return Generation{}, err
	}
	return list[0], nil
}

// Latest gives the newest complete generation that is not retired. Errors:
// ErrNoGeneration.
func (a *Archive) Latest(ctx context.Context) (Generation, error) {
	list, err := a.generations(ctx, "WHERE complete AND retired = 0 ORDER BY n DESC LIMIT 1")
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: none is complete yet", ErrNoGeneration)
	}
	if err != nil {
		return Generation{}, err
	}
	return list[0], nil
}

func (a *Archive) generations(ctx context.Context, where string, args ...any) (list []Generation, err error) {
	err = a.each(ctx, "SELECT "+generationColumns+" FROM generation "+where, args, func(rows *sql.Rows) error {
		g, err := scanGeneration(rows)
		list = append(list, g)
		return err
	})
	return list, fault(err)
}
