package maildir

import (
	"fmt"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// overlapping is what batch k holds: every message has a token, some have
// keywords that no mailbox knows yet, and the last is there already.
func overlapping(k, n int) []plan.Incoming {
	in := make([]plan.Incoming, n)
	for i := range in {
		item := mail.Item{Token: mail.Token("x", mail.Inbox, "1", mail.Ref(fmt.Sprint(k, i))), Date: firstDay}
		if i%3 == 0 {
			item.Flags = mail.NewFlagSet(mail.Seen, mail.Flag(fmt.Sprintf("word%d", k)))
		}
		in[i] = incoming(i, letter(k*1000+i), item)
	}
	if k > 1 {
		last := mail.Item{Token: mail.Token("x", mail.Inbox, "1", mail.Ref(fmt.Sprint(k-2, 0))), Date: firstDay}
		in[n-1] = incoming(n-1, letter((k-2)*1000), last)
	}
	return in
}

// TestOverlap fills each batch while the one before it is committed, in the
// same mailbox and in another.
func TestOverlap(t *testing.T) { bothWays(t, testOverlap) }

func testOverlap(t *testing.T, by way) {
	fx := newFixture(t, by(Options{FSync: true}))
	fx.make(mail.Inbox, "Work")
	fx.write("x", "INBOX", "cur", "1.theirs:2,S")
	const batches, n = 12, 200
	committed := make(chan struct{})
	close(committed)
	for k := range batches {
		box := []mail.MailboxName{mail.Inbox, mail.Inbox, "Work"}[k/2%3]
		b, err := fx.Put(t.Context(), fx.ids[box])
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range overlapping(k, n) {
			if err := b.Add(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		<-committed
		next := make(chan struct{})
		committed = next
		go func() {
			defer close(next)
			placed, err := b.Commit(t.Context())
			if err != nil || len(placed) != n {
				t.Errorf("batch %d: %d placed, %v", k, len(placed), err)
			}
			for _, p := range placed {
				if p.Err != nil || p.Ref == "" {
					t.Errorf("batch %d: %+v", k, p)
				}
			}
		}()
	}
	<-committed
	inbox, _ := fx.scan(mail.Inbox)
	work, _ := fx.scan("Work")
	// In the same mailbox a message that was there already is not there twice.
	wantEqual(t, "messages", len(inbox)+len(work), 1+batches*n-countAgain(batches))
	wantEqual(t, "left in tmp", len(fx.files("INBOX", "tmp"))+len(fx.files("Work", "tmp")), 0)
}

// countAgain is how many batches end in a message that their mailbox had.
func countAgain(batches int) (n int) {
	box := func(k int) int { return []int{0, 0, 1}[k/2%3] }
	for k := 2; k < batches; k++ {
		if box(k) == box(k-2) {
			n++
		}
	}
	return n
}

// TestOverlapWaitsForNothing: a batch can be begun, filled and thrown away
// while the one before it waits for the disk, and while it places its files.
func TestOverlapWaitsForNothing(t *testing.T) { bothWays(t, testOverlapWaitsForNothing) }

func testOverlapWaitsForNothing(t *testing.T, by way) {
	var meanwhile func()
	at := map[string]bool{}
	opt := Options{FSync: true, seam: func(call, _ string, do func() error) error {
		if step := meanwhile; step != nil && !at[call] && (call == "sync the file system of" || call == "rename" || call == "link" || call == "sync directory") {
			at[call], meanwhile = true, nil // not within itself
			step()
			meanwhile = step
		}
		return do()
	}}
	fx := newFixture(t, by(opt))
	fx.make(mail.Inbox)
	b, err := fx.Put(t.Context(), fx.ids[mail.Inbox])
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range overlapping(0, 2*maxOpen) {
		if err := b.Add(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	meanwhile = func() {
		other, err := fx.Put(t.Context(), fx.ids[mail.Inbox])
		if err != nil {
			t.Error(err)
			return
		}
		for _, in := range overlapping(5, 3) {
			if err := other.Add(t.Context(), in); err != nil {
				t.Error(err)
			}
		}
		wantEqual(t, "staged", len(other.(*batch).open), 3)
		other.Abort()
	}
	placed, err := b.Commit(t.Context())
	if err != nil || len(placed) != 2*maxOpen {
		t.Errorf("%d placed, %v", len(placed), err)
	}
	wantEqual(t, "while it placed its files", at["link"], fx.Durability().Linked > 0)
	delete(at, "link") // keywords are renamed in any case
	wantEqual(t, "times that a batch was filled", len(at), 3)
	wantEqual(t, "left in tmp", len(fx.files("INBOX", "tmp")), 0)
}
