package soak

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A reader is a mail program on the server's side of the account. Its methods
// give errors: while godwit runs they are called from elsewhere than the test.
type reader struct {
	c         *imapclient.Client
	prefix    string // of the personal namespace
	separator string
}

// path is a mailbox as the server names it.
func (r *reader) path(name mail.MailboxName) string {
	if name == mail.Inbox {
		return "INBOX"
	}
	return r.prefix + strings.ReplaceAll(string(name), "/", r.separator)
}

// name undoes path.
func (r *reader) name(path string) mail.MailboxName {
	return mail.MailboxName(strings.ReplaceAll(strings.TrimPrefix(path, r.prefix), r.separator, "/"))
}

// at selects a mailbox, does something with the message that has the mark, and
// leaves the mailbox again, which somebody may rename or delete.
func (r *reader) at(box mail.MailboxName, mark string, do func(uids imap.UIDSet) error) error {
	if _, err := r.c.Select(r.path(box), nil).Wait(); err != nil {
		return fmt.Errorf("select %q: %w", box, err)
	}
	found, err := r.c.UIDSearch(&imap.SearchCriteria{Text: []string{mark}}, nil).Wait()
	if err != nil {
		return fmt.Errorf("search %q: %w", box, err)
	}
	if uids := found.AllUIDs(); len(uids) != 1 {
		return fmt.Errorf("%s is %d times in %q on the server", mark, len(uids), box)
	}
	if err := do(imap.UIDSetNum(found.AllUIDs()[0])); err != nil {
		return fmt.Errorf("%s in %q: %w", mark, box, err)
	}
	return r.c.Unselect().Wait()
}

func (r *reader) deliver(box mail.MailboxName, l *letter, flags mail.FlagSet) error {
	body := sidetest.Canonical([]byte(l.text))
	cmd := r.c.Append(r.path(box), int64(len(body)), &imap.AppendOptions{Flags: wireFlags(flags), Time: l.date})
	if _, err := cmd.Write(body); err != nil {
		return err
	}
	if err := cmd.Close(); err != nil {
		return err
	}
	_, err := cmd.Wait()
	return err
}

func wireFlags(flags mail.FlagSet) []imap.Flag {
	var out []imap.Flag
	for _, f := range flags.Flags() {
		out = append(out, imap.Flag(f))
	}
	return out
}

func (r *reader) setFlags(box mail.MailboxName, mark string, flags mail.FlagSet) error {
	return r.at(box, mark, func(uids imap.UIDSet) error {
		return r.c.Store(uids, &imap.StoreFlags{Op: imap.StoreFlagsSet, Silent: true, Flags: wireFlags(flags)}, nil).Close()
	})
}

// move uses what every Dovecot understands, whatever it claims.
func (r *reader) move(box mail.MailboxName, mark string, to mail.MailboxName) error {
	return r.at(box, mark, func(uids imap.UIDSet) error {
		if r.c.Caps().Has(imap.CapMove) {
			_, err := r.c.Move(uids, r.path(to)).Wait()
			return err
		}
		if _, err := r.c.Copy(uids, r.path(to)).Wait(); err != nil {
			return err
		}
		return r.expunge(uids)
	})
}

func (r *reader) expunge(uids imap.UIDSet) error {
	mark := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	if err := r.c.Store(uids, mark, nil).Close(); err != nil {
		return err
	}
	return r.c.UIDExpunge(uids).Close()
}

func (r *reader) copy(box mail.MailboxName, mark string, to mail.MailboxName) error {
	return r.at(box, mark, func(uids imap.UIDSet) error {
		_, err := r.c.Copy(uids, r.path(to)).Wait()
		return err
	})
}

func (r *reader) remove(box mail.MailboxName, mark string) error {
	return r.at(box, mark, r.expunge)
}

// create makes a mailbox. Dovecot now and then makes it and says that it was
// there, while another session works on its parent.
func (r *reader) create(box mail.MailboxName) error {
	err := r.c.Create(r.path(box), nil).Wait()
	var refused *imap.Error
	if errors.As(err, &refused) && refused.Code == imap.ResponseCodeAlreadyExists {
		if there, lost := r.mailboxes(); lost == nil && slices.Contains(there, box) {
			return nil
		}
	}
	return err
}

func (r *reader) rename(from, to mail.MailboxName, _ []mail.MailboxName) error {
	return r.c.Rename(r.path(from), r.path(to), nil).Wait()
}

func (r *reader) drop(box mail.MailboxName) error { return r.c.Delete(r.path(box)).Wait() }

// mailboxes lists what can be selected.
func (r *reader) mailboxes() ([]mail.MailboxName, error) {
	list, err := r.c.List("", "*", nil).Collect()
	if err != nil {
		return nil, err
	}
	var out []mail.MailboxName
	for _, l := range list {
		if !slices.Contains(l.Attrs, imap.MailboxAttrNoSelect) && !slices.Contains(l.Attrs, imap.MailboxAttrNonExistent) {
			out = append(out, r.name(l.Mailbox))
		}
	}
	slices.Sort(out)
	return out, nil
}

// snapshot reads everything.
func (r *reader) snapshot() (sidetest.Snapshot, error) {
	names, err := r.mailboxes()
	if err != nil {
		return nil, err
	}
	snap := sidetest.Snapshot{}
	for _, name := range names {
		if snap[name], err = r.fetch(name); err != nil {
			return nil, fmt.Errorf("reading %q: %w", name, err)
		}
	}
	return snap, nil
}

func (r *reader) fetch(box mail.MailboxName) ([]sidetest.Message, error) {
	sel, err := r.c.Select(r.path(box), &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return nil, err
	}
	var out []sidetest.Message
	if sel.NumMessages > 0 {
		if out, err = r.fetchAll(); err != nil {
			return nil, err
		}
	}
	return out, r.c.Unselect().Wait()
}

func (r *reader) fetchAll() ([]sidetest.Message, error) {
	var all imap.SeqSet
	all.AddRange(1, 0)
	cmd := r.c.Fetch(all, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	defer cmd.Close()
	var out []sidetest.Message
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		m, err := read(msg)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, cmd.Close()
}

func read(msg *imapclient.FetchMessageData) (m sidetest.Message, err error) {
	for item := msg.Next(); item != nil; item = msg.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			m.Ref = mail.Ref(fmt.Sprint(item.UID))
		case imapclient.FetchItemDataFlags:
			for _, f := range item.Flags {
				m.Flags = m.Flags.With(mail.Flag(f))
			}
		case imapclient.FetchItemDataInternalDate:
			m.Date = item.Time
		case imapclient.FetchItemDataBodySection:
			if m.Body, err = io.ReadAll(item.Literal); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

// fingerprint changes with any write to the account.
func (r *reader) fingerprint() (string, error) {
	names, err := r.mailboxes()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range names {
		st, err := r.c.Status(r.path(name), &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, HighestModSeq: true}).Wait()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s: %d messages, next %d, epoch %d, modseq %d\n", name, *st.NumMessages, st.UIDNext, st.UIDValidity, st.HighestModSeq)
	}
	return out.String(), nil
}
