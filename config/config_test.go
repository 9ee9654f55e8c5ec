package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

func homeEnv(home string) Env {
	return func(key string) string {
		if key == "HOME" {
			return home
		}
		return ""
	}
}

// account is the least that an account needs; tests add lines to it.
const account = `[accounts.a]
host = "imap.example.org"
username = "me"
password_file = "/secret"
`

func TestExampleLoads(t *testing.T) {
	data, err := os.ReadFile("../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("config.example.toml", data, homeEnv("/home/me"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Names(), " "); got != "personal work archive" {
		t.Errorf("accounts: %s", got)
	}
	p, _ := c.Account("personal")
	if p.Maildir != "/home/me/Mail/personal" || p.IndexFile() != "/home/me/.local/state/godwit/personal/index.db" {
		t.Errorf("paths: %s, %s", p.Maildir, p.IndexFile())
	}
	if !p.Folders.Match("Work/Deep") || p.Folders.Match("Spam") || p.Folders.Match("Archive/2020") {
		t.Errorf("folders: %v", p.Folders)
	}
}

func TestDefaultsOfAnAccount(t *testing.T) {
	c, err := Parse("c", []byte(account+"maildir = \"~/Mail\"\n"), homeEnv("/h"))
	if err != nil {
		t.Fatal(err)
	}
	a := c.Accounts[0]
	want := Account{
		Name: "a", State: "/h/.local/state/godwit/a", Host: "imap.example.org", Port: 993, TLS: TLSImplicit,
		Username: "me", Maildir: "/h/Mail", Layout: LayoutFS, FolderEncoding: EncodingUTF8, Mode: ModeMirror,
		Archive: "/h/.local/state/godwit/a/archive", DeleteGuard: 25, KeepDeleted: 90 * 24 * time.Hour, Connections: 4, FSync: true,
		KeepGrace: 336 * time.Hour, Hooks: Hooks{Timeout: time.Minute},
	}
	want.Secret.File = "/secret"
	want.Folders = Everything()
	if got, want := fmt.Sprintf("%+v", *a), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !a.Synced() || !a.Folders.Match("Any/Thing") {
		t.Error("an account with a maildir takes everything")
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	c, err := Parse("c", []byte(`
state_dir = "/state"
[daemon]
metrics = "[::1]:9465"
[defaults]
schedule = "*/15 * * * *"
on_new_mail = "notmuch new"
password_command = "false"
connections = 2
[accounts.all]
host = "127.0.0.1"
tls = "none"
username = "u"
password = "p"
maildir = "/m"
layout = "maildir++"
inbox = "/m-inbox"
folders = ["!Spam"]
mode = "pull"
backup = true
archive = "/archive"
keep = { within = "30d", daily = 90, monthly = 24, yearly = 10, grace = "3d" }
idle = ["inbox"]
delete_guard = "off"
delete_folders = true
keep_deleted = "2w"
limit_rate = "2MB/s"
fsync = false
compress = "on"
on_change = "change | x"
on_error = "notify"
hook_timeout = "90s"
[accounts.pinned]
on_new_mail = " "
host = "mail.example.org"
port = 1993
ca_file = "~/ca.pem"
tls_fingerprint = "sha256:`+strings.Repeat("aB:", 31)+`ab"
username = "u"
mode = "backup"
folder_encoding = "utf-7"
[accounts.pinned.oauth2]
provider = "google"
client_secret = "s"
scopes = ["x"]
`), homeEnv("/h"))
	if err != nil {
		t.Fatal(err)
	}
	a, p := c.Accounts[0], c.Accounts[1]
	checks := map[string]bool{
		"metrics": c.Daemon.Metrics.String() == "[::1]:9465",
		"hooks": a.Hooks == Hooks{OnNewMail: "notmuch new", OnChange: "change | x", OnError: "notify", Timeout: 90 * time.Second} &&
			p.Hooks == Hooks{Timeout: time.Minute},
		"state":       a.State == "/state/all",
		"schedule":    a.Schedule == "*/15 * * * *" && p.Schedule == a.Schedule,
		"own source":  a.Secret.Command == "" && a.Secret.Password.Reveal() == "p",
		"connections": a.Connections == 2,
		"port":        a.Port == 143 && p.Port == 1993,
		"encoding":    a.FolderEncoding == EncodingUTF7 && p.FolderEncoding == EncodingUTF7,
		"inbox":       a.Inbox == "/m-inbox",
		"folders":     a.Folders.Match("X") && !a.Folders.Match("Spam"),
		"modes":       a.Mode == ModePull && p.Mode == ModeBackup && !p.Synced(),
		"keep":        a.Keep == Keep{Within: 720 * time.Hour, Daily: 90, Monthly: 24, Yearly: 10} && a.KeepGrace == 72*time.Hour,
		"idle":        len(a.Idle) == 1 && a.Idle[0] == mail.Inbox,
		"guard":       a.DeleteGuard == 0 && p.DeleteGuard == 25,
		"folders off": a.DeleteFolders && a.Backup && !a.FSync && a.Compress,
		"kept":        a.KeepDeleted == 14*24*time.Hour,
		"rate":        a.LimitRate == 2e6,
		"archive":     a.Archive == "/archive" && p.Archive == "/state/pinned/archive",
		"fingerprint": p.Fingerprint == "sha256:"+strings.Repeat("ab", 32) && p.CAFile == "/h/ca.pem",
		"oauth2":      p.Secret.OAuth2.Provider == "google" && p.Secret.OAuth2.ClientSecret.Reveal() == "s" && p.Secret.Command == "",
	}
	for what, ok := range checks {
		if !ok {
			t.Errorf("%s was not read as written", what)
		}
	}
}

func TestErrorsNameLineAndKey(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"syntax", "state_dir = \n", "c:1:"},
		{"doubled key", account + "host = \"x\"\n", "c:5:1: "},
		{"unknown key", account + "maildri = \"/m\"\n", `c:5:1: accounts.a.maildri: unknown key "maildri", did you mean "maildir"?`},
		{"unknown key, nothing near", account + "qqqqqqqqq = 1\n", `c:5:1: accounts.a.qqqqqqqqq: unknown key "qqqqqqqqq": the keys here are after_backup, allow_plaintext, archive`},
		{"case of a key", account + "Maildir = \"/m\"\n", `unknown key "Maildir", did you mean "maildir"?`},
		{"unknown table", "[acounts.a]\nhost = 1\n", `c:1:2: acounts: unknown key "acounts", did you mean "accounts"?`},
		{"unknown key in a table", account + "keep = { dayly = 1 }\n", `c:5:10: accounts.a.keep.dayly: unknown key "dayly", did you mean "daily"?`},
		{"table below a value", account + "[accounts.a.host.x]\n", "c:5:2: accounts.a.host.x: "},
		{"wrong type: number", account + "port = \"993\"\n", "c:5:1: accounts.a.port: must be a whole number, not a string"},
		{"wrong type: string", account + "maildir = 7\n", "c:5:1: accounts.a.maildir: must be a string, not a number"},
		{"wrong type: bool", account + "fsync = \"yes\"\n", "c:5:1: accounts.a.fsync: must be true or false, not a string"},
		{"wrong type: list", account + "folders = \"*\"\n", "c:5:1: accounts.a.folders: must be a list of strings, not a string"},
		{"wrong type in a list", account + "folders = [\"*\", 3]\n", "accounts.a.folders[1]: must be a string, not a number"},
		{"wrong type: table", "accounts = 3\n", "c:1:1: accounts: must be a table, not a number"},
		{"wrong type: list of tables", "[[accounts]]\n", "c:1:3: accounts: must be a table, not a list of tables"},
		{"no account", "state_dir = \"/s\"\n", "c: accounts: there is no account"},
		{"empty file", "", "c: accounts: there is no account"},
		{"bad name", "[accounts.\".x\"]\n", `c:1:11: accounts.".x": an account's name must not begin with a dot`},
		{"bad name, slash", "[accounts.\"a/b\"]\n", "letters a-z"},
		{"reserved name", "[accounts.migrate]\n", "directory of godwit's own"},
		{"names by case", account + strings.Replace(account, "accounts.a", "accounts.A", 1), "c:5:11: accounts.A: differs from account \"a\" by case only"},
		{"no host", "[accounts.a]\nusername = \"u\"\npassword_file = \"/p\"\n", "c:1:11: accounts.a.host: is missing"},
		{"host with port", account2("host", `"imap.example.org:993"`), "write the name of the server alone, and the port under port"},
		{"host as URL", account2("host", `"imaps://imap.example.org"`), `without "imaps://"`},
		{"host as address", account2("host", `"me@imap.example.org"`), "the user under username"},
		{"port", account + "port = 70000\n", "c:5:1: accounts.a.port: must be from 1 to 65535, not 70000"},
		{"no username", "[accounts.a]\nhost = \"h\"\npassword_file = \"/p\"\n", "accounts.a.username: is missing"},
		{"no secret", "[accounts.a]\nhost = \"h\"\nusername = \"u\"\n", "c:1:11: accounts.a.password_command: nothing says where the password comes from"},
		{"two secrets", account + "password_command = \"x\"\n", "c:5:1: accounts.a.password_command: there is password_file already"},
		{"tls word", account + "tls = \"startls\"\n", `c:5:1: accounts.a.tls: "startls" is not one of implicit, none, starttls, did you mean "starttls"?`},
		{"plaintext", account + "tls = \"none\"\n", "c:5:1: accounts.a.tls: \"none\" would send the password to imap.example.org unprotected"},
		{"fingerprint", account + "tls_fingerprint = \"sha1:00\"\n", "c:5:1: accounts.a.tls_fingerprint: must be \"sha256:\""},
		{"relative path", account + "maildir = \"Mail\"\n", `c:5:1: accounts.a.maildir: "Mail" must be a full path, or begin with ~/`},
		{"other user's home", account + "maildir = \"~joe/Mail\"\n", "only ~/ is understood"},
		{"bad pattern", account + "folders = [\n  \"*\",\n  \"!\",\n]\n", `c:7:3: accounts.a.folders[1]: "!" excludes nothing`},
		{"bad pattern, slash", account + "folders = [\"/Work\"]\n", "has an empty level"},
		{"no pattern", account + "folders = []\n", "c:5:1: accounts.a.folders: is empty"},
		{"bad cron line", account + "schedule = \"every day\"\n", "c:5:1: accounts.a.schedule: \"every day\" is no schedule"},
		{"cron without a day", account + "schedule = \"0 0 30 2 *\"\n", "never comes due"},
		{"cron zone alone", account + "schedule = \"TZ=UTC\"\n", "names a time zone but no time"},
		{"bad mode", account + "mode = \"miror\"\n", `did you mean "mirror"?`},
		{"backup with a Maildir", account + "maildir = \"/m\"\nmode = \"backup\"\n", "c:6:1: accounts.a.mode: \"backup\" keeps an archive only"},
		{"guard", account + "delete_guard = \"250%\"\n", "c:5:1: accounts.a.delete_guard: \"250%\" is no share"},
		{"duration", account + "keep_deleted = \"3 months\"\n", "c:5:1: accounts.a.keep_deleted: \"3 months\" is no span of time"},
		{"duration too long", account + "keep_deleted = \"99999y\"\n", "longer than godwit can count"},
		{"rate", account + "limit_rate = \"fast\"\n", "c:5:1: accounts.a.limit_rate: \"fast\" is no rate"},
		{"metrics for all", "[daemon]\nmetrics = \"0.0.0.0:9465\"\n" + account, "c:2:1: daemon.metrics: \"0.0.0.0:9465\" can be reached from other machines"},
		{"metrics for the network", "[daemon]\nmetrics = \"192.168.1.5:9465\"\n" + account, "can be reached from other machines"},
		{"metrics by a name", "[daemon]\nmetrics = \"localhost:9465\"\n" + account, "c:2:1: daemon.metrics: \"localhost:9465\" is no address with a port"},
		{"hook timeout", account + "hook_timeout = \"1d\"\n", "c:5:1: accounts.a.hook_timeout: \"1d\" is no time to wait"},
		{"hook timeout too short", account + "hook_timeout = \"1ms\"\n", "from \"1s\" to \"1h\""},
		{"hook", account + "on_change = \"a\\u0000b\"\n", "c:5:1: accounts.a.on_change: has a NUL character in it"},
		{"keep nothing", account + "keep = { daily = 0 }\n", "c:5:1: accounts.a.keep: would keep no generation"},
		{"defaults are blamed", "[defaults]\nport = 0\n" + account, "c:2:1: defaults.port: must be from 1 to 65535"},
		{"endpoint", "[accounts.a]\nhost = \"h\"\nusername = \"u\"\noauth2 = { token_url = \"http://example.org/t\" }\n", "c:4:12: accounts.a.oauth2.token_url: must be an address that begins with https://"},
		{"two mistakes", account + "port = 0\nmode = \"x\"\n", "c:6:1: accounts.a.mode"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("c", []byte(tt.text), homeEnv("/h"))
			if err == nil {
				t.Fatalf("was accepted:\n%s", tt.text)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			var one *Error
			if !errors.As(err, &one) {
				t.Errorf("%T holds no *Error", err)
			}
		})
	}
}

