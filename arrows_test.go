// Package godwit_test holds the checks that concern the whole repository.
package godwit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/godwit-mail/godwit/"

// A room is a directory of the repository with all below it, and the rooms
// that its code may import. The first that fits a package counts.
type room struct {
	path   string
	may    []string // rooms, besides itself
	reason string
}

// rooms is the house. What a room may import follows from its one job.
var rooms = []room{
	{"mail", nil, "the vocabulary is what all others are built on: it can depend on nothing"},
	{"sync/plan", []string{"mail"}, "deciding is pure: it knows the words for mail and nothing else"},
	{"sync/engine", []string{"sync/plan", "mail"}, "the engine owns the interfaces of sides and index: one that knew a side could not serve the others"},
	{"sync/sidetest", []string{"sync/engine", "sync/plan", "mail"}, "one suite for every side must know none of them"},
	{"sync/worker", []string{"sync/engine", "mail"}, "what makes a run does not care what a run is made of"},
	{"imap", []string{"sync/plan", "mail"}, "sides never import each other, nor the engine, nor the store: each is replaceable"},
	{"maildir", []string{"sync/plan", "mail"}, "sides never import each other, nor the engine, nor the store: each is replaceable"},
	{"archive", []string{"store/sqlite", "sync/plan", "mail"}, "sides never import each other, nor the engine: each is replaceable; the archive's catalogue is opened like the index"},
	{"store/sqlite", nil, "opening a database needs no word of mail: the index and the archive's catalogue share it"},
	{"store", []string{"sync/plan", "mail"}, "the index stores what plan describes and does not care who asks"},
	{"signin", []string{"mail"}, "how to sign in is decided without knowing the connection"},
	{"config", []string{"mail"}, "the configuration is read before anything else exists"},
	{"cmd/godwit/demo", nil, "the demo's server must not share code with what it demonstrates"},
	{"cmd/godwit", []string{"mail", "sync/plan", "sync/engine", "sync/worker", "imap", "maildir", "archive", "store", "signin", "config"}, "the commands know every room, but no test tool"},
}

// testTools are what tests of any room may import as well.
var testTools = []string{"sync/sidetest", "sync/engine", "sync/plan", "mail", "imap/imaptest"}

// A fence says which rooms may use something from outside.
type fence struct {
	prefix string   // of the import path
	only   []string // rooms
	reason string
}

var fences = []fence{
	{"github.com/emersion/go-imap/", []string{"imap", "cmd/godwit/demo"}, "no type of go-imap leaves imap/, so that its faults are worked around in one place; the demo runs the library's server, not its client"},
	{"github.com/emersion/go-maildir", []string{"maildir"}, "only maildir/ knows where that library may be trusted"},
	{"github.com/mattn/go-sqlite3", []string{"store/sqlite"}, "one place opens databases, so that every one has the pragmas that durability needs"},
	{"database/sql", []string{"store/sqlite", "store", "archive"}, "SQL stays where the schema is"},
	{"github.com/pelletier/go-toml", []string{"config"}, "one place reads the configuration, so that every error names file, line and key"},
	{"github.com/robfig/cron", []string{"config", "sync/worker"}, "schedules are checked by config and kept by the worker"},
	{"github.com/spf13/cobra", []string{"cmd/godwit"}, "only commands have flags"},
	{"github.com/VictoriaMetrics/metrics", []string{"cmd/godwit"}, "the rooms report what they did; only the daemon counts it"},
	{"github.com/coreos/go-systemd", []string{"cmd/godwit"}, "only the daemon is a unit"},
	{"github.com/vbauerster/mpb", []string{"cmd/godwit"}, "only commands draw on a terminal; the others tell an Observer"},
	{"github.com/klauspost/compress", []string{"archive"}, "only the archive compresses; what it writes must stay readable for good"},
	{"pgregory.net/rapid", nil, "it is for tests"},
	{"github.com/rogpeppe/go-internal", nil, "it is for tests"},
	{"testing", []string{"sync/sidetest", "imap/imaptest"}, "what ships must not carry test code"},
}

// pure lists what the rooms that do no I/O must not import.
var pure = map[string][]string{
	"mail":        {"context", "os", "net", "log", "math/rand", "crypto/rand", "syscall"},
	"sync/plan":   {"context", "os", "net", "log", "math/rand", "crypto/rand", "syscall"},
	"sync/engine": {"os", "net", "syscall"},
}

type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func roomOf(path string) (room, bool) {
	for _, r := range rooms {
		if below(path, r.path) {
			return r, true
		}
	}
	return room{}, false
}

