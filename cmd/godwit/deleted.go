package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/restore"
	"github.com/godwit-mail/godwit/config"
	gmail "github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
)

// A deleted message is one that godwit deleted and keeps.
type deleted struct {
	store.Kept
	from, subject string
	open          func() (io.ReadCloser, error)
}

// deletedOnes restores, or lists, what godwit deleted.
func (x *restoring) deletedOnes(ctx context.Context) error {
	a, acc := x.app, x.acc
	list, err := a.chosen(ctx, acc, x.restoreOptions)
	if err != nil {
		return err
	}
	switch {
	case x.to.kind == "" && len(x.messages) == 0:
		a.listDeleted(acc, list)
		return nil
	case len(list) == 0:
		a.out.info("%s: nothing that was deleted is kept here", acc.Name)
		return nil
	case x.to.kind == "":
		return a.putBack(ctx, acc, list, x.restoreOptions)
	case x.to.kind == toServer:
		return x.toServer(ctx, x.selectDeleted(list))
	}
	return a.writeOut(ctx, acc, x.to.kind, x.to.path, list, x.restoreOptions)
}

// selectDeleted makes what godwit deleted something to be restored.
func (x *restoring) selectDeleted(list []deleted) *restore.Selection {
	names, groups := byMailbox(list, x.into)
	x.subjects = map[gmail.Digest]string{}
	var messages []restore.Message
	for _, name := range names {
		for _, d := range groups[name] {
			messages = append(messages, restore.Message{Mailbox: name, Ident: d.Ident, Flags: d.Flags, Date: d.Date, Open: d.open})
			x.subjects[d.Ident.Body] = d.subject
		}
	}
	side := restore.Listed(messages)
	var parts []restore.Part
	for _, name := range names {
		parts = append(parts, restore.Part{From: side, Mailbox: name, To: name})
	}
	return restore.Select(parts, false)
}

