package imap_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

const (
	listOne  = "* LIST () \"/\" INBOX\r\n{tag} OK done\r\n"
	statusOK = "* STATUS INBOX (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1)\r\n{tag} OK done\r\n"
	dated    = ` INTERNALDATE "01-Feb-2020 10:00:00 +0000" RFC822.SIZE 5`
)

// play opens an account on a script, surveys it and binds its mailboxes in
// the order of the survey.
func play(t *testing.T, s *imaptest.Script) (*imap.Account, []plan.Box) {
	t.Helper()
	if s.Answers == nil {
		s.Answers = map[string]string{}
	}
	for name, text := range map[string]string{"LIST": listOne, "STATUS": statusOK} {
		if _, ok := s.Answers[name]; !ok {
			s.Answers[name] = text
		}
	}
	host, port := s.Listen(t)
	a := open(t, imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann",
		Password: func(context.Context) (string, error) { return "secret", nil },
	})
	boxes, err := a.Survey(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[mail.BoxID]mail.MailboxName{}
	for i, b := range boxes {
		ids[mail.BoxID(i+1)] = b.Name
	}
	a.Bind(ids)
	return a, boxes
}

func scanOf(a *imap.Account, since plan.Since) (map[mail.Ref]plan.Seen, plan.Scanned, error) {
	return scanIn(ctx, a, since)
}

func scanIn(ctx context.Context, a *imap.Account, since plan.Since) (map[mail.Ref]plan.Seen, plan.Scanned, error) {
	seen := map[mail.Ref]plan.Seen{}
	sc, err := a.Scan(ctx, 1, since, func(s plan.Seen) error { seen[s.Ref] = s; return nil })
	return seen, sc, err
}

// fetchLines answers UID FETCH with these messages, each "(UID 1 …".
func fetchLines(items ...string) string {
	var b strings.Builder
	for i, item := range items {
		b.WriteString("* " + string(rune('1'+i)) + " FETCH (" + item + ")\r\n")
	}
	return b.String() + "{tag} OK done\r\n"
}

func TestAScanWithTooFewAnswersIsNotComplete(t *testing.T) {
	for name, text := range map[string]string{
		"one missing":  fetchLines("UID 1 FLAGS ()"+dated, "UID 2 FLAGS ()"+dated),
		"one doubled":  fetchLines("UID 1 FLAGS ()"+dated, "UID 2 FLAGS ()"+dated, "UID 2 FLAGS ()"+dated),
		"none":         "{tag} OK done\r\n",
		"more exist":   "* 9 EXISTS\r\n" + fetchLines("UID 1 FLAGS ()"+dated, "UID 2 FLAGS ()"+dated, "UID 3 FLAGS ()"+dated),
		"one expunged": strings.Replace(fetchLines("UID 1 FLAGS ()"+dated, "UID 2 FLAGS ()"+dated, "UID 3 FLAGS ()"+dated), "{tag}", "* 1 EXPUNGE\r\n{tag}", 1),
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := play(t, &imaptest.Script{Answers: map[string]string{"UID FETCH": text}})
			_, sc, err := scanOf(a, plan.Since{})
			if err != nil || sc.Complete || sc.Cursor != "" {
				t.Errorf("%+v, %v", sc, err)
			}
		})
	}
}

func TestAScanOfAServerWithoutUIDNEXT(t *testing.T) {
	a, boxes := play(t, &imaptest.Script{Answers: map[string]string{
		"EXAMINE":   "* 3 EXISTS\r\n* OK [UIDVALIDITY 1] ok\r\n{tag} OK done\r\n",
		"UID FETCH": fetchLines("UID 1 FLAGS (\\Seen)"+dated, "UID 2 FLAGS ()"+dated, "UID 7 FLAGS ()"+dated),
		"STATUS":    "* STATUS INBOX (MESSAGES 3 UIDVALIDITY 1)\r\n{tag} OK done\r\n",
	}})
	if boxes[0].Next != 0 || boxes[0].State != plan.Unknown {
		t.Errorf("%+v", boxes[0])
	}
	seen, sc, err := scanOf(a, plan.Since{})
	if err != nil || !sc.Complete || !sc.Full || len(seen) != 3 || sc.Next != 8 || !seen["1"].Item.Flags.Has(mail.Seen) {
		t.Errorf("%v, %+v, %v", seen, sc, err)
	}
}

