package sidetest

import (
	"bytes"
	"fmt"
	"strings"
)

// An OddMessage is one that some program or other has trouble with.
type OddMessage struct {
	Name string
	Body []byte
}

// OddMessages are messages that are to be kept byte for byte, up to line ends.
func OddMessages() []OddMessage {
	head := "From: a@example.org\r\nSubject: odd\r\n\r\n"
	long := strings.Repeat("x", 100_000)
	return []OddMessage{
		{"empty", []byte("")},
		{"only a line end", []byte("\r\n")},
		{"one byte", []byte("x")},
		{"no final newline", []byte(head + "the end")},
		{"no body", []byte("From: a@example.org\r\nSubject: no body\r\n\r\n")},
		{"no empty line", []byte("From: a@example.org\r\nSubject: no empty line\r\n")},
		{"no header at all", []byte("\r\nonly a body\r\n")},
		{"text without a header", []byte("this is no header\r\nnor is this\r\n\r\nbody\r\n")},
		{"bare LF", []byte("From: a@example.org\nSubject: bare LF\n\none\ntwo\n")},
		{"mixed line ends", []byte("From: a@example.org\r\nSubject: mixed\n\r\none\ntwo\r\nthree\n")},
		{"bare CR", []byte(head + "one\rtwo\r\nthree\r\r\nfour\r")},
		{"ends in CR", []byte(head + "one\r")},
		{"NUL bytes", []byte(head + "a\x00b\x00\x00c\r\n")},
		{"8-bit header", []byte("From: \xe4\xf6\xfc <a@example.org>\r\nSubject: \xc3\xa4\xff\r\n\r\nbody\r\n")},
		{"8-bit body", []byte(head + "\x80\x81\xfe\xff\xc3\x28\r\n")},
		{"long line", []byte(head + long + "\r\n")},
		{"long header line", []byte("From: a@example.org\r\nSubject: " + long + "\r\n\r\nbody\r\n")},
		{"many header fields", []byte(strings.Repeat("X-Field: value\r\n", 3000) + "\r\nbody\r\n")},
		{"folded header", []byte("From: a@example.org\r\nSubject: one\r\n two\r\n\tthree\r\n\r\nbody\r\n")},
		{"starts with a space", []byte(" folded from nowhere\r\nSubject: x\r\n\r\nbody\r\n")},
		{"mbox From line", []byte("From a@example.org Thu Mar  4 05:06:07 2021\r\nSubject: x\r\n\r\nFrom here\r\n>From there\r\n")},
		{"lines of dots", []byte(head + ".\r\n..\r\n.\r\n")},
		{"looks like a literal", []byte(head + "{12}\r\n* BYE\r\n)\r\nA1 OK\r\n")},
		{"looks like IMAP", []byte("Subject: {100000}\r\n\r\n)\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n")},
		{"same again, apart from X-TUID", []byte("X-TUID: abcdefghijkl\r\n" + head + "the end")},
		{"five megabytes", Large(5 << 20)},
	}
}

// Large is a message of about n bytes, which do not repeat.
func Large(n int) []byte {
	var out bytes.Buffer
	out.WriteString("From: a@example.org\r\nSubject: large\r\n\r\n")
	for i := 0; out.Len() < n; i++ {
		fmt.Fprintf(&out, "line %d of a large message, %x\r\n", i, uint64(i)*0x9e3779b97f4a7c15)
	}
	return out.Bytes()
}