// account2 is account with one value replaced.
func account2(key, value string) string {
	lines := strings.Split(account, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, key+" =") {
			lines[i] = key + " = " + value
		}
	}
	return strings.Join(lines, "\n")
}

func TestRoots(t *testing.T) {
	top := t.TempDir()
	if err := os.Mkdir(filepath.Join(top, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link": "real", "dangling": "missing"} {
		if err := os.Symlink(target, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	two := func(a, b string) string {
		return fmt.Sprintf("state_dir = %q\n%smaildir = %q\n%smaildir = %q\n", top+"/state", account, top+"/"+a,
			strings.Replace(account, "accounts.a", "accounts.b", 1), top+"/"+b)
	}
	tests := []struct {
		name, text, want string // "" if it is fine
	}{
		{"side by side", two("x", "y"), ""},
		{"common beginning of a name", two("x", "xy"), ""},
		{"the same", two("x", "x"), "c:11:1: accounts.b.maildir: " + top + "/x is the Maildir of account a already"},
		{"the same through ..", two("x", "y/../x"), "is the Maildir of account a already"},
		{"the same through a link", two("real", "link"), "is the Maildir of account a already"},
		{"the same, missing, through a link", two("missing", "dangling"), "is the Maildir of account a already"},
		{"nested", two("x", "x/y"), "c:11:1: accounts.b.maildir: " + top + "/x/y lies inside the Maildir of account a"},
		{"nested the other way", two("x/y", "x"), "contains the Maildir of account a"},
		{"nested through a link, missing", two("real", "link/new/deep"), "lies inside the Maildir of account a"},
		{"nested below a dangling link", two("missing", "dangling/new"), "lies inside the Maildir of account a"},
		{"Maildir in state_dir", two("state/mail", "y"), "c:6:1: accounts.a.maildir: " + top + "/state/mail lies inside state_dir"},
		{"state_dir in a Maildir", "state_dir = \"" + top + "/x/.state\"\n" + account + "maildir = \"" + top + "/x\"\n", "contains state_dir"},
		{"state_dir is the Maildir", "state_dir = \"" + top + "/x\"\n" + account + "maildir = \"" + top + "/x\"\n", "is state_dir already"},
		{"own inbox inside", account + "maildir = \"" + top + "/x\"\ninbox = \"" + top + "/x/Inbox\"\n", ""},
		{"own inbox outside", account + "maildir = \"" + top + "/x\"\ninbox = \"" + top + "/in\"\n", ""},
		{"inbox is the Maildir that holds the others", account + "maildir = \"" + top + "/x\"\ninbox = \"" + top + "/x\"\n", ""},
		{"inbox is the Maildir", account + "maildir = \"" + top + "/x\"\nlayout = \"maildir++\"\ninbox = \"" + top + "/x\"\n", "leave inbox out"},
		{"another's inbox inside", two("x", "y") + "inbox = \"" + top + "/x/Inbox\"\n", "accounts.b.inbox: " + top + "/x/Inbox lies inside the Maildir of account a"},
		{"archive in a Maildir", account + "maildir = \"" + top + "/x\"\narchive = \"" + top + "/x/a\"\n", "lies inside the Maildir of account a"},
		{"from defaults", "[defaults]\nmaildir = \"" + top + "/x\"\n" + account + strings.Replace(account, "accounts.a", "accounts.b", 1), "c:2:1: defaults.maildir: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("c", []byte(tt.text), homeEnv(top+"/home"))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestSecretsOthersCanRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "my config.toml")
	withSecret := strings.Replace(account, `password_file = "/secret"`, `password = "hunter2"`, 1)
	tests := []struct {
		name, text string
		perm       os.FileMode
		refused    bool
	}{
		{"owner alone", withSecret, 0o600, false},
		{"group", withSecret, 0o640, true},
		{"others", withSecret, 0o604, true},
		{"no secret", account, 0o644, false},
		{"secret of a client", "[accounts.a]\nhost=\"h\"\nusername=\"u\"\noauth2 = { provider = \"x\", client_secret = \"hunter2\" }\n", 0o644, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.perm); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, homeEnv("/h"))
			if (err != nil) != tt.refused {
				t.Fatalf("refused: %v, want %v", err, tt.refused)
			}
			if tt.refused && (!strings.Contains(err.Error(), "chmod 600 '"+path+"'") || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("the error must have the line to paste and no secret: %v", err)
			}
		})
	}
}

func TestNoErrorQuotesASecret(t *testing.T) {
	for _, text := range []string{
		"[accounts.a]\npassword = \"hunter2\n",
		"[accounts.a]\npassword = hunter2\n",
		"[accounts.a]\npassword = [\"hunter2\"]\n",
		"[accounts.a]\npassword = \"hunter2\\q\"\n",
		"[accounts.a]\npasword = \"hunter2\"\n",
		"[accounts.a]\npassword = \"hunter2\\u0000\"\n",
	} {
		_, err := Parse("c", []byte(text), homeEnv("/h"))
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2") {
			t.Errorf("%q gave %v", text, err)
		}
	}
}

func TestSecretHides(t *testing.T) {
	s := NewSecret("hunter2")
	type inside struct {
		Public  Secret
		private Secret
	}
	v := inside{s, s}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "account", v)
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		s.String(), fmt.Sprintf("%v %s %q %x %d %#v %+v", s, s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", v, v, v),
		fmt.Sprint(&v), string(out), log.String(),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("shows the secret: %s", text)
		}
	}
	if s.Reveal() != "hunter2" || v.private.IsZero() || !(Secret{}).IsZero() {
		t.Error("the secret itself is lost")
	}
}