func TestARefusedStatusDoesNotStopTheSurvey(t *testing.T) {
	s := &imaptest.Script{Answers: map[string]string{
		"LIST": "* LIST () \"/\" INBOX\r\n* LIST () \"/\" Locked\r\n* LIST (\\Noselect) \"/\" Top\r\n* LIST () \"/\" Bad&Name\r\n{tag} OK done\r\n",
	}}
	s.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if cmd.Name == "STATUS" && strings.Contains(cmd.Args, "Locked") {
			return p.Send(cmd.Tag + " NO [INUSE] locked\r\n")
		}
		return false
	}
	a, boxes := play(t, s)
	if len(boxes) != 3 || boxes[0].Epoch != "1" || boxes[1].Epoch != "" || boxes[1].State != plan.Unknown || !boxes[2].Container {
		t.Errorf("%+v", boxes)
	}
	if r := a.Refused(); len(r) != 1 || r[0].Name != "Bad&Name" {
		t.Errorf("refused: %v", r)
	}
}

func TestRefusalsHaveGradeAndClass(t *testing.T) {
	for code, class := range map[string]mail.Class{
		"[INUSE]": mail.ClassThrottle, "[UNAVAILABLE]": mail.ClassThrottle, "[NONEXISTENT]": mail.ClassServer,
		"[NOPERM]": mail.ClassServer, "[OVERQUOTA]": mail.ClassQuota, "": mail.ClassServer,
	} {
		a, _ := play(t, &imaptest.Script{Answers: map[string]string{"EXAMINE": "{tag} NO " + code + " no\r\n"}})
		_, _, err := scanOf(a, plan.Since{})
		if mail.GradeOf(err, 0) != mail.GradeMailbox || mail.ClassOf(err) != class {
			t.Errorf("%s: %v is %v, %v", code, err, mail.GradeOf(err, 0), mail.ClassOf(err))
		}
		if _, err := a.Survey(ctx, nil); err != nil {
			t.Errorf("%s: the side is of no use after it: %v", code, err)
		}
	}
}

func bodiesOf(a *imap.Account, refs ...mail.Ref) (map[mail.Ref]string, map[mail.Ref]mail.Item, error) {
	got, items := map[mail.Ref]string{}, map[mail.Ref]mail.Item{}
	err := a.Fetch(ctx, 1, refs, func(ref mail.Ref, item mail.Item, r io.Reader) error {
		raw, err := io.ReadAll(r)
		got[ref], items[ref] = got[ref]+string(raw), item
		return err
	})
	return got, items, err
}

