package imap_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
)

// TestEqualMessagesAreFoundWhereLooksAlternate: a mailbox that is looked at
// again, because another was asked about meanwhile, has for each of several
// equal messages its own copy still: one that was bound already claims none.
func TestEqualMessagesAreFoundWhereLooksAlternate(t *testing.T) {
	store := imaptest.NewMailstore(fullCaps)
	store.Create("Work")
	b := scripted(t, store)
	boxes := b.survey(nil)
	intents, bodies := b.unanswered(1, boxes["INBOX"].Epoch)
	in := intents[0]
	in.Next = 1
	other := in
	other.To, other.Epoch = b.ids["Work"], boxes["Work"].Epoch
	intents = append(intents[:0], in, other, in)
	var want []mail.Ref
	for i, box := range []string{"INBOX", "Work", "INBOX"} {
		intents[i].ID = int64(i + 1)
		want = append(want, mail.Ref(fmt.Sprint(store.Deliver(box, bodies[0], time.Unix(1_600_000_000, 0)))))
	}
	b.commands()
	bound := map[string]bool{}
	b.side.ExpectResolves(intents)
	var got []mail.Ref
	for i, in := range intents {
		found, err := b.side.Resolve(ctx, in, func(ref mail.Ref) bool { return bound[fmt.Sprint(in.To, ref)] })
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		got = append(got, found.At.Ref)
		bound[fmt.Sprint(in.To, found.At.Ref)] = true
	}
	if !slices.Equal(got, want) {
		t.Errorf("found at %q, want %q", got, want)
	}
}
