package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/demo"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A home is a configuration for a server of its own.
type home struct {
	dir    string
	server *demo.Server
	mail   demo.MailProgram
}

func newHome(t *testing.T, more string) *home {
	t.Helper()
	server, err := demo.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	h := &home{dir: t.TempDir(), server: server}
	h.mail.Root = filepath.Join(h.dir, "Mail")
	text := fmt.Sprintf("state_dir = \"~/state\"\n[accounts.demo]\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\nusername = \"demo\"\npassword = \"demo\"\nmaildir = \"~/Mail\"\n%s", server.Port, more)
	if err := os.WriteFile(filepath.Join(h.dir, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// run runs godwit in this home.
func (h *home) run(ctx context.Context, stdout interface{ Write([]byte) (int, error) }, args ...string) (code int, stderr string) {
	var errs bytes.Buffer
	code = run(ctx, append([]string{"--config", filepath.Join(h.dir, "config.toml")}, args...), strings.NewReader(""), stdout, &errs, func(key string) string {
		if key == "HOME" {
			return h.dir
		}
		return ""
	})
	return code, errs.String()
}

// objects parses what --json printed.
func objects(t *testing.T, text string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(text) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out = append(out, o)
	}
	return out
}

func TestJSON(t *testing.T) {
	h := newHome(t, "")
	sync := func(wantExit int, args ...string) []map[string]any {
		t.Helper()
		var out bytes.Buffer
		code, errs := h.run(t.Context(), &out, append([]string{"--json"}, args...)...)
		if code != wantExit {
			t.Fatalf("%v: exit %d, want %d: %s", args, code, wantExit, errs)
		}
		all := objects(t, out.String())
		for i, o := range all {
			for _, key := range []string{"type", "time", "account", "mailbox"} {
				if _, ok := o[key].(string); !ok {
					t.Errorf("%v lacks %s", o, key)
				}
			}
			if _, err := time.Parse(time.RFC3339, fmt.Sprint(o["time"])); err != nil {
				t.Error(err)
			}
			if (o["type"] == "summary") != (i == len(all)-1) {
				t.Errorf("the summary must be the last line, and only that: line %d of %d is %v", i+1, len(all), o)
			}
		}
		if last := all[len(all)-1]; last["exit"] != float64(wantExit) {
			t.Errorf("summary %v, want exit %d", last, wantExit)
		}
		return all
	}
	first := sync(0, "sync")
	copied := 0
	for _, o := range first {
		if o["type"] == "action" && o["verb"] == "copied" && o["side"] == "local" && o["account"] == "demo" && o["mailbox"] != "" && len(fmt.Sprint(o["digest"])) == 64 {
			copied++
		}
	}
	if copied != len(demo.Sample) {
		t.Errorf("%d messages told as copied, want %d", copied, len(demo.Sample))
	}
	run := first[len(first)-2]
	if run["type"] != "run" || run["copied"].(map[string]any)["local"] != float64(12) || run["exit"] != float64(0) || run["in_step"] != float64(12) {
		t.Errorf("run: %v", run)
	}
	for _, args := range [][]string{{"status"}, {"log"}, {"check"}, {"version"}} {
		if all := sync(0, args...); len(all) < 2 {
			t.Errorf("%v prints %v only", args, all)
		}
	}
	sync(2, "sync", "nobody")
	sync(2, "snyc")
	sync(0, "demo", "--dir", filepath.Join(h.dir, "demo"))
}

// cancelAfter cancels when what was written contains text.
type cancelAfter struct {
	all    strings.Builder
	text   string
	cancel func()
}

func (c *cancelAfter) Write(p []byte) (int, error) {
	n, err := c.all.Write(p)
	if strings.Contains(c.all.String(), c.text) {
		c.cancel()
	}
	return n, err
}

// TestInterrupted ends a run in the middle; the next goes on from there.
func TestInterrupted(t *testing.T) {
	h := newHome(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &cancelAfter{text: "INBOX: copied here", cancel: cancel}
	code, errs := h.run(ctx, out, "sync", "-v")
	if code != 130 || !strings.Contains(errs, "godwit: interrupted: what was done is recorded") {
		t.Fatalf("exit %d, %s", code, errs)
	}
	var second bytes.Buffer
	if code, errs := h.run(t.Context(), &second, "sync"); code != 0 || !strings.Contains(second.String(), "12 messages in 7 mailboxes agree") {
		t.Fatalf("exit %d, %s%s", code, errs, second.String())
	}
	for _, m := range demo.Sample {
		if _, err := h.mail.Find(m.Mailbox, m.ID); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsPrintedRaw(t *testing.T) {
	h := newHome(t, "")
	if err := h.server.Append(demo.Message{Mailbox: "INBOX", ID: "<x@y>", From: "a", To: "b", Subject: "x"}); err != nil {
		t.Fatal(err)
	}
	const name = "Evil \u202e\u009b31m"
	if err := h.server.Create(name); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"sync", "-v"}, {"status"}, {"log"}, {"check", "-v"}} {
		var out bytes.Buffer
		code, errs := h.run(t.Context(), &out, args...)
		if code != 0 && code != 1 {
			t.Fatalf("%v: exit %d, %s", args, code, errs)
		}
		if !strings.Contains(out.String()+errs, "Evil") {
			t.Errorf("%v does not tell of the mailbox at all:\n%s%s", args, out.String(), errs)
		}
		for _, r := range out.String() + errs {
			if r != '\n' && unfit(r) {
				t.Fatalf("%v prints %U:\n%q", args, r, out.String()+errs)
			}
		}
	}
}

func TestClean(t *testing.T) {
	tests := map[string]string{
		"plain é ok":               "plain é ok",
		"\x1b]0;title\x07":         "\ufffd]0;title\ufffd",
		"a\r\nb\tc":                "a\ufffd\ufffdb\ufffdc",
		"\u009b31m":                "\ufffd31m",
		"abc\u202edef":             "abc\ufffddef",
		"bad \xff\xfe utf":         "bad \ufffd utf",
		"line\u2028separator\x00x": "line\ufffdseparator\ufffdx",
	}
	for in, want := range tests {
		if got := clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	order := []exitCode{exitUsage, exitInterrupted, exitAuth, exitConnection, exitQuota, exitFailed, exitLocked, exitHeld, exitOK}
	for i, a := range order {
		for j, b := range order {
			if got := worse(a, b); got != order[min(i, j)] {
				t.Errorf("of %d and %d %d is told", a, b, got)
			}
		}
	}
	errs := []struct {
		err  error
		want exitCode
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailed},
		{&usageError{errors.New("x")}, exitUsage},
		{fmt.Errorf("x: %w", config.Errors{{Text: "x"}}), exitUsage},
		{fmt.Errorf("x: %w", context.Canceled), exitInterrupted},
		{fmt.Errorf("x: %w", store.ErrLocked), exitLocked},
		{mail.NewFault(mail.GradeAccount, mail.ClassConfig, errors.New("x"), ""), exitUsage},
		{mail.NewFault(mail.GradeAccount, mail.ClassNetwork, errors.New("x"), ""), exitFailed},
	}
	for _, e := range errs {
		if got := codeOf(e.err); got != e.want {
			t.Errorf("%v: %d, want %d", e.err, got, e.want)
		}
	}
}

func TestEventTexts(t *testing.T) {
	digest, err := mail.ParseDigest(strings.Repeat("3f", 32))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		event engine.Event
		want  string
	}{
		{engine.Event{Kind: engine.Action, Verb: engine.VerbCopied, Side: plan.Local, Mailbox: "INBOX", Size: 1234, Digest: digest}, "INBOX: copied here, 1.2 kB [3f3f3f3f3f3f]"},
		{engine.Event{Kind: engine.Action, Verb: engine.VerbCopied, Side: plan.Remote, Mailbox: "INBOX", Planned: true}, "INBOX: would copy to the server"},
		{engine.Event{Kind: engine.Action, Verb: engine.VerbMoved, Side: plan.Remote, Mailbox: "INBOX", To: "Work", Text: "to Work"}, "INBOX: moved on the server to Work"},
		{engine.Event{Kind: engine.Action, Verb: engine.VerbFlagged, Side: plan.Local, Mailbox: "INBOX", Added: mail.NewFlagSet(mail.Seen), Removed: mail.NewFlagSet(mail.Flagged)}, `INBOX: flagged here: +\Seen -\Flagged`},
		{engine.Event{Kind: engine.Action, Verb: engine.VerbDeleted, Side: plan.Remote, Mailbox: "INBOX", Planned: true}, "INBOX: would delete on the server"},
		{engine.Event{Kind: engine.Action, Verb: engine.VerbCreated, Side: plan.Local, Mailbox: "Work"}, "Work: mailbox created here"},
		{engine.Event{Kind: engine.Action, Verb: engine.VerbRemoved, Side: plan.Local, Mailbox: "Work", Planned: true}, "Work: would remove the mailbox here"},
		{engine.Event{Kind: engine.Held, Mailbox: "INBOX", Count: 12, Reason: plan.ReasonGuard}, "INBOX: 12 deletions held (guard)"},
		{engine.Event{Kind: engine.Faulted, Mailbox: "INBOX", Err: errors.New("no")}, "INBOX: no"},
		{engine.Event{Kind: engine.Noted, Mailbox: "INBOX", Reason: plan.ReasonConflict}, "INBOX: conflict"},
		{engine.Event{Kind: engine.Noted, Mailbox: "INBOX", Text: "moved to two places", Digest: digest}, "INBOX: moved to two places [3f3f3f3f3f3f]"},
	}
	for _, tt := range tests {
		if got := eventText(tt.event); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// TestEveryModeHasItsPolicy compares the wiring with plan's own policies.
func TestEveryModeHasItsPolicy(t *testing.T) {
	for mode, want := range map[config.Mode]plan.Policy{config.ModeMirror: plan.Mirror(), config.ModePull: plan.Pull(), config.ModePush: plan.Push()} {
		if got := policy(&config.Account{Mode: mode}); got != want {
			t.Errorf("%s: %+v", mode, got)
		}
		if got := policy(&config.Account{Mode: mode, DeleteFolders: true}); got.RemoveBoxes != want.Lose {
			t.Errorf("%s with delete_folders: %+v", mode, got)
		}
	}
}

func TestPendingIsGrouped(t *testing.T) {
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	pending := []plan.Pending{
		{At: plan.Place{Box: 1, Ref: "1"}, Why: plan.ReasonError, Text: "no", Since: late},
		{At: plan.Place{Box: 1, Ref: "2"}, Why: plan.ReasonError, Text: "no", Since: early},
		{At: plan.Place{Box: 2, Ref: "1"}, Why: plan.ReasonNotYet, Since: late},
		{At: plan.Place{Box: 1, Ref: "3"}, Why: plan.ReasonGuard, Row: 7, Since: late},
	}
	got := pendingGroups(withoutHeld(pending, []plan.Held{{Row: 7, Box: 1}}))
	want := []pendingGroup{{box: 1, text: "no", n: 2, since: early}, {box: 2, text: "not-yet", n: 1, since: late}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
