package store

import (
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/sync/plan"
)

// flagsBatch is how many rows one statement changes; those that are fewer are
// repeated, so that one statement serves for all.
const flagsBatch = 50

// putFlagsStatement leaves the indexes alone, whose columns putMessages names: of a
// change of flags one page is written a message, not three.
var putFlagsStatement = `UPDATE message SET local_flags = changed.column2, remote_flags = changed.column3, stat = changed.column4
	FROM (VALUES (?, ?, ?, ?)` + strings.Repeat(", (?, ?, ?, ?)", flagsBatch-1) + `) AS changed WHERE message.id = changed.column1`

// putFlags writes the flags and marks of rows that are there.
func (w *settling) putFlags() error {
	if len(w.st.Flags) == 0 {
		return nil
	}
	ids := make([]int64, len(w.st.Flags))
	for i, r := range w.st.Flags {
		ids[i] = r.ID
	}
	if err := mustExist(w.tx, "message", list(ids)); err != nil {
		return err
	}
	texts := flagTexts{}
	args := make([]any, 0, 4*flagsBatch)
	for some := range slices.Chunk(w.st.Flags, flagsBatch) {
		args = args[:0]
		for i := range flagsBatch {
			r := some[min(i, len(some)-1)]
			args = append(args, r.ID, texts.text(r.Flags[plan.Local]), texts.text(r.Flags[plan.Remote]), r.Stat)
		}
		if err := w.tx.Exec(putFlagsStatement, args...); err != nil {
			return err
		}
	}
	return nil
}
