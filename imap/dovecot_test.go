package imap_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func TestSurveyIsOneCommand(t *testing.T) {
	b := newBench(t)
	b.create("A", "B", "C/D")
	b.connect(nil)
	b.commands()
	boxes := b.survey(nil)
	if sent := b.commands(); len(sent) != 1 || !strings.HasPrefix(sent[0], "LIST") {
		t.Errorf("it took %q", sent)
	}
	if box := boxes["A"]; box.Epoch == "" || box.Next != 1 || box.Count != 0 {
		t.Errorf("A is %+v", box)
	}
}

func TestADeltaWithQRESYNCTellsWhatVanished(t *testing.T) {
	b := newBench(t)
	placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2)))
	b.survey(nil)
	_, sc := b.scan("INBOX", plan.Since{})
	since := plan.Since{Cursor: sc.Cursor, Epoch: sc.Epoch, Known: 3}
	b.do(plan.Op{Kind: plan.OpFlags, From: b.at("INBOX", placed[1].Ref), Add: mail.NewFlagSet(mail.Flagged)},
		plan.Op{Kind: plan.OpDelete, From: b.at("INBOX", placed[0].Ref)})
	b.put("INBOX", incoming(0, message(3)))
	b.survey(map[mail.MailboxName]plan.Since{"INBOX": since})
	b.commands()
	trips := b.side.Stats().RoundTrips
	seen, sc2 := b.scan("INBOX", since)
	if sent := b.commands(); len(sent) != 2 || !strings.Contains(sent[0], "(QRESYNC (") || b.side.Stats().RoundTrips != trips+1 {
		t.Errorf("it took %q", sent)
	}
	if len(seen) != 3 || sc2.Full || !sc2.Complete || sc2.Count != 3 {
		t.Errorf("seen %v, %+v", seen, sc2)
	}
	flagged, gone, fresh := seen[placed[1].Ref], seen[placed[0].Ref], seen["4"]
	if !gone.Gone || flagged.Gone || !flagged.Item.Flags.Has(mail.Flagged) || fresh.Item.Ident.Size != int64(len(message(3))) ||
		!fresh.Item.Date.Equal(time.Unix(1_600_000_000, 0)) {
		t.Errorf("seen %v", seen)
	}
	box := b.survey(map[mail.MailboxName]plan.Since{"INBOX": {Cursor: sc2.Cursor, Epoch: sc2.Epoch, Known: 3}})["INBOX"]
	if box.State != plan.Same {
		t.Errorf("after it the state is %v: %q, %q", box.State, sc2.Cursor, box.Cursor)
	}
}

func TestNothingNewIsSameAndADeltaCostsWhatChanged(t *testing.T) {
	b := newBench(t, imaptest.Capabilities("IMAP4rev1", "UIDPLUS", "MOVE", "CONDSTORE", "ESEARCH", "NAMESPACE", "LIST-EXTENDED", "LIST-STATUS", "UNSELECT"))
	placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2)))
	b.survey(nil)
	_, sc := b.scan("INBOX", plan.Since{})
	since := plan.Since{Cursor: sc.Cursor, Epoch: sc.Epoch, Known: 3}
	if box := b.survey(map[mail.MailboxName]plan.Since{"INBOX": since})["INBOX"]; box.State != plan.Same {
		t.Errorf("after a scan the state is %v: %q, %q", box.State, sc.Cursor, box.Cursor)
	}
	b.do(plan.Op{Kind: plan.OpFlags, From: b.at("INBOX", placed[1].Ref), Add: mail.NewFlagSet(mail.Flagged)})
	if box := b.survey(map[mail.MailboxName]plan.Since{"INBOX": since})["INBOX"]; box.State != plan.Changed {
		t.Errorf("after a flag the state is %v", box.State)
	}
	b.commands()
	seen, sc2 := b.scan("INBOX", since)
	if sent := b.commands(); len(sent) > 3 || !anyContains(sent, "CHANGEDSINCE") {
		t.Errorf("it took %q", sent)
	}
	if len(seen) != 1 || sc2.Full || !sc2.Complete || sc2.Count != 3 {
		t.Errorf("seen %v, %+v", seen, sc2)
	}
	b.do(plan.Op{Kind: plan.OpDelete, From: b.at("INBOX", placed[0].Ref)})
	b.survey(nil)
	seen, sc3 := b.scan("INBOX", plan.Since{Cursor: sc2.Cursor, Epoch: sc2.Epoch, Known: 3})
	if len(seen) != 2 || !sc3.Full || !sc3.Complete || !seen[placed[2].Ref].NoFlags {
		t.Errorf("seen %v, %+v", seen, sc3)
	}
}

