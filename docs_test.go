package godwit_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeShowsTheDemo compares the transcript in the README with what the
// demo prints now.
func TestReadmeShowsTheDemo(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "`make demo` prints this:\n\n```\n")
	want, _, ok := strings.Cut(rest, "\n```")
	if !ok {
		t.Fatal("the README has no transcript of make demo")
	}
	// Elsewhere than make demo, so that its folder is left alone.
	dir := t.TempDir()
	cmd := exec.Command("go", "run", "./cmd/godwit", "demo", "--dir", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	got := strings.ReplaceAll(strings.TrimSpace(string(out)), dir, "demo-mail")
	port := regexp.MustCompile(`port \d+`)
	if got, want := port.ReplaceAllString(got, "port"), port.ReplaceAllString(want, "port"); got != want {
		t.Errorf("paste the output of make demo into README.md; it is now\n%s", got)
	}
}

// TestEveryKeyIsDescribed looks for every key of the configuration in its
// documentation.
func TestEveryKeyIsDescribed(t *testing.T) {
	docs, err := os.ReadFile("docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("config/raw.go")
	if err != nil {
		t.Fatal(err)
	}
	account := string(raw)
	if i := strings.Index(account, "type rawOAuth2"); i > 0 {
		account = account[:i]
	}
	keys := regexp.MustCompile("toml:\"([a-z0-9_]+)\"").FindAllStringSubmatch(account, -1)
	if len(keys) < 25 {
		t.Fatalf("only %d keys found", len(keys))
	}
	for _, key := range keys {
		if !bytes.Contains(docs, []byte("`"+key[1]+"`")) && !bytes.Contains(docs, []byte("`["+key[1])) {
			t.Errorf("docs/configuration.md does not describe %s", key[1])
		}
	}
}
