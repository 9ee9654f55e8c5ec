package maildir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	oracle "github.com/emersion/go-maildir"

	"github.com/godwit-mail/godwit/mail"
)

const token = "0123456789abcdef0123456789abcdef"

func TestFileNames(t *testing.T) {
	for _, tt := range []struct {
		name, key, letters, rest, token string
		uid                             uint32
	}{
		{name: "1.x", key: "1.x"},
		{name: "1.x:2,", key: "1.x"},
		{name: "1.x:2,FS", key: "1.x", letters: "FS"},
		{name: "1.x:2,SF,more", key: "1.x", letters: "SF", rest: ",more"},
		{name: "1.x:1,exp", key: "1.x"},
		{name: "1.x:", key: "1.x"},
		{name: "1.x:2,S:2,F", key: "1.x", letters: "S:2", rest: ",F"},
		{name: "1.x,U=77:2,S", key: "1.x,U=77", letters: "S", uid: 77},
		{name: "1.x,U=77,FMD5=abc:2,S", key: "1.x,U=77,FMD5=abc", letters: "S", uid: 77},
		{name: "1.x,U=:2,", key: "1.x,U="},
		{name: "1.x,U=-1:2,", key: "1.x,U=-1"},
		{name: "1.x,U=4294967296:2,", key: "1.x,U=4294967296"},
		{name: "1.x,S=12,W=13:2,aZ9", key: "1.x,S=12,W=13", letters: "aZ9"},
		{name: "5.G" + token + ".godwit:2,S", key: "5.G" + token + ".godwit", letters: "S", token: token},
		{name: "5.G" + token + ".godwit,S=9:2,S", key: "5.G" + token + ".godwit,S=9", letters: "S", token: token},
		{name: "5.G" + token[1:] + ".godwit", key: "5.G" + token[1:] + ".godwit"},
		{name: "5.G" + strings.ToUpper(token) + ".godwit", key: "5.G" + strings.ToUpper(token) + ".godwit"},
		{name: "x.G" + token + ".godwit", key: "x.G" + token + ".godwit"},
		{name: "5.G" + token + ".other", key: "5.G" + token + ".other"},
	} {
		key, info := splitName(tt.name)
		flags, rest := letters(info)
		wantEqual(t, tt.name+" key", key, tt.key)
		wantEqual(t, tt.name+" letters", flags, tt.letters)
		wantEqual(t, tt.name+" rest", rest, tt.rest)
		wantEqual(t, tt.name+" uid", parseUID(key), tt.uid)
		wantEqual(t, tt.name+" token", parseToken(key), tt.token)
	}
	if key := uniqueKey(time.Unix(5, 7000)); parseToken(key) != "" || !strings.HasPrefix(key, "5.M7P") || key == uniqueKey(time.Unix(5, 7000)) {
		t.Errorf("the key %q is not unique, or bears a token", key)
	}
	if key := tokenKey(time.Unix(-5, 0), token); parseToken(key) != token {
		t.Errorf("the token is not found in %q", key)
	}
}

func FuzzFileNames(f *testing.F) {
	for _, s := range []string{"1.x:2,FS", "1.x,U=7:2,S", "5.G" + token + ".godwit:2,aS", ":2,", "::", "x:2,\xff,y"} {
		f.Add(s, "Sa")
	}
	f.Fuzz(func(t *testing.T, name, extra string) {
		key, info := splitName(name)
		if key+info != name || strings.Contains(key, ":") {
			t.Fatalf("%q was split into %q and %q", name, key, info)
		}
		if tok := parseToken(key); tok != "" && !validToken(tok) {
			t.Fatalf("%q has the token %q", key, tok)
		}
		parseUID(key)
		flags, rest := letters(info)
		if strings.Contains(extra, ",") {
			return
		}
		back, rest2 := letters(withLetters(info, flags+extra))
		if back != sortLetters(flags+extra) || rest2 != rest {
			t.Fatalf("%q with %q became %q and %q", info, flags+extra, back, rest2)
		}
	})
}

// TestLettersAsOthersWriteThem compares with go-maildir.
func TestLettersAsOthersWriteThem(t *testing.T) {
	d := oracle.Dir(filepath.Join(t.TempDir(), "box"))
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	all := []oracle.Flag{oracle.FlagPassed, oracle.FlagReplied, oracle.FlagSeen, oracle.FlagTrashed, oracle.FlagDraft, oracle.FlagFlagged}
	words := parseKeywords(nil)
	for bits := range 1 << len(all) {
		var flags []oracle.Flag
		for i, fl := range all {
			if bits&(1<<i) != 0 {
				flags = append(flags, fl)
			}
		}
		msg, w, err := d.Create(flags)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		key, info := splitName(filepath.Base(msg.Filename()))
		wantEqual(t, "key", key, msg.Key())
		have, _ := letters(info)
		wantEqual(t, "order", have, sortLetters(have))
		enc, taken := words.encode(words.flags(have))
		wantEqual(t, "letters", sortLetters(enc), have)
		if taken.Len() != len(slices.Compact(flags)) {
			t.Errorf("%q: %d flags of %d", have, taken.Len(), len(flags))
		}
		if err := os.Remove(msg.Filename()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTableApply(t *testing.T) {
	words := parseKeywords([]byte("0 Work\n1 $Forwarded\n25 Last\n26 TooFar\nx bad\n2 has space\n0 Again\n3"))
	fs := mail.ParseFlagSet
	for _, tt := range []struct{ letters, add, remove, want string }{
		{"", `\Seen`, "", "S"},
		{"FS", "", `\Seen`, "F"},
		{"XFq", `\Seen`, "", "FSXq"},             // unknown letters stay
		{"S", "$Forwarded", "", "PSb"},           // both are written
		{"PSb", "", "$Forwarded", "S"},           // both are taken away
		{"Pb", "", "$forwarded", ""},             // whatever the case
		{"S", "Work Last Unknown", "", "Saz"},    // Unknown has no letter
		{"Sa", "", "Work", "S"},                  //
		{"SaS!", `\Flagged`, `\Deleted`, "FSa!"}, // each once
	} {
		wantEqual(t, tt.letters+" + "+tt.add+" - "+tt.remove, words.apply(tt.letters, fs(tt.add), fs(tt.remove)), tt.want)
	}
	if got := words.flags("Pabcz"); !got.Equal(fs("$Forwarded Work Last")) {
		t.Errorf("the letters mean %v", got)
	}
}

func TestTranslate(t *testing.T) {
	from := parseKeywords([]byte("0 Work\n1 Home\n2 $Forwarded"))
	to := parseKeywords([]byte("0 Home\n5 Work\n16 Other"))
	for _, tt := range []struct {
		old, want string
		ok        bool
	}{
		{"S", "S", true},
		{"a", "f", true},
		{"ab", "af", true},
		{"c", "P", true},
		{"Pc", "P", true},
		{"qX", "X", true}, // q would become Other
		{"rS", "Sr", true},
	} {
		got, ok := translate(tt.old, from, to)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%q became %q, %v, want %q, %v", tt.old, got, ok, tt.want, tt.ok)
		}
	}
	if got, ok := translate("a", from, parseKeywords(nil)); ok {
		t.Errorf("a keyword without a letter became %q", got)
	}
}
