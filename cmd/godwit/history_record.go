package main

import (
	"time"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/mail"
)

// A messageRecord is a message of an archive, for scripts.
type messageRecord struct {
	Digest    string `json:"digest"` // of its exact bytes
	Size      int64  `json:"size"`
	Subject   string `json:"subject"`
	Sender    string `json:"sender"`
	MessageID string `json:"message_id"`
	Date      string `json:"date,omitempty"` // of the header
}

func newMessageRecord(m archive.Message) *messageRecord {
	if m.Digest.IsZero() {
		return nil
	}
	r := &messageRecord{Digest: m.Digest.String(), Size: m.Size, Subject: m.Subject, Sender: m.Sender, MessageID: m.MessageID}
	if !m.Date.IsZero() {
		r.Date = m.Date.Format(time.RFC3339)
	}
	return r
}

// A differenceRecord is what differs between two generations, for scripts.
type differenceRecord struct {
	What    archive.Change   `json:"what"`
	Was     mail.MailboxName `json:"was,omitempty"`     // moved, renamed: where it was, what it was called
	Message *messageRecord   `json:"message,omitempty"` // not of a mailbox
	Flags   []string         `json:"flags,omitempty"`   // those that it has, or had before it went
	Added   []string         `json:"added,omitempty"`
	Removed []string         `json:"removed,omitempty"`
}

func newDifferenceRecord(d archive.Difference) *differenceRecord {
	return &differenceRecord{
		What: d.What, Was: d.Was, Message: newMessageRecord(d.Message), Flags: flagNames(d.Flags),
		Added: flagNames(flagsAdded(d)), Removed: flagNames(flagsRemoved(d)),
	}
}

// A foundRecord is a message with where it lay, for scripts.
type foundRecord struct {
	Message *messageRecord    `json:"message"`
	Places  []placementRecord `json:"places"` // the oldest first
}

type placementRecord struct {
	Mailbox     mail.MailboxName `json:"mailbox"`
	From        int64            `json:"from"`         // the first generation that has it there
	To          int64            `json:"to,omitempty"` // the last; none: it is still there
	Flags       []string         `json:"flags"`
	Date        string           `json:"date,omitempty"` // INTERNALDATE
	UIDValidity string           `json:"uidvalidity,omitempty"`
	UID         string           `json:"uid,omitempty"`
}

func newFoundRecord(f archive.Found) *foundRecord {
	r := &foundRecord{Message: newMessageRecord(f.Message), Places: []placementRecord{}}
	for _, p := range f.Places {
		pr := placementRecord{Mailbox: p.Mailbox, From: p.From, To: p.To, Flags: append([]string{}, flagNames(p.Flags)...), UIDValidity: p.UIDValidity, UID: p.UID}
		if !p.Date.IsZero() {
			pr.Date = p.Date.Format(time.RFC3339)
		}
		r.Places = append(r.Places, pr)
	}
	return r
}
