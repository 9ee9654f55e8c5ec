package archive

import (
	"context"
	"errors"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// errNotYet is what is not built yet.
var errNotYet = errors.New("the archive cannot do this yet")

// Epoch is the epoch of every mailbox of an archive: the Refs in it, numbers
// of placements, are never given twice.
const Epoch = "archive"

// A Recording is the archive as the side that one run writes to: its effects
// make up one generation. It is an engine.Writer and an engine.Rooted.
type Recording struct{ a *Archive }

// Outcome is how a run ended, as far as the archive has to know.
type Outcome struct {
	// Complete: every mailbox was seen, and every message that the source has
	// is catalogued or among Quarantined.
	Complete bool
	Why      string // why it is not complete, for a person
	// Quarantined are all messages that the source has and would not give, those
	// of earlier runs among them.
	Quarantined []Quarantined
}

// Quarantined is a message that could not be archived.
type Quarantined struct {
	Mailbox          mail.MailboxName
	UIDValidity, UID string
	Why              string
}

// Begin begins a generation. Nothing of it is written before its first effect.
// The manifest of one that was interrupted before is written now.
func (a *Archive) Begin(ctx context.Context) (*Recording, error) { return &Recording{a}, nil }

// Finish ends the generation, and gives it; nil if nothing changed, unless the
// newest generation is not complete and this is: then it is one more.
func (r *Recording) Finish(ctx context.Context, o Outcome) (*Generation, error) {
	return nil, errNotYet
}

// Counts gives the number of messages in each mailbox as of now.
func (r *Recording) Counts(ctx context.Context) (map[mail.MailboxName]int, error) {
	return nil, errNotYet
}

// Root tells what the archive says of itself.
func (r *Recording) Root(ctx context.Context) (plan.Root, error) { return plan.Root{}, errNotYet }

// Stamp writes the marker into the catalogue.
func (r *Recording) Stamp(ctx context.Context, instance string, runs int64) error { return errNotYet }

func (r *Recording) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	return nil, errNotYet
}
func (r *Recording) Bind(boxes map[mail.BoxID]mail.MailboxName) {}
func (r *Recording) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	return plan.Scanned{}, errNotYet
}
func (r *Recording) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	return errNotYet
}
func (r *Recording) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	return errNotYet
}
func (r *Recording) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	return nil, nil, errNotYet
}
func (r *Recording) Create(ctx context.Context, name mail.MailboxName) (plan.Box, error) {
	return plan.Box{}, errNotYet
}
func (r *Recording) Rename(ctx context.Context, from, to mail.MailboxName) error { return errNotYet }
func (r *Recording) Remove(ctx context.Context, name mail.MailboxName) error     { return errNotYet }
func (r *Recording) Put(ctx context.Context, box mail.BoxID) (putting, error)    { return nil, errNotYet }
func (r *Recording) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	return errNotYet
}
func (r *Recording) Resolve(ctx context.Context, in plan.Intent, known func(mail.Ref) bool) (plan.Found, error) {
	return plan.Found{}, errNotYet
}

// Close ends the use of the side; without a Finish before it, the generation
// counts as interrupted.
func (r *Recording) Close() error { return nil }