func TestAMessageWithoutABodyIsAFaultOfItsOwn(t *testing.T) {
	a, _ := play(t, &imaptest.Script{Answers: map[string]string{
		"UID FETCH": fetchLines("UID 1 FLAGS ()"+dated+" BODY[] {5}\r\nhello", "UID 2 FLAGS ()"+dated+" BODY[] NIL", "UID 3 FLAGS ()"+dated+" BODY[] {2}\r\nhi"),
	}})
	got, _, err := bodiesOf(a, "1", "2", "3")
	if mail.GradeOf(err, 0) != mail.GradeMessage || len(got) != 2 || got["1"] != "hello" || got["3"] != "hi" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestItemsBehindTheBodyBelongToIt(t *testing.T) {
	a, _ := play(t, &imaptest.Script{Answers: map[string]string{
		"UID FETCH": fetchLines("UID 1 BODY[] {5}\r\nhello FLAGS (\\Seen)" + dated),
	}})
	got, items, err := bodiesOf(a, "1")
	if err != nil || got["1"] != "hello" || !items["1"].Flags.Has(mail.Seen) || items["1"].Date.IsZero() {
		t.Errorf("%q, %+v, %v", got, items, err)
	}
}

func TestMessagesNotAskedForAreNotHandedOver(t *testing.T) {
	a, _ := play(t, &imaptest.Script{Answers: map[string]string{
		"UID FETCH": fetchLines("UID 9 FLAGS ()"+dated+" BODY[] {5}\r\nwrong", "UID 1 FLAGS ()"+dated+" BODY[] {5}\r\nhello"),
	}})
	got, _, err := bodiesOf(a, "1")
	if err != nil || len(got) != 1 || got["1"] != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestACutInsideALiteralNeverLooksWhole(t *testing.T) {
	var tries atomic.Int64
	s := &imaptest.Script{}
	s.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if cmd.Name == "UID FETCH" && tries.Add(1) == 1 {
			p.Send("* 1 FETCH (UID 1 FLAGS ()" + dated + " BODY[] {5}\r\nhe" + imaptest.Drop)
			return true
		}
		return false
	}
	s.Answers = map[string]string{"UID FETCH": fetchLines("UID 1 FLAGS ()" + dated + " BODY[] {5}\r\nhello")}
	a, _ := play(t, s)
	got, _, err := bodiesOf(a, "1")
	if err != nil || got["1"] != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAbsurdSetsOfUIDsAreRefused(t *testing.T) {
	for _, answer := range []string{"* ESEARCH (TAG \"{tag}\") UID ALL 1:4294967295\r\n", "* SEARCH 0\r\n", "* ESEARCH (TAG \"{tag}\") UID ALL 1:*\r\n"} {
		a, _ := play(t, &imaptest.Script{
			Caps: "IMAP4rev1 CONDSTORE ESEARCH",
			Answers: map[string]string{
				"EXAMINE":    "* 3 EXISTS\r\n* OK [UIDVALIDITY 1] ok\r\n* OK [UIDNEXT 9] ok\r\n* OK [HIGHESTMODSEQ 7] ok\r\n{tag} OK done\r\n",
				"UID FETCH":  "{tag} OK done\r\n",
				"UID SEARCH": answer + "{tag} OK done\r\n",
			},
		})
		if _, sc, err := scanOf(a, plan.Since{Cursor: "1:9:5:5", Epoch: "1", Known: 5}); err == nil && sc.Complete {
			t.Errorf("%q gave %+v", answer, sc)
		}
	}
}

func TestARefusedAppendNamesItsReasonAndLosesNothingElse(t *testing.T) {
	s := &imaptest.Script{Answers: map[string]string{
		"APPEND":    "{tag} OK [APPENDUID 1 10] done\r\n",
		"UID FETCH": fetchLines("UID 10 FLAGS ()" + dated + " BODY[] {5}\r\nhello"),
	}, Caps: "IMAP4rev1 UIDPLUS"}
	var appends atomic.Int64
	s.Refuse = func(cmd imaptest.Command) string {
		if cmd.Name == "APPEND" && appends.Add(1) == 1 {
			return cmd.Tag + " NO [OVERQUOTA] full\r\n"
		}
		return ""
	}
	a, _ := play(t, s)
	batch, err := a.Put(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := batch.Add(ctx, incoming(i, message(i))); err != nil {
			t.Fatal(err)
		}
	}
	placed, err := batch.Commit(ctx)
	if err != nil || len(placed) != 2 || mail.ClassOf(placed[0].Err) != mail.ClassQuota || placed[0].Unknown || placed[1].Ref != "10" {
		t.Errorf("%+v, %v", placed, err)
	}
	if n := a.Stats().Connections; n > 2 {
		t.Errorf("%d connections", n)
	}
	if got, _, err := bodiesOf(a, "10"); err != nil || got["10"] != "hello" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestAnAppendThatIsNeverAnsweredIsUnknown(t *testing.T) {
	s := &imaptest.Script{Caps: "IMAP4rev1 UIDPLUS", Answers: map[string]string{
		"APPEND":    imaptest.Drop,
		"UID FETCH": "{tag} OK done\r\n",
	}}
	a, _ := play(t, s)
	batch, err := a.Put(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Add(ctx, incoming(7, message(7))); err != nil {
		t.Fatal(err)
	}
	placed, err := batch.Commit(ctx)
	if err != nil || len(placed) != 1 || !placed[0].Unknown || placed[0].Ref != "" || placed[0].Tag != 7 {
		t.Errorf("%+v, %v", placed, err)
	}
}

func TestAServerThatKeepsCuttingIsGivenUp(t *testing.T) {
	a, _ := play(t, &imaptest.Script{Answers: map[string]string{"EXAMINE": imaptest.Drop}})
	var last error
	for range 10 {
		_, _, last = scanOf(a, plan.Since{})
	}
	if mail.GradeOf(last, 0) != mail.GradeAccount || mail.ClassOf(last) != mail.ClassNetwork {
		t.Errorf("%v is %v, %v", last, mail.GradeOf(last, 0), mail.ClassOf(last))
	}
}

func TestGlobalIDsAreAskedForWhereOffered(t *testing.T) {
	for caps, item := range map[string]string{"OBJECTID": "EMAILID (M12)", "X-GM-EXT-1": "X-GM-MSGID 1278"} {
		var asked atomic.Bool
		s := &imaptest.Script{Caps: "IMAP4rev1 " + caps, Answers: map[string]string{
			"UID FETCH": fetchLines("UID 1 FLAGS () "+item+dated, "UID 2 FLAGS ()"+dated, "UID 3 FLAGS ()"+dated),
		}}
		s.Handle = func(_ *imaptest.Peer, cmd imaptest.Command) bool {
			if cmd.Name == "UID FETCH" && strings.Contains(cmd.Args, strings.Fields(item)[0]) {
				asked.Store(true)
			}
			return false
		}
		a, _ := play(t, s)
		seen, _, err := scanOf(a, plan.Since{})
		if err != nil || !asked.Load() || seen["1"].Item.Ident.GlobalID == "" || seen["2"].Item.Ident.GlobalID != "" {
			t.Errorf("%s: asked %v, %+v, %v", caps, asked.Load(), seen["1"], err)
		}
	}
}

func TestWhatCannotBeToldIsNotResolved(t *testing.T) {
	a, _ := play(t, &imaptest.Script{Answers: map[string]string{
		"UID FETCH": fetchLines("UID 3 FLAGS () RFC822.SIZE 5 BODY[HEADER.FIELDS (DATE)] {2}\r\n\r\n"),
	}})
	in := plan.Intent{Kind: plan.IntentPut, To: 1, Epoch: "1", Next: 3}
	for size, want := range map[int64]plan.FoundState{5: plan.FoundUnknown, 6: plan.FoundAbsent} {
		in.Item.Ident.Size = size
		if found, err := a.Resolve(ctx, in, nil); err != nil || found.State != want {
			t.Errorf("size %d: %+v, %v", size, found, err)
		}
	}
	in.Epoch, in.Item.Ident.Size = "9", 5
	if found, err := a.Resolve(ctx, in, nil); err != nil || found.State != plan.FoundUnknown {
		t.Errorf("another epoch: %+v, %v", found, err)
	}
}

func TestDeletingOnGmailMovesToTrash(t *testing.T) {
	var moved, stored atomic.Int64
	s := &imaptest.Script{Caps: "IMAP4rev1 X-GM-EXT-1 UIDPLUS MOVE SPECIAL-USE", Answers: map[string]string{
		"LIST":      "* LIST () \"/\" INBOX\r\n* LIST (\\Trash) \"/\" \"[Gmail]/Bin\"\r\n{tag} OK done\r\n",
		"STATUS":    "* STATUS INBOX (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1)\r\n* STATUS \"[Gmail]/Bin\" (MESSAGES 0 UIDNEXT 40 UIDVALIDITY 1)\r\n{tag} OK done\r\n",
		"UID MOVE":  "* OK [COPYUID 1 2 40] moved\r\n* 2 EXPUNGE\r\n{tag} OK done\r\n",
		"UID FETCH": fetchLines("UID 2 FLAGS ()"),
	}}
	s.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
		switch cmd.Name {
		case "UID MOVE":
			if !strings.Contains(cmd.Args, "[Gmail]/Bin") {
				t.Errorf("moved to %s", cmd.Args)
			}
			moved.Add(1)
		case "UID STORE", "UID EXPUNGE":
			stored.Add(1)
		case "UID FETCH":
			if moved.Load() > 0 {
				return p.OK(cmd)
			}
		}
		return false
	}
	a, _ := play(t, s)
	var out []plan.Outcome
	ops := []plan.Op{{Tag: 0, Kind: plan.OpDelete, From: plan.Place{Box: 1, Ref: "2"}}, {Tag: 1, Kind: plan.OpDelete, From: plan.Place{Box: 1, Ref: "3"}}}
	err := a.Do(ctx, ops, func(o []plan.Outcome) error { out = append(out, o...); return nil })
	if err != nil || moved.Load() != 1 || stored.Load() != 0 || len(out) != 2 {
		t.Fatalf("%d moves, %d others, %+v, %v", moved.Load(), stored.Load(), out, err)
	}
	for _, o := range out {
		if o.Result != plan.Done {
			t.Errorf("%+v", o)
		}
	}
}
