package engine_test

import (
	"maps"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

// talkative is a side that has words in the index.
type talkative struct {
	engine.Writer
	recalled []map[string]string
	words    map[string]string
}

func (s *talkative) Recall(words map[string]string) { s.recalled = append(s.recalled, words) }
func (s *talkative) Learned() map[string]string     { return s.words }

func TestASideGetsItsWordsBack(t *testing.T) {
	w := newWorld()
	said := map[string]string{"separator": "/", "prefix": "me."}
	var side *talkative
	listens := func(o *engine.Options) {
		side = &talkative{Writer: o.Remote, words: said}
		o.Remote = side
	}
	w.remote.Deliver("INBOX", letter(0), mail.FlagSet{}, day)
	w.run(t, listens)
	need(t, len(side.recalled) == 0, "before the first run there was %v", side.recalled)
	w.run(t, listens)
	writes := w.index.Writes()
	w.run(t, listens)
	need(t, len(side.recalled) == 1 && maps.Equal(side.recalled[0], said), "recalled: %v", side.recalled)
	need(t, w.index.Writes() == writes, "words that are known were written")
	said = map[string]string{"separator": ".", "prefix": "INBOX."}
	w.run(t, listens)
	w.run(t, listens)
	need(t, maps.Equal(side.recalled[0], said), "recalled: %v", side.recalled)
	w.opts.Bound = "me@another"
	w.run(t, listens)
	need(t, len(side.recalled) == 0, "another server was told %v", side.recalled)
	w.run(t, func(o *engine.Options) {
		listens(o)
		o.Local = &talkative{Writer: o.Local}
	})
	need(t, len(side.recalled) == 1, "recalled: %v", side.recalled)
}