func TestMovesCarryNoBody(t *testing.T) {
	for name, opts := range map[string][]imaptest.Option{
		"full": nil, "bare": {imaptest.Bare()},
		"no MOVE": {imaptest.Capabilities("IMAP4rev1", "UIDPLUS")},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, opts...)
			b.create("Work")
			placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)))
			b.commands()
			out := b.do(
				plan.Op{Kind: plan.OpMove, From: b.at("INBOX", placed[0].Ref), To: b.ids["Work"]},
				plan.Op{Kind: plan.OpMove, From: b.at("INBOX", placed[1].Ref), To: b.ids["Work"]},
				plan.Op{Kind: plan.OpMove, From: b.at("INBOX", "4711"), To: b.ids["Work"]})
			sent := b.commands()
			for _, line := range sent {
				if strings.Contains(line, "BODY.PEEK[]") || strings.Contains(line, "APPEND") {
					t.Errorf("a move sent %q", line)
				}
			}
			if out[2].Result != plan.Missing {
				t.Errorf("a message that is not there: %+v", out[2])
			}
			got, err := b.bodies("Work", out[0].At.Ref, out[1].At.Ref)
			if err != nil || got[out[0].At.Ref] != message(0) || got[out[1].At.Ref] != message(1) {
				t.Errorf("%+v: %q, %v", out, got, err)
			}
			if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 0 {
				t.Errorf("left behind: %v", seen)
			}
		})
	}
}

func TestExpungeWithoutUIDPlusSparesOthers(t *testing.T) {
	b := newBench(t, imaptest.Bare())
	b.create("Work")
	placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2)))
	other := b.server.Client("ann")
	if _, err := other.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	mark := &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Flags: []goimap.Flag{goimap.FlagDeleted}}
	if err := other.Store(goimap.SeqSetNum(1), mark, nil).Close(); err != nil {
		t.Fatal(err)
	}
	out := b.do(
		plan.Op{Kind: plan.OpDelete, From: b.at("INBOX", placed[1].Ref)},
		plan.Op{Kind: plan.OpMove, From: b.at("INBOX", placed[2].Ref), To: b.ids["Work"]})
	for _, o := range out {
		if o.Result != plan.Failed || !strings.Contains(fmt.Sprint(o.Err), "expunge pending") {
			t.Errorf("%+v", o)
		}
	}
	if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 3 {
		t.Errorf("%d messages are left of 3", len(seen))
	}
	if seen, _ := b.scan("Work", plan.Since{}); len(seen) != 0 {
		t.Errorf("a move that could not be finished left a copy: %v", seen)
	}
	if anyContains(b.commands(), "CLOSE") {
		t.Error("CLOSE was sent")
	}
}

func TestReadOnlyMailboxDeclines(t *testing.T) {
	b := newBench(t, imaptest.ReadOnly("Frozen"))
	file := filepath.Join(b.server.Dir, "message")
	if err := os.WriteFile(file, []byte(message(0)), 0o644); err != nil {
		t.Fatal(err)
	}
	b.server.Doveadm("-o", "mail_plugins=", "mailbox", "create", "-u", "ann", "Frozen")
	b.server.Doveadm("-o", "mail_plugins=", "save", "-u", "ann", "-m", "Frozen", file)
	b.survey(nil)
	seen, sc := b.scan("Frozen", plan.Since{})
	if sc.Rights != plan.ReadOnly || len(seen) != 1 {
		t.Errorf("%d messages, the rights are %+v", len(seen), sc.Rights)
	}
	for _, o := range b.do(
		plan.Op{Kind: plan.OpFlags, From: b.at("Frozen", "1"), Add: mail.NewFlagSet(mail.Seen)},
		plan.Op{Kind: plan.OpMove, From: b.at("Frozen", "1"), To: b.ids["INBOX"]},
		plan.Op{Kind: plan.OpDelete, From: b.at("Frozen", "1")}) {
		if o.Result != plan.Declined {
			t.Errorf("%+v", o)
		}
	}
	if placed := b.put("Frozen", incoming(0, message(1))); placed[0].Err == nil || placed[0].Unknown {
		t.Errorf("a put: %+v", placed[0])
	}
}

