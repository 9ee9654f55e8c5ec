package mail

import (
	"errors"
	"testing"
	"unicode/utf8"
)

func TestUTF7(t *testing.T) {
	for _, tt := range []struct{ plain, coded string }{
		{"", ""},
		{"INBOX", "INBOX"},
		{"R&D", "R&-D"},
		{"&", "&-"},
		{"&&", "&-&-"},
		{"Entwürfe", "Entw&APw-rfe"},
		{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, // RFC 3501, section 5.1.3
		{"台北日本語", "&U,BTF2XlZyyKng-"},
		{"😀", "&2D3eAA-"},
		{"a\tb", "a&AAk-b"},
		{"\x00", "&AAA-"},
		{"é&é", "&AOk-&-&AOk-"},
		{"\ufffd", "&,,0-"},
	} {
		if got := EncodeUTF7(tt.plain); got != tt.coded {
			t.Errorf("EncodeUTF7(%q) = %q, want %q", tt.plain, got, tt.coded)
		}
		got, err := DecodeUTF7(tt.coded)
		if err != nil || got != tt.plain {
			t.Errorf("DecodeUTF7(%q) = %q, %v, want %q", tt.coded, got, err, tt.plain)
		}
	}
}

func TestUTF7Refuses(t *testing.T) {
	for _, bad := range []string{
		"&", "a&b", "&AOk", // no end
		"é", "a\tb", "a\x7f", // not printable US-ASCII
		"&AGE-", "&ACY-", // "a" and "&" represent themselves
		"&U,BTFw-&ZeVnLIqe-",          // superfluous shift
		"&AOl-",                       // bits left over
		"&AO-", "&AA-", "&A-", "&/w-", // not whole characters, not the alphabet
		"&2D0-", "&3gA-", "&2D0AYQ-", "&3gDYPQ-", // surrogates
		"&AO\nk-",
	} {
		if got, err := DecodeUTF7(bad); !errors.Is(err, ErrUTF7) {
			t.Errorf("DecodeUTF7(%q) = %q, %v, want ErrUTF7", bad, got, err)
		}
	}
}

func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"INBOX", "Entw&APw-rfe", "台北日本語", "&2D3eAA-", "&-&-", "&AAA-", "&,,0-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if plain, err := DecodeUTF7(s); err == nil {
			if !utf8.ValidString(plain) {
				t.Fatalf("DecodeUTF7(%q) is not UTF-8: %q", s, plain)
			}
			if back := EncodeUTF7(plain); back != s {
				t.Fatalf("%q decoded to %q, encoded to %q", s, plain, back)
			}
		}
		if utf8.ValidString(s) {
			back, err := DecodeUTF7(EncodeUTF7(s))
			if err != nil || back != s {
				t.Fatalf("%q encoded to %q, decoded to %q, %v", s, EncodeUTF7(s), back, err)
			}
		}
	})
}
