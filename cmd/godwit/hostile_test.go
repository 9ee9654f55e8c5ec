package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// A siege is a home whose server is hostile. The Maildir and the state lie
// deep in it, so that what climbs out of them is seen.
type siege struct {
	home
	store     *imaptest.Mailstore
	port      int
	mail, dir string // the Maildir, and the directory above all
}

const siegePassword = `Pa55 "wörd\ 4711`

const siegeCaps = "IMAP4rev1 UIDPLUS MOVE CONDSTORE UNSELECT NAMESPACE"

func besieged(t *testing.T, change func(*imaptest.Script)) *siege {
	t.Helper()
	s := &siege{store: imaptest.NewMailstore(siegeCaps), dir: t.TempDir()}
	s.home.dir = filepath.Join(s.dir, "a", "b", "c")
	s.mail = filepath.Join(s.home.dir, "Mail")
	if err := os.MkdirAll(s.home.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	script := s.store.Script()
	if change != nil {
		change(script)
	}
	_, s.port = script.Listen(t)
	s.configure(t, "none")
	return s
}

func (s *siege) configure(t *testing.T, tls string) {
	t.Helper()
	text := fmt.Sprintf("state_dir = \"~/state\"\n[accounts.me]\nhost = \"127.0.0.1\"\nport = %d\ntls = %q\nusername = \"ann\"\npassword = '%s'\nmaildir = \"~/Mail\"\n", s.port, tls, siegePassword)
	if err := os.WriteFile(filepath.Join(s.home.dir, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sync runs a sync and gives what it printed, stderr last.
func (s *siege) sync(t *testing.T, args ...string) (code int, told string) {
	t.Helper()
	var out bytes.Buffer
	code, errs := s.run(t.Context(), &out, append([]string{"-v", "sync"}, args...)...)
	return code, out.String() + errs
}

// files lists what lies below the directory, without what godwit may write.
func (s *siege) files(t *testing.T) (inside, outside []string) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(path, s.mail+"/"):
			inside = append(inside, path)
		case !strings.HasPrefix(path, filepath.Join(s.home.dir, "state")) && path != s.mail:
			outside = append(outside, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return inside, outside
}

func siegeLetter(text string) string {
	return "From: a@example.org\r\nSubject: " + text + "\r\n\r\nbody of " + text + "\r\n"
}

// TestSyncTellsHowLongToWait where a server wants to be left alone.
func TestSyncTellsHowLongToWait(t *testing.T) {
	s := besieged(t, nil)
	for i := range 3 {
		s.store.Deliver("INBOX", siegeLetter(fmt.Sprint("m", i)), time.Unix(1_700_000_000, 0))
	}
	s.store.Before = func(_ int, cmd imaptest.Command) string {
		if cmd.Name == "UID FETCH" {
			return "{tag} BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds\r\n"
		}
		return ""
	}
	code, told := s.sync(t)
	if code != 1 || !strings.Contains(told, "the server asks to be left alone for 5 minutes") {
		t.Errorf("exit %d:\n%s", code, told)
	}
	s.store.Reset()
	if code, told := s.sync(t); code != 0 {
		t.Errorf("afterwards: exit %d:\n%s", code, told)
	}
}

// TestHostileMailboxNames has a server list mailboxes that would lie outside
// the Maildir, or be something else in it, were their names taken as they are.
func TestHostileMailboxNames(t *testing.T) {
	s := besieged(t, nil)
	names := []string{
		"../../etc/passwd", "INBOX/../..", "..", ".", "/", "//", "a//b", "/absolute", "a/./b", "a/../../../../b", "cur", "new", "tmp",
		"INBOX/cur", "Work/tmp/x", strings.Repeat("x", 10_000), strings.Repeat("y/", 2000) + "y", strings.Repeat("z", 300),
		"Bad&Name", "&", "&AAA-", "&AC4ALg-", "&2AA-", "nul\x00byte", "line\r\nend", "~root", "~/x", ".hidden", "INBOX ", "inbox", ".godwit",
		"dovecot-keywords", "x:2,S", "back\\..\\slash", "*", "%", "\"quoted\"", "Work", "&TipOhw-", "tab\there", "..&AC8-..",
	}
	for i, name := range names {
		s.store.Deliver(name, siegeLetter(fmt.Sprint("m", i)), time.Unix(1_700_000_000, 0))
	}
	before := append([]string{}, mustOutside(t, s)...)
	code, told := s.sync(t)
	if code != 0 && code != 1 {
		t.Fatalf("exit %d:\n%s", code, told)
	}
	inside, outside := s.files(t)
	if fmt.Sprint(outside) != fmt.Sprint(before) {
		t.Errorf("something was written outside the Maildir:\n%v", outside)
	}
	arrived := map[string]int{}
	for _, path := range inside {
		if raw, err := os.ReadFile(path); err == nil {
			if _, text, ok := strings.Cut(string(raw), "body of "); ok {
				arrived[strings.TrimSpace(text)]++
			}
		}
	}
	for i, name := range names {
		n := arrived[fmt.Sprint("m", i)]
		if name == "&AAA-" {
			name = "\x00" // so it is decoded
		}
		quoted := strings.Trim(fmt.Sprintf("%q", name[:min(len(name), 100)]), `"`)
		if n > 1 || n == 0 && !strings.Contains(told, quoted) {
			t.Errorf("%.60q: the message is there %d times, and nothing is said of the mailbox", name, n)
		}
	}
	if arrived[fmt.Sprint("m", len(names)-4)] != 1 { // Work
		t.Error("the ordinary mailbox was not copied")
	}
	was := fmt.Sprint(s.store.Letters())
	again, told := s.sync(t)
	after, _ := s.files(t)
	if again != code || len(after) != len(inside) || fmt.Sprint(s.store.Letters()) != was {
		t.Errorf("a second run: exit %d, %d files of %d:\n%s", again, len(after), len(inside), told)
	}
}

func mustOutside(t *testing.T, s *siege) []string {
	_, outside := s.files(t)
	return outside
}

// TestHostileAnswers tells by exit code and text what is wrong with a server,
// in bounded time and memory, and recovers when it no longer is.
func TestHostileAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		command string
		answer  string // {tag} is the command's
		says    string
	}{
		"login refused":     {"LOGIN", "{tag} NO [AUTHENTICATIONFAILED] no\r\n", "check username and password"},
		"login throttled":   {"LOGIN", "{tag} NO [LIMIT] too many connections\r\n", "wait"},
		"BYE at login":      {"LOGIN", "* BYE [UNAVAILABLE] maintenance\r\n" + imaptest.Drop, "maintenance"},
		"LIST of nothing":   {"LIST", "{tag} OK done\r\n", "lists no mailboxes"},
		"LIST refused":      {"LIST", "{tag} NO [UNAVAILABLE] later\r\n", "UNAVAILABLE"},
		"SELECT refused":    {"EXAMINE", "{tag} NO [INUSE] locked\r\n", "INUSE"},
		"body cut":          {"UID FETCH", "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"01-Feb-2026 10:00:00 +0000\" RFC822.SIZE 100 BODY[] {100}\r\nhalf" + imaptest.Drop, "cut"},
		"absurd literal":    {"UID FETCH", "* 1 FETCH (UID 1 BODY[] {4294967295}\r\nx", "literal"},
		"endless line":      {"UID FETCH", "* 1 FETCH (" + strings.Repeat("x", 32<<20), "a line of more than"},
		"endless greetings": {"CAPABILITY", strings.Repeat("* OK hello\r\n", 100_000) + imaptest.Drop, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			s := besieged(t, nil)
			for i := range 5 {
				s.store.Deliver("INBOX", siegeLetter(fmt.Sprint(i)), time.Unix(1_700_000_000, 0))
			}
			s.store.Before = func(_ int, cmd imaptest.Command) string {
				if cmd.Name == tc.command {
					return tc.answer
				}
				return ""
			}
			if tc.command == "CAPABILITY" {
				s.store.Before = func(n int, cmd imaptest.Command) string {
					if n == 2 {
						return tc.answer
					}
					return ""
				}
			}
			var was, now runtime.MemStats
			runtime.ReadMemStats(&was)
			began := time.Now()
			code, told := s.sync(t)
			runtime.ReadMemStats(&now)
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if grown := int64(now.Sys) - int64(was.Sys); grown > 256<<20 {
				t.Errorf("memory grew by %d MiB", grown>>20)
			}
			if code != 1 || !strings.Contains(told, tc.says) || strings.Contains(told, "goroutine ") {
				t.Errorf("exit %d, and it does not say %q:\n%.3000s", code, tc.says, told)
			}
			s.store.Reset()
			if code, told := s.sync(t); code != 0 {
				t.Errorf("a run without a fault: exit %d\n%s", code, told)
			}
		})
	}
}

// TestNoSecretAnywhere looks for the password in all that commands print and
// leave behind, whatever a server makes of it.
func TestNoSecretAnywhere(t *testing.T) {
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(siegePassword)
	b64 := base64.StdEncoding.EncodeToString([]byte("\x00ann\x00" + siegePassword))
	secrets := []string{siegePassword, escaped, b64, " 4711"} // four digits alone may be a moment
	echo := strings.Join(secrets[:3], " ")
	for name, answer := range map[string]string{
		"let in": "", "refused": "{tag} NO " + echo + "\r\n", "not understood": "{tag} BAD LOGIN ann " + echo + "\r\n",
		"BYE": "* BYE " + echo + "\r\n" + imaptest.Drop, "alert": "* OK [ALERT] " + echo + "\r\n{tag} OK " + echo + "\r\n", "cut": imaptest.Drop,
	} {
		for _, tls := range []string{"none", "starttls", "implicit"} {
			t.Run(name+" "+tls, func(t *testing.T) {
				s := besieged(t, func(script *imaptest.Script) { script.Caps += " AUTH=PLAIN" })
				s.configure(t, tls)
				s.store.Deliver("INBOX", siegeLetter("one"), time.Unix(1_700_000_000, 0))
				s.store.Before = func(n int, cmd imaptest.Command) string {
					if answer != "" && (cmd.Name == "LOGIN" || n > 15) {
						return answer
					}
					return ""
				}
				var told bytes.Buffer
				for _, args := range [][]string{{"-v", "sync"}, {"--json", "sync"}, {"check"}, {"--json", "check"}, {"status"}, {"--json", "status"}, {"log"}, {"verify", "me"}} {
					_, errs := s.run(t.Context(), &told, args...)
					told.WriteString(errs)
				}
				leak(t, "the output", told.Bytes(), secrets)
				err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() || d.Name() == "config.toml" {
						return err
					}
					raw, err := os.ReadFile(path)
					leak(t, path, raw, secrets)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func leak(t *testing.T, where string, text []byte, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if i := bytes.Index(text, []byte(s)); i >= 0 {
			t.Errorf("%q is in %s: …%s", s, where, text[max(0, i-80):i+len(s)])
		}
	}
}
