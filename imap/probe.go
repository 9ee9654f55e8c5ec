package imap

import (
	"context"
	"slices"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
)

// A ProbeReport is what a Probe found.
type ProbeReport struct {
	// Capabilities are those offered after the login, sorted.
	Capabilities []string
	// Prefix and Separator are those of the personal namespace; Separator is
	// "" if the server has no hierarchy.
	Prefix, Separator string
	Mailboxes         []ProbedMailbox
	// Refused are mailboxes whose names cannot be translated.
	Refused []Refused
	// Messages is the number of messages in all mailboxes, as far as told.
	Messages int
	// RoundTrip is how long the server took to answer a NOOP.
	RoundTrip time.Duration
	// Lacks names extensions that the server does not offer and whose lack
	// costs safety or speed, with what it means in words.
	Lacks []Lack
}

// A ProbedMailbox is one mailbox of a ProbeReport.
type ProbedMailbox struct {
	Name      mail.MailboxName
	Role      mail.Role
	Container bool // holds no mail
	Messages  int  // -1 if not told
}

// A Lack is an extension that a server does not offer.
type Lack struct{ Extension, Means string }

// Probe connects, logs in and looks around without changing anything. The
// error, if the login failed, is a mail.Fault of the account that says what to
// mend.
func Probe(ctx context.Context, opt Options) (ProbeReport, error) {
	a, err := Open(ctx, opt)
	if err != nil {
		return ProbeReport{}, err
	}
	defer a.Close()
	var r ProbeReport
	err = a.retry(ctx, func(s *session) error {
		r = ProbeReport{Lacks: s.lacks()}
		for c := range s.caps {
			r.Capabilities = append(r.Capabilities, string(c))
		}
		slices.Sort(r.Capabilities)
		began := time.Now()
		if err := s.client.Noop().Wait(); err != nil {
			return err
		}
		r.RoundTrip = time.Since(began)
		return nil
	})
	if err != nil {
		return r, refusal(mail.GradeAccount, err)
	}
	boxes, err := a.Survey(ctx, nil)
	if err != nil {
		return r, err
	}
	r.Refused, r.Prefix, r.Separator = a.Refused(), a.names.prefix, a.names.sep
	for _, b := range boxes {
		r.Mailboxes = append(r.Mailboxes, ProbedMailbox{b.Name, b.Role, b.Container, b.Count})
		r.Messages += max(b.Count, 0)
	}
	return r, nil
}

// lacks tells what the server cannot do that matters.
func (s *session) lacks() []Lack {
	var list []Lack
	for _, l := range []Lack{
		{"UIDPLUS", "a message is expunged only while no other is marked as deleted, and new UIDs must be looked for"},
		{"MOVE", "moves are made of COPY and EXPUNGE"},
		{"CONDSTORE", "the flags of every message are read in every run"},
		{"LIST-STATUS", "every run asks for the state of each mailbox by itself"},
	} {
		if !s.has(goimap.Cap(l.Extension)) {
			list = append(list, l)
		}
	}
	return list
}
