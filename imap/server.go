package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// A meeting is what the server told of itself.
type meeting struct {
	greeting string
	caps     []string
}

// meet remembers what the server told when the connection was made.
func (a *Account) meet(s *session) {
	a.met = meeting{greeting: s.wire.Greeting()}
	for c := range s.caps {
		a.met.caps = append(a.met.caps, string(c))
	}
	slices.Sort(a.met.caps)
}

// Server tells, after a Survey, what the server said in its greeting, the
// capabilities that it offers after the login, sorted, and the separator and the
// prefix of the personal namespace. A separator of "" says that it has no levels.
func (a *Account) Server() (greeting string, caps []string, separator, prefix string) {
	return a.met.greeting, a.met.caps, a.names.sep, a.names.prefix
}

// Subscribed gives the mailboxes that the user is subscribed to, whether they
// exist or not: by LIST (SUBSCRIBED) (RFC 5258), else by LSUB. It is to be
// called after a Survey. Names that cannot be translated, and those of
// namespaces that take no part, are left out.
func (a *Account) Subscribed(ctx context.Context) (map[mail.MailboxName]bool, error) {
	a.forget()
	var listed []string
	err := a.retry(ctx, func(s *session) (err error) {
		if s.has(goimap.CapListExtended) {
			listed, err = s.listSubscribed()
		} else {
			listed, err = s.lsub()
		}
		return err
	})
	if err != nil {
		return nil, refusal(mail.GradeAccount, fmt.Errorf("listing subscriptions: %w", err))
	}
	out := make(map[mail.MailboxName]bool, len(listed))
	for _, raw := range listed {
		name, known := a.names.toName[raw]
		if !known {
			if name, err = a.names.translate(raw); err != nil || a.names.isForeign(raw) {
				continue
			}
		}
		out[name] = true
	}
	return out, nil
}

func (s *session) listSubscribed() ([]string, error) {
	data, err := s.client.List("", "*", &goimap.ListOptions{SelectSubscribed: true}).Collect()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(data))
	for i, d := range data {
		names[i] = d.Mailbox
	}
	return names, nil
}

// lsub asks as RFC 3501, section 6.3.9, has it.
func (s *session) lsub() ([]string, error) {
	call := &wire.Call{Command: `LSUB "" *`}
	if err := s.wire.Send(false, call); err != nil {
		return nil, err
	}
	answer, err := s.wire.Wait(call)
	if err != nil {
		return nil, answered(err)
	}
	return answer.Subscribed, nil
}

// Subscribe subscribes to mailboxes, or ends the subscriptions, in one flight.
// It is to be called after a Survey. The error joins what concerns single ones,
// each with its name; the others are done.
func (a *Account) Subscribe(ctx context.Context, names []mail.MailboxName, on bool) error {
	a.forget()
	if len(names) == 0 {
		return nil
	}
	var refused []error
	err := a.retry(ctx, func(s *session) (err error) {
		refused, err = a.subscribe(s, names, on)
		return err
	})
	if err != nil {
		return refusal(mail.GradeAccount, err)
	}
	return errors.Join(refused...)
}

func (a *Account) subscribe(s *session, names []mail.MailboxName, on bool) (refused []error, err error) {
	verb, send := "subscribing to", s.client.Subscribe
	if !on {
		verb, send = "unsubscribing from", s.client.Unsubscribe
	}
	sent := make([]*imapclient.Command, len(names))
	s.wire.Cork()
	for i, name := range names {
		raw, err := a.names.wire(name)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		sent[i] = send(raw)
	}
	err = s.wire.Uncork()
	for i, cmd := range sent {
		if cmd == nil {
			continue
		}
		switch e := cmd.Wait(); {
		case e == nil:
		case isLoss(e):
			err = e
		default:
			refused = append(refused, refusal(mail.GradeMailbox, fmt.Errorf("%s mailbox %q: %w", verb, names[i], e)))
		}
	}
	return refused, err
}

// A Quota is how much mail a user may have: what is used, and the limit of
// the narrowest root, in bytes and in messages. A limit of 0 is none.
type Quota struct {
	Used, Limit            int64
	Messages, MessageLimit int64
}

// Quota asks how full the account is (RFC 9208), by the roots of INBOX. ok is
// false if the server does not tell.
func (a *Account) Quota(ctx context.Context) (q Quota, ok bool, err error) {
	a.forget()
	var roots []imapclient.QuotaData
	err = a.retry(ctx, func(s *session) (err error) {
		if !s.has(goimap.CapQuota) {
			return nil
		}
		roots, err = s.client.GetQuotaRoot(string(mail.Inbox)).Wait()
		return err
	})
	switch {
	case err != nil && refusedByServer(err):
		return Quota{}, false, nil // it offers, and then declines
	case err != nil:
		return Quota{}, false, refusal(mail.GradeAccount, fmt.Errorf("asking for the quota: %w", err))
	}
	for _, root := range roots {
		for name, r := range root.Resources {
			switch {
			case strings.EqualFold(string(name), "STORAGE"): // in units of 1024 octets (RFC 9208, section 5.1)
				narrow(&q.Used, &q.Limit, kibibytes(r.Usage), kibibytes(r.Limit))
			case strings.EqualFold(string(name), "MESSAGE"):
				narrow(&q.Messages, &q.MessageLimit, r.Usage, r.Limit)
			default:
				continue
			}
			ok = true
		}
	}
	return q, ok, nil
}

// narrow takes over a limit that leaves less than the one before.
func narrow(used, limit *int64, nowUsed, nowLimit int64) {
	if *limit == 0 || nowLimit > 0 && nowLimit-nowUsed < *limit-*used {
		*used, *limit = nowUsed, nowLimit
	}
}

func kibibytes(n int64) int64 { return min(n, 1<<52) << 10 }