func TestDefaultFile(t *testing.T) {
	if got, err := DefaultFile(homeEnv("/h")); err != nil || got != "/h/.config/godwit/config.toml" {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := DefaultFile(func(string) string { return "/x" }); err != nil || got != "/x/godwit/config.toml" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := DefaultFile(func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("%v", err)
	}
}

func TestLoadTellsWhatIsWrongWithTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.toml"), homeEnv("/h")); err == nil || !strings.Contains(err.Error(), "there is no configuration at") {
		t.Errorf("missing: %v", err)
	}
	if _, err := Load(dir, homeEnv("/h")); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("directory: %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	example, err := os.ReadFile("../config.example.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(account + "schedule = \"TZ=\"\nkeep = { within = \"1h\" }\nfolders = [\"!a%*b\"]\n"))
	f.Add([]byte("a.b.c = 1\n[[accounts.x]]\n[accounts]\nx.host = \"h\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("c", data, homeEnv("/nonexistent"))
		if (c == nil) == (err == nil) {
			t.Fatalf("%v and %v", c, err)
		}
		if err != nil {
			var one *Error
			if !errors.As(err, &one) || one.Text == "" {
				t.Fatalf("no *Error: %v", err)
			}
			return
		}
		for _, a := range c.Accounts {
			if a.Name == "" || a.Host == "" || !filepath.IsAbs(a.State) || a.Port < 1 || a.Port > 65535 || a.Connections < 1 {
				t.Fatalf("accepted: %+v", a)
			}
		}
	})
}
