package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/godwit-mail/godwit/cmd/godwit/demo"
	"github.com/godwit-mail/godwit/store"
)

// TestScripts runs testdata/*.txtar. Each script has a home of its own, and a
// server with the demo's sample mail, on the port that stands for @PORT@ in
// the configuration. Beside the usual commands there are
//
//	exits CODE godwit ARGS…             run godwit, which must exit with CODE
//	server append|flag|move|delete|create|has|lacks|count …   change or check the mail on the server
//	mail flag|move|delete|deliver …     change the Maildir (~/Mail), as a mail program does
//	mail flip|truncate|edit MAILBOX ID  change a file's bytes: flip leaves its size and time as they were
//	capture NAME REGEXP                 set a variable to what the group matches in the last output
//	lock NAME, unlock                   hold the lock of an account, as another run does
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   scriptExits,
			"server":  scriptServer,
			"mail":    scriptMail,
			"capture": scriptCapture,
			"lock":    scriptLock,
			"unlock":  scriptUnlock,
		},
		RequireUniqueNames: true,
	})
}

type (
	serverKey struct{}
	lockKey   struct{}
)

func setupScript(e *testscript.Env) error {
	server, err := demo.Start()
	if err != nil {
		return err
	}
	e.Defer(server.Close)
	e.Values[serverKey{}] = server
	e.Values[lockKey{}] = new(*store.FileLock)
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("PORT", strconv.Itoa(server.Port))
	path := filepath.Join(e.WorkDir, ".config/godwit/config.toml")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	text = []byte(strings.ReplaceAll(string(text), "@PORT@", strconv.Itoa(server.Port)))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[1] != "godwit" {
		ts.Fatalf("usage: exits CODE godwit ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := run(context.Background(), args[2:], strings.NewReader(""), ts.Stdout(), ts.Stderr(), ts.Getenv)
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptServer(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*demo.Server)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: server VERB MAILBOX …")
	}
	verb, mailbox, rest := args[0], args[1], append(args[2:], "", "")
	switch verb {
	case "append":
		ts.Check(s.Append(scriptMessage(mailbox, rest[0])))
	case "flag":
		ts.Check(s.Flag(mailbox, rest[0], args[3:]...))
	case "move":
		ts.Check(s.Move(mailbox, rest[0], rest[1]))
	case "delete":
		ts.Check(s.Delete(mailbox, rest[0]))
	case "create":
		ts.Check(s.Create(mailbox))
	case "has":
		if !s.Find(mailbox, rest[0], args[3:]...) {
			ts.Fatalf("%s with %q is not in %s on the server", rest[0], args[3:], mailbox)
		}
	case "lacks":
		if s.Find(mailbox, rest[0]) {
			ts.Fatalf("%s is in %s on the server", rest[0], mailbox)
		}
	case "count":
		if got := fmt.Sprint(s.Count(mailbox)); got != rest[0] {
			ts.Fatalf("%s has %s messages on the server, want %s", mailbox, got, rest[0])
		}
	default:
		ts.Fatalf("server %s is not known", verb)
	}
}

func scriptMail(ts *testscript.TestScript, neg bool, args []string) {
	p := demo.MailProgram{Root: ts.MkAbs(filepath.Join(ts.Getenv("HOME"), "Mail"))}
	if neg || len(args) < 3 {
		ts.Fatalf("usage: mail VERB MAILBOX MESSAGE-ID …")
	}
	verb, mailbox, id, rest := args[0], args[1], args[2], append(args[3:], "")
	switch verb {
	case "flag":
		ts.Check(p.Flag(mailbox, id, rest[0]))
	case "move":
		ts.Check(p.Move(mailbox, id, rest[0]))
	case "delete":
		ts.Check(p.Delete(mailbox, id))
	case "deliver":
		ts.Check(p.Deliver(scriptMessage(mailbox, id), "1700000000.P1."+strings.Trim(id, "<>"), rest[0]))
	case "flip", "truncate", "edit":
		f, err := p.Find(mailbox, id)
		ts.Check(err)
		ts.Check(changeBytes(f.Path, verb))
	case "has":
		f, err := p.Find(mailbox, id)
		ts.Check(err)
		if f.Letters() != rest[0] {
			ts.Fatalf("%s in %s has the letters %q, want %q", id, mailbox, f.Letters(), rest[0])
		}
	case "count":
		files, err := p.Files(mailbox)
		ts.Check(err)
		if fmt.Sprint(len(files)) != id {
			ts.Fatalf("%s has %d messages in the Maildir, want %s", mailbox, len(files), id)
		}
	default:
		ts.Fatalf("mail %s is not known", verb)
	}
}

// changeBytes does to a file what a disk, a full disk or a person does.
func changeBytes(path, how string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	switch how {
	case "flip":
		text[len(text)-3] ^= 1
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		return os.Chtimes(path, info.ModTime(), info.ModTime())
	case "truncate":
		return os.Truncate(path, info.Size()-5)
	}
	return os.WriteFile(path, append(text, "One more line.\n"...), 0o600)
}

func scriptCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	match := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(match) != 2 {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], match[1])
}

func scriptMessage(mailbox, id string) demo.Message {
	m := demo.NewMail
	m.Mailbox, m.ID, m.Subject = mailbox, id, "Message "+id
	return m
}

func scriptLock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lock ACCOUNT")
	}
	lock, err := store.Lock(filepath.Join(ts.Getenv("HOME"), ".local/state/godwit", args[0]))
	ts.Check(err)
	*ts.Value(lockKey{}).(**store.FileLock) = lock
}

func scriptUnlock(ts *testscript.TestScript, neg bool, _ []string) {
	lock := ts.Value(lockKey{}).(**store.FileLock)
	if neg || *lock == nil {
		ts.Fatalf("nothing is locked")
	}
	ts.Check((*lock).Unlock())
	*lock = nil
}
