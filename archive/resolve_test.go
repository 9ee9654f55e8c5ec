package archive

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// TestAnEffectIsFoundByItsName: of equal messages, each put is found by the
// token that it was given, and one that did not happen is not taken for
// another; a move is found by where it came from.
func TestAnEffectIsFoundByItsName(t *testing.T) {
	a := open(t, Options{NoSync: true})
	r := begin(t, a)
	for _, name := range []mail.MailboxName{"INBOX", "Work"} {
		if _, err := r.Create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	bound := map[mail.BoxID]mail.MailboxName{1: "INBOX", 2: "Work"}
	r.Bind(bound)
	batch, err := r.Put(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	tokens := []string{"first", "second"}
	for i, token := range tokens {
		in := modelMessage{body: bodyOf(1)}.incoming(i)
		in.Item.Token = token
		if err := batch.Add(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	placed, err := batch.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal, err := r.Put(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := equal.Add(t.Context(), modelMessage{body: bodyOf(1)}.incoming(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := equal.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = begin(t, a) // the next run
	r.Bind(bound)
	resolve := func(in plan.Intent) plan.Found {
		t.Helper()
		found, err := r.Resolve(t.Context(), in, nil)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for _, p := range placed {
		in := plan.Intent{Kind: plan.IntentPut, To: 1, Item: mail.Item{Token: tokens[p.Tag], Ident: p.Ident}}
		if found := resolve(in); found.State != plan.FoundThere || found.At.Ref != p.Ref {
			t.Errorf("%s is at %s, found was %+v", tokens[p.Tag], p.Ref, found)
		}
		in.Item.Token = "third"
		if found := resolve(in); found.State != plan.FoundAbsent {
			t.Errorf("what never happened is found: %+v", found)
		}
	}
	from := plan.Place{Box: 1, Ref: placed[0].Ref}
	move := plan.Intent{Kind: plan.IntentMove, To: 2, From: from, Item: mail.Item{Ident: placed[0].Ident}}
	if found := resolve(move); found.State != plan.FoundAbsent {
		t.Errorf("a move that never happened is found: %+v", found)
	}
	var at plan.Place
	if err := r.Do(t.Context(), []plan.Op{{Kind: plan.OpMove, From: from, To: 2}}, func(out []plan.Outcome) error {
		at = out[0].At
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if found := resolve(move); found.State != plan.FoundThere || found.At != at {
		t.Errorf("it moved to %v, found was %+v", at, found)
	}
}
