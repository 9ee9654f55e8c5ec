package plan_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	. "github.com/godwit-mail/godwit/sync/plan"
)

// A copy of a file that took the file's name along (cp -p) is paired with the
// message where it lies, not with the one that the name was given for.
func TestACopyThatBearsTheNameOfItsOrigin(t *testing.T) {
	body, err := mail.ParseDigest("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
	if err != nil {
		t.Fatal(err)
	}
	item := mail.Item{Ident: mail.Identity{Size: 100, Light: body, Header: body, Body: body}, Token: "t1"}
	other := item
	other.Token = "t2"
	in := Input{Policy: Mirror(), KeepsRef: [2]bool{true, false}}
	for id, name := range map[mail.BoxID]mail.MailboxName{1: "Archive", 2: "INBOX"} {
		in.Boxes = append(in.Boxes, BoxPair{
			ID: id, Name: [2]mail.MailboxName{name, name},
			View: [2]View{Complete, Complete}, There: [2]bool{true, true},
		})
	}
	in.Changes = []Change{
		Change{Side: Local, Kind: KindNew, At: Place{Box: 1, Ref: "k"}}.Of(item),
		Change{Side: Local, Kind: KindNew, At: Place{Box: 2, Ref: "k"}}.Of(item),
		Change{Side: Remote, Kind: KindNew, At: Place{Box: 1, Ref: "7"}}.Of(other),
		Change{Side: Remote, Kind: KindNew, At: Place{Box: 2, Ref: "9"}}.Of(item),
	}
	p := Reconcile(in)
	if len(p.Binds) != 2 || len(p.Gains)+len(p.Moves)+len(p.Losses)+len(p.Asks)+len(p.Holds) != 0 {
		t.Errorf("want two messages joined and nothing done, got %+v", p)
	}
	// Where the copy is all there is, the file was moved.
	in.Changes = append(in.Changes[:1:1], in.Changes[3])
	if p = Reconcile(in); len(p.Moves) != 1 || len(p.Gains)+len(p.Losses) != 0 {
		t.Errorf("want one move, got %+v", p)
	}
}