// chosen lists what the flags choose of the kept messages, oldest first. Those
// that an index that was lost knew come first: their mailbox is not known.
func (a *app) chosen(ctx context.Context, acc *config.Account, r restoreOptions) ([]deleted, error) {
	index, err := store.OpenReadOnly(ctx, acc.State)
	switch {
	case err == nil:
		defer index.Close()
	case errors.Is(err, store.ErrDamaged):
		a.complain(acc.Name, "the index is damaged, so nobody knows where the messages were: run verify --repair")
		index = nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	keeper := index.Keeper(acc.State, acc.KeepDeleted, a.now)
	var list []deleted
	add := func(k store.Kept) error {
		if r.folder == "" || k.Mailbox == r.folder {
			list = append(list, deleted{Kept: k, open: func() (io.ReadCloser, error) { return keeper.Open(k) }})
		}
		return ctx.Err()
	}
	if err := keeper.Strays(ctx, add); err != nil {
		return nil, err
	}
	if index != nil {
		if err := index.ListKept(ctx, store.KeptFilter{}, add); err != nil {
			return nil, err
		}
	}
	if list, err = matching(list, r.messages); err != nil {
		return nil, err
	}
	for i := range list {
		list[i].read()
	}
	return list, nil
}

// matching keeps the messages whose digest begins with one of the prefixes.
func matching(list []deleted, prefixes []string) ([]deleted, error) {
	if len(prefixes) == 0 {
		return list, nil
	}
	wanted := make([]bool, len(list))
	for _, prefix := range prefixes {
		prefix = strings.ToLower(prefix)
		if prefix == "" || strings.Trim(prefix, "0123456789abcdef") != "" {
			return nil, &usageError{fmt.Errorf("--message %q: give a digest as restore --deleted shows it, or the beginning of one", prefix)}
		}
		found := false
		for i := range list {
			if strings.HasPrefix(list[i].Ident.Body.String(), prefix) {
				wanted[i], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("no message whose digest begins with %s is kept: see restore --deleted", prefix)
		}
	}
	var out []deleted
	for i := range list {
		if wanted[i] {
			out = append(out, list[i])
		}
	}
	return out, nil
}

// maxHeader is how much of a message is read for its sender and subject.
const maxHeader = 256 << 10

// read fills in what the header says; it is for people only.
func (d *deleted) read() {
	r, err := d.open()
	if err != nil {
		d.subject = "(" + err.Error() + ")"
		return
	}
	defer r.Close()
	d.from, d.subject = headline(r)
}

// headline is what the header of a message says to people.
func headline(r io.Reader) (from, subject string) {
	msg, err := mail.ReadMessage(io.LimitReader(r, maxHeader))
	if err != nil {
		return "", ""
	}
	words := new(mime.WordDecoder)
	decode := func(name string) string {
		text := msg.Header.Get(name)
		if decoded, err := words.DecodeHeader(text); err == nil {
			return decoded
		}
		return text
	}
	return decode("From"), decode("Subject")
}

// listDeleted prints a line a message, the last one newest.
func (a *app) listDeleted(acc *config.Account, list []deleted) {
	for _, d := range list {
		a.showDeleted("deleted", acc, d)
		mailbox := string(d.Mailbox)
		if mailbox == "" {
			mailbox = "(mailbox not known)"
		}
		a.out.line("%s  %s  %s  %s  %s  %s", d.DeletedAt.Local().Format("2006-01-02 15:04"), d.Ident.Body.String()[:12], mailbox,
			bytesText(d.Ident.Size), orDash(d.from), orDash(d.subject))
	}
	if len(list) == 0 {
		a.out.info("%s: nothing that was deleted is kept here", acc.Name)
		return
	}
	a.out.info("%s: %s kept; restore %s --deleted --message DIGEST puts one back", acc.Name, count(len(list), "message"), acc.Name)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// A deletedRecord is what --json tells of a kept message beyond the usual.
type deletedRecord struct {
	Deleted string   `json:"deleted_at"`
	Until   string   `json:"until"`
	Why     string   `json:"why,omitempty"`
	From    string   `json:"from"`
	Subject string   `json:"subject"`
	Date    string   `json:"date,omitempty"`
	Flags   []string `json:"flags"`
}

func (a *app) showDeleted(kind string, acc *config.Account, d deleted) {
	if !a.json {
		return
	}
	r := &deletedRecord{
		Deleted: d.DeletedAt.Format(time.RFC3339), Until: d.Until.Format(time.RFC3339), Why: d.Why, From: d.from, Subject: d.subject,
		Flags: append([]string{}, flagNames(d.Flags)...),
	}
	if !d.Date.IsZero() {
		r.Date = d.Date.Format(time.RFC3339)
	}
	a.out.object(record{Type: kind, Account: acc.Name, Mailbox: string(d.Mailbox), Side: d.Side.String(), Digest: d.Ident.Body.String(), Size: d.Ident.Size, Kept: r})
}

// byMailbox groups messages by where they go, each message once a mailbox; of
// two deletions of one message the later counts.
func byMailbox(list []deleted, into string) (names []gmail.MailboxName, groups map[gmail.MailboxName][]deleted) {
	groups = map[gmail.MailboxName][]deleted{}
	at := map[gmail.MailboxName]map[gmail.Digest]int{}
	for _, d := range list {
		name := d.Mailbox
		if into != "" {
			name = gmail.NewMailboxName(strings.Split(into, "/")...)
		} else if name == "" {
			name = gmail.Inbox
		}
		if at[name] == nil {
			at[name] = map[gmail.Digest]int{}
			names = append(names, name)
		}
		if i, twice := at[name][d.Ident.Body]; twice {
			groups[name][i] = d
			continue
		}
		at[name][d.Ident.Body] = len(groups[name])
		groups[name] = append(groups[name], d)
	}
	slices.Sort(names)
	return names, groups
}