// below tells whether an import path is prefix or lies below it.
func below(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

// violations lists the arrows of one package that the house does not have.
func violations(p listed) []string {
	path := strings.TrimPrefix(p.ImportPath, module)
	if path+"/" == module {
		return nil // the root has tests of the whole only
	}
	from, ok := roomOf(path)
	if !ok {
		return []string{fmt.Sprintf("%s is no room of the house: give it a line in the table of arrows_test.go, with a reason", path)}
	}
	var out []string
	for _, imported := range p.Imports {
		out = append(out, inner(path, from, imported, from.may)...)
		out = append(out, outer(path, from, imported)...)
	}
	for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
		out = append(out, inner(path+" (test)", from, imported, slices.Concat(from.may, testTools))...)
	}
	return out
}

// inner checks an arrow between rooms.
func inner(path string, from room, imported string, may []string) []string {
	name, ours := strings.CutPrefix(imported, module)
	if !ours {
		return nil
	}
	to, ok := roomOf(name)
	if ok && (to.path == from.path || below(to.path, from.path) || slices.Contains(may, to.path)) {
		// A room may use what lies below it, but nobody its test tools.
		if isTool := slices.Contains([]string{"sync/sidetest", "imap/imaptest"}, name); !isTool || strings.HasSuffix(path, "(test)") || below(path, name) {
			return nil
		}
		return []string{fmt.Sprintf("%s imports %s: it is for tests", path, name)}
	}
	if slices.Contains(may, name) {
		return nil
	}
	return []string{fmt.Sprintf("%s imports %s: %s (%s may import: %s)", path, name, from.reason, from.path, strings.Join(from.may, ", "))}
}

// outer checks what a package takes from outside the house.
func outer(path string, from room, imported string) []string {
	var out []string
	for _, f := range fences {
		allowed := slices.ContainsFunc(f.only, func(r string) bool { return below(path, r) })
		if below(imported, f.prefix) && !allowed {
			out = append(out, fmt.Sprintf("%s imports %s: %s", path, imported, f.reason))
		}
	}
	for _, banned := range pure[from.path] {
		if below(imported, banned) {
			out = append(out, fmt.Sprintf("%s imports %s: %s", path, imported, from.reason))
		}
	}
	if from.path == "mail" && strings.Contains(strings.Split(imported, "/")[0], ".") {
		out = append(out, fmt.Sprintf("%s imports %s: %s", path, imported, from.reason))
	}
	return out
}

// TestArrows enforces the import arrows of the house.
func TestArrows(t *testing.T) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	seen := 0
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		for _, v := range violations(p) {
			t.Error(v)
		}
	}
	if seen < 5 {
		t.Errorf("go list shows %d packages only: the check did not see the house", seen)
	}
}

// TestArrowsAreChecked shows the check failing where it must.
func TestArrowsAreChecked(t *testing.T) {
	tests := []struct {
		from, imported string
		test           bool
		bad            bool
	}{
		{"imap", "mail", false, false},
		{"imap", "maildir", false, true},
		{"imap", "sync/engine", false, true},
		{"imap", "sync/engine", true, false},
		{"imap", "imap/wire", false, false},
		{"imap", "imap/imaptest", false, true},
		{"imap", "imap/imaptest", true, false},
		{"maildir", "sync/sidetest", false, true},
		{"maildir", "sync/sidetest", true, false},
		{"maildir", "imap", true, true},
		{"store", "store/sqlite", false, false},
		{"store", "imap", false, true},
		{"mail", "sync/plan", false, true},
		{"mail", "github.com/spf13/cobra", false, true},
		{"sync/plan", "os/exec", false, true},
		{"sync/plan", "net", false, true},
		{"sync/plan", "time", false, false},
		{"sync/engine", "context", false, false},
		{"config", "github.com/emersion/go-imap/v2", false, true},
		{"cmd/godwit", "github.com/emersion/go-imap/v2/imapclient", false, true},
		{"cmd/godwit/demo", "github.com/emersion/go-imap/v2/imapserver", false, false},
		{"cmd/godwit", "cmd/godwit/demo", false, false},
		{"cmd/godwit", "imap", false, false},
		{"store", "github.com/mattn/go-sqlite3", false, true},
		{"store/sqlite", "github.com/mattn/go-sqlite3", false, false},
		{"maildir", "testing", false, true},
		{"tools", "mail", false, true},
	}
	for _, tt := range tests {
		imported := tt.imported
		if _, ours := roomOf(imported); ours {
			imported = module + imported
		}
		p := listed{ImportPath: module + tt.from}
		if tt.test {
			p.XTestImports = []string{imported}
		} else {
			p.Imports = []string{imported}
		}
		if got := violations(p); (len(got) > 0) != tt.bad {
			t.Errorf("%s importing %s: %q", tt.from, tt.imported, got)
		}
	}
}