func TestAServerThatRestartsIsFoundAgain(t *testing.T) {
	b := newBench(t)
	placed := b.put("INBOX", incoming(0, message(0)))
	b.server.Restart()
	if got, err := b.bodies("INBOX", placed[0].Ref); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	b.server.Restart()
	if out := b.do(plan.Op{Kind: plan.OpFlags, From: b.at("INBOX", placed[0].Ref), Add: mail.NewFlagSet(mail.Seen)}); out[0].Result != plan.Done {
		t.Errorf("%+v", out[0])
	}
}

func TestANewUIDValidityIsNoticed(t *testing.T) {
	b := newBench(t)
	b.create("Work")
	placed := b.put("Work", incoming(0, message(0)))
	_, sc := b.scan("Work", plan.Since{})
	other := b.server.Client("ann")
	if err := other.Delete("Work").Wait(); err != nil {
		t.Fatal(err)
	}
	if err := other.Create("Work", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	b.put("INBOX", incoming(0, message(5))) // so that Work is selected anew
	out := b.do(plan.Op{Kind: plan.OpDelete, From: b.at("Work", placed[0].Ref)})
	if out[0].Result == plan.Done {
		t.Errorf("%+v", out[0])
	}
	sure, _, err := b.side.Confirm(ctx, []plan.Gone{{At: b.at("Work", placed[0].Ref)}})
	if len(sure) != 0 {
		t.Errorf("sure of %v, %v", sure, err)
	}
	_, sc2 := b.scan("Work", plan.Since{Cursor: sc.Cursor, Epoch: sc.Epoch, Known: 1})
	if sc2.Epoch == sc.Epoch || !sc2.Full {
		t.Errorf("%+v after %+v", sc2, sc)
	}
}

func TestNewMailDoesNotHoldBackLossesItCannotExplain(t *testing.T) {
	for name, opts := range map[string][]imaptest.Option{"full": nil, "bare": {imaptest.Bare()}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, opts...)
			b.create("Work")
			placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2)))
			var gone []plan.Gone
			for i, p := range placed {
				gone = append(gone, plan.Gone{At: b.at("INBOX", p.Ref), Ident: p.Ident})
				if i < 2 {
					b.do(plan.Op{Kind: plan.OpDelete, From: gone[i].At})
				}
			}
			b.survey(nil)
			b.scan("INBOX", plan.Since{})
			other := b.server.Client("ann")
			for _, n := range []int{0, 7} { // one is equal to what is gone, one is not
				text := message(n)
				cmd := other.Append("Work", int64(len(text)), nil)
				if _, err := io.WriteString(cmd, text); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := cmd.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			sure, outside, err := b.side.Confirm(ctx, gone)
			if err != nil || len(outside) != 0 || len(sure) != 1 || sure[0] != gone[1].At {
				t.Errorf("sure of %v, outside %v, %v; want %v", sure, outside, err, gone[1].At)
			}
		})
	}
}

// TestRemoveAboveEmptyNames removes a mailbox below which the server goes on to
// list a name without mail.
func TestRemoveAboveEmptyNames(t *testing.T) {
	b := newBench(t)
	b.create("Work", "Work/Deep/Deeper")
	if err := b.side.Remove(ctx, "Work"); err == nil {
		t.Error("a mailbox was removed with mailboxes below it")
	}
	for _, name := range []mail.MailboxName{"Work/Deep/Deeper", "Work"} {
		if err := b.side.Remove(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, box := range b.survey(nil) {
		if box.Name != mail.Inbox && !box.Container {
			t.Errorf("%s is still there", box.Name)
		}
	}
}

func TestProbe(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.Bare())
	r, err := imap.Probe(ctx, optionsFor(s, "ann"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Mailboxes) != 1 || r.Mailboxes[0].Name != mail.Inbox || r.Separator != "/" || len(r.Lacks) == 0 {
		t.Errorf("%+v", r)
	}
	wrong := optionsFor(s, "ann")
	wrong.Password = func(context.Context) (string, error) { return "wrong", nil }
	if _, err := imap.Probe(ctx, wrong); mail.ClassOf(err) != mail.ClassAuth {
		t.Errorf("a wrong password: %v", err)
	}
}
