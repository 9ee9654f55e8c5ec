package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// announced is a side that is told what it will be asked.
type announced struct {
	engine.Writer
	resolves []plan.Intent
}

func (a *announced) ExpectScans([]plan.Expected)        {}
func (a *announced) ExpectFetch(mail.BoxID, []mail.Ref) {}
func (a *announced) ExpectResolves(next []plan.Intent)  { a.resolves = next }

// TestManyMovesAreRecordedTogether: what is found of many interrupted moves is
// written at once, and the server is told beforehand what it will be asked.
func TestManyMovesAreRecordedTogether(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 0, 60)
	w.fill(t, "Work", 100, 1)
	w.agree(t)
	rows, err := w.index.RowsByState(t.Context(), plan.Paired)
	need(t, err == nil && len(rows) == 61, "%d rows, %v", len(rows), err)
	var work plan.Row
	for _, row := range rows {
		if row.Ident[plan.Remote].Light == lightOf(t, letter(100)) {
			work = row
		}
	}
	var intents []plan.Intent
	for _, row := range rows {
		if row.ID == work.ID {
			continue
		}
		intents = append(intents, plan.Intent{
			Kind: plan.IntentMove, Side: plan.Remote, To: work.At[plan.Remote].Box, From: row.At[plan.Remote], FromEpoch: row.Epoch[plan.Remote],
			Row: row.ID, Epoch: work.Epoch[plan.Remote], Next: 2, Item: mail.Item{Ident: row.Ident[plan.Remote]}, At: w.now,
		})
	}
	err = w.index.Begin(t.Context(), intents)
	need(t, err == nil, "%v", err)
	for n := range 60 {
		w.remote.Move("INBOX", find(w.remote, "INBOX", n), "Work", true)
		w.local.Move("INBOX", find(w.local, "INBOX", n), "Work", true)
	}
	before, told := w.index.Writes(), &announced{}
	rep := w.run(t, func(o *engine.Options) {
		told.Writer = o.Remote
		o.Remote = told
	})
	need(t, rep.Exit() == 0 && len(w.actions()) <= 60, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
	if n := w.index.Writes() - before; n > 4 {
		t.Errorf("%d transactions for 60 moves", n)
	}
	if got := fmt.Sprint(len(told.resolves), told.resolves[0].From); got != fmt.Sprint(60, intents[0].From) {
		t.Errorf("announced were %s", got)
	}
	w.agree(t)
}

func lightOf(t *testing.T, body string) mail.Digest {
	id, err := mail.Identify(strings.NewReader(body))
	need(t, err == nil, "%v", err)
	return id.Light
}
