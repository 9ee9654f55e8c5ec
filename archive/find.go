package archive

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Message is one that the archive has.
type Message struct {
	Digest       mail.Digest // of its exact bytes
	Size, Stored int64       // bytes of the message, and of its file
	Ident        mail.Identity
	Subject      string
	Sender       string
	MessageID    string    // without "<" and ">"
	Date         time.Time // of the header; zero if not known
}

// A Placement is where and when a message lay.
type Placement struct {
	Mailbox  mail.MailboxName // as it was called last while the message was there
	From, To int64            // the first generation that has it there, and the last; To 0: still there
	Flags    mail.FlagSet     // the last that it had there
	Date     time.Time        // its INTERNALDATE
	// UIDValidity and UID are what it was called where it came from.
	UIDValidity, UID string
}

// Found is an answer of Find.
type Found struct {
	Message Message
	Places  []Placement // the oldest first
}

// messageColumns are what a messageRow takes in.
const messageColumns = storedColumns + ", m.subject, m.sender, m.message_id, m.date"

type messageRow struct {
	stored
	subject, sender, messageID string
	date                       sql.NullInt64
}

func (r *messageRow) dest() []any {
	return append(r.stored.dest(), &r.subject, &r.sender, &r.messageID, &r.date)
}

func (r *messageRow) message() (Message, error) {
	id, err := r.identity()
	id.MessageID = r.messageID
	return Message{
		Digest: id.Wire, Size: r.size, Stored: r.stored.stored, Ident: id,
		Subject: r.subject, Sender: r.sender, MessageID: r.messageID, Date: headerDate(r.date),
	}, err
}

// eachMessage gives the messages that fit a condition, with their numbers.
func (a *Archive) eachMessage(ctx context.Context, where string, args []any, each func(int64, Message) error) error {
	var own error
	err := a.each(ctx, "SELECT m.id, "+messageColumns+" FROM message m "+where, args, func(rows *sql.Rows) error {
		var id int64
		var r messageRow
		if err := rows.Scan(append([]any{&id}, r.dest()...)...); err != nil {
			return err
		}
		m, err := r.message()
		if err == nil {
			own = each(id, m)
			err = own
		}
		return err
	})
	return either(own, err)
}

// Find yields the messages whose subject, sender or Message-ID contains text,
// in any case; those that came last first. Text in "<" and ">" may be a
// whole Message-ID, too.
func (a *Archive) Find(ctx context.Context, text string, yield func(Found) error) error {
	text = strings.ToLower(text)
	has := func(field string) bool { return strings.Contains(strings.ToLower(field), text) }
	whole := ""
	if strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">") {
		whole = mail.TrimMessageID(text)
	}
	return a.eachMessage(ctx, "ORDER BY m.id DESC", nil, func(id int64, m Message) error {
		if !has(m.Subject) && !has(m.Sender) && !has(m.MessageID) && (whole == "" || !strings.EqualFold(m.MessageID, whole)) {
			return nil
		}
		places, err := a.places(ctx, id)
		if err != nil {
			return err
		}
		return yield(Found{m, places})
	})
}

// Messages yields those whose digest begins with prefix, in hexadecimal; ""
// yields all. They come in no order.
func (a *Archive) Messages(ctx context.Context, prefix string, yield func(Message) error) error {
	return a.eachPrefixed(ctx, prefix, func(_ int64, m Message) error { return yield(m) })
}

func (a *Archive) eachPrefixed(ctx context.Context, prefix string, each func(int64, Message) error) error {
	from, to, err := digestRange(prefix)
	if err != nil {
		return err
	}
	return a.eachMessage(ctx, "WHERE m.digest BETWEEN ? AND ?", []any{from, to}, each)
}

// digestRange gives the first and the last digest that begins with prefix.
func digestRange(prefix string) (from, to []byte, err error) {
	const digits = 2 * len(mail.Digest{})
	if len(prefix) <= digits {
		from, err = hex.DecodeString(prefix + strings.Repeat("0", digits-len(prefix)))
		to, _ = hex.DecodeString(prefix + strings.Repeat("f", digits-len(prefix))) // fails as from does
	}
	if err != nil || from == nil {
		return nil, nil, fmt.Errorf("%w: %q does not begin a SHA-256 in hexadecimal", ErrNoMessage, prefix)
	}
	return from, to, nil
}

// Message gives the one message whose digest begins with prefix, with where it
// lay. Errors: ErrNoMessage, ErrAmbiguous.
func (a *Archive) Message(ctx context.Context, prefix string) (Found, error) {
	var out Found
	var id int64
	err := a.eachPrefixed(ctx, prefix, func(n int64, m Message) error {
		if id > 0 {
			return fmt.Errorf("%w: %s: give more of it", ErrAmbiguous, prefix)
		}
		id, out.Message = n, m
		return nil
	})
	if err == nil && id == 0 {
		err = fmt.Errorf("%w: %s", ErrNoMessage, prefix)
	}
	if err != nil {
		return Found{}, err
	}
	out.Places, err = a.places(ctx, id)
	return out, err
}

// places are where a message lay in any generation that is not retired, the
// oldest first.
func (a *Archive) places(ctx context.Context, message int64) (list []Placement, err error) {
	query := `SELECT (SELECT n.name FROM mailbox_name n WHERE n.mailbox = p.mailbox AND n.gen_from < coalesce(p.gen_to, 1 << 62) ORDER BY n.gen_from DESC LIMIT 1),
		p.gen_from, coalesce(p.gen_to, 1) - 1, CASE WHEN p.flags_from = p.gen_to -- in no generation
			THEN coalesce((SELECT f.flags FROM past_flags f WHERE f.placement = p.id ORDER BY f.gen_from DESC LIMIT 1), p.flags) ELSE p.flags END, p.date, p.date_nsec, p.date_zone, p.uidvalidity, p.uid
		FROM placement p WHERE p.message = ? AND (p.gen_to IS NULL OR ` + shown("p") + `) ORDER BY p.id`
	err = a.each(ctx, query, []any{message}, func(rows *sql.Rows) error {
		var p Placement
		var flags string
		var date dateColumns
		if err := rows.Scan(&p.Mailbox, &p.From, &p.To, &flags, &date.seconds, &date.nsec, &date.zone, &p.UIDValidity, &p.UID); err != nil {
			return err
		}
		p.Flags, p.Date = mail.ParseFlagSet(flags), date.time()
		list = append(list, p)
		return nil
	})
	return list, fault(err)
}
