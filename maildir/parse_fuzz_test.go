package maildir

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// FuzzKeywords: whatever stands in dovecot-keywords, letters and flags can be
// turned into each other, changed and carried to another mailbox without one
// flag more or less.
func FuzzKeywords(f *testing.F) {
	f.Add("0 todo\n1 $Forwarded\n", "0 work\n2 todo\n", "Sab", "todo", "work")
	f.Add("0 todo\n3 TODO\nx y\n99 z\n-1 q\n0 again\n", "", "ad\xffZ1", "new", "Todo $forwarded")
	f.Add("25 a(b\n25 ok\r\n2\n 2 x\n", "7 OK", "zP", `\Seen \Deleted`, `ok \Flagged`)
	f.Fuzz(func(t *testing.T, text, other, flagLetters, adding, removing string) {
		if strings.Contains(flagLetters, ",") {
			return // what follows it are no letters
		}
		words, to := parseKeywords([]byte(text)), parseKeywords([]byte(other))
		for i, w := range words.words {
			if w != "" && (!mail.ValidKeyword(string(w)) || !strings.Contains(text, fmt.Sprintf("%d %s", i, w))) {
				t.Fatalf("letter %c means %q in %q", 'a'+i, w, text)
			}
		}
		have := words.flags(flagLetters)
		add, remove := mail.ParseFlagSet(adding), mail.ParseFlagSet(removing)
		remove = remove.Minus(add)
		_, taken := words.encode(add)
		if !taken.Union(mail.NewFlagSet(words.lacks(add)...)).Equal(add) {
			t.Fatalf("of %q, %q have letters and %q lack them", add, taken, words.lacks(add))
		}
		got := words.apply(flagLetters, add, remove)
		if now := words.flags(got); !now.Equal(have.Union(taken).Minus(remove)) {
			t.Fatalf("%q with %q, less %q, means %q", flagLetters, add, remove, now)
		}
		if again := words.apply(got, add, remove); again != got {
			t.Fatalf("%q becomes %q and then %q", flagLetters, got, again)
		}
		if next, ok := translate(flagLetters, words, to); ok && !to.flags(next).Equal(have) {
			t.Fatalf("%q (%q) becomes %q (%q) in a mailbox with %q", flagLetters, have, next, to.flags(next), other)
		}
	})
}

// FuzzMarker: a marker that was written is read as it was, whatever an older
// one was; any other text is nobody's, or harmless.
func FuzzMarker(f *testing.F) {
	f.Add("", "abc", int64(1))
	f.Add(markerText("0011", 7), "0011", int64(1<<62))
	f.Add("instance\nruns x\nruns 9223372036854775808\ninstance a b\r\n", "x", int64(0))
	f.Fuzz(func(t *testing.T, text, instance string, runs int64) {
		var any plan.Root
		parseMarker(text, &any)
		if strings.ContainsAny(any.Instance, "\n") || any.Exists || any.Mail {
			t.Fatalf("%q was read as %+v", text, any)
		}
		if instance == "" || strings.ContainsAny(instance, "\n\r") || runs < 0 {
			return
		}
		var got plan.Root
		parseMarker(markerText(instance, runs), &got)
		if got.Instance != instance || got.Runs != runs {
			t.Fatalf("%q and %d were read as %+v", instance, runs, got)
		}
	})
}
