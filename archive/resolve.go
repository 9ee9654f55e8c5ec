package archive

import (
	"context"
	"database/sql"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Resolve finds out what became of an effect of an earlier run. Each is one
// transaction, so that it happened or did not: a message that was put bears
// the token of the intent, one that was moved knows where it came from.
func (r *Recording) Resolve(ctx context.Context, in plan.Intent, known func(mail.Ref) bool) (out plan.Found, err error) {
	if err := ctx.Err(); err != nil {
		return plan.Found{}, err
	}
	err = r.a.view(ctx, func(tx *sqlite.Tx) error {
		out, err = r.resolve(tx, in, known)
		return err
	})
	return out, fault(err)
}

func (r *Recording) resolve(tx *sqlite.Tx, in plan.Intent, known func(mail.Ref) bool) (plan.Found, error) {
	name, ok := r.bound[in.To]
	if !ok {
		return plan.Found{State: plan.FoundUnknown}, nil
	}
	var to box
	if err := r.eachBox(tx, " AND n.name = ?", []any{string(name)}, func(b box) error {
		to = b
		return nil
	}); err != nil {
		return plan.Found{}, err
	}
	switch in.Kind {
	case plan.IntentPut, plan.IntentMove:
		if to.id == 0 {
			return plan.Found{State: plan.FoundAbsent}, nil
		}
		return r.resolveMessage(tx, in, to, known)
	}
	if (to.id > 0) != (in.Kind == plan.IntentRemove) {
		return plan.Found{State: plan.FoundThere, At: plan.Place{Box: in.To}, Epoch: Epoch}, nil
	}
	return plan.Found{State: plan.FoundAbsent}, nil
}

// resolveMessage looks for the message by the surest thing that is known of it.
func (r *Recording) resolveMessage(tx *sqlite.Tx, in plan.Intent, to box, known func(mail.Ref) bool) (plan.Found, error) {
	const from = " FROM placement p JOIN message m ON m.id = p.message WHERE p.mailbox = ? AND p.gen_to IS NULL AND "
	id := in.Item.Ident
	switch {
	case in.Kind == plan.IntentMove && placementOf(in.From.Ref) > 0:
		return r.among(tx, in, known, from+"p.origin = ?", to.id, placementOf(in.From.Ref))
	case in.Kind == plan.IntentPut && in.Item.Token != "":
		return r.among(tx, in, known, from+"p.token = ?", to.id, in.Item.Token)
	case !id.Body.IsZero():
		return r.among(tx, in, known, from+"(m.body = ? OR m.body IS NULL AND m.digest = ?)", to.id, id.Body[:], id.Body[:])
	case !id.Header.IsZero():
		return r.among(tx, in, known, from+"m.header = ?", to.id, id.Header[:])
	case !id.Light.IsZero() && id.Light != mail.NoLightFields:
		return r.among(tx, in, known, from+"m.light = ?", to.id, id.Light[:])
	}
	found, err := r.among(tx, in, known, from+"TRUE", to.id)
	if found.State == plan.FoundThere {
		found = plan.Found{State: plan.FoundUnknown} // there is one, and nothing says that it is this
	}
	return found, err
}

// among takes the one message of an answer that is not known.
func (r *Recording) among(tx *sqlite.Tx, in plan.Intent, known func(mail.Ref) bool, from string, args ...any) (plan.Found, error) {
	out := plan.Found{State: plan.FoundAbsent}
	err := tx.Each("SELECT p.id, p.flags"+from+" ORDER BY p.id DESC", args, func(rows *sql.Rows) error {
		var id int64
		var flags string
		if err := rows.Scan(&id, &flags); err != nil {
			return err
		}
		if known == nil || !known(refOf(id)) {
			out = plan.Found{State: plan.FoundThere, At: plan.Place{Box: in.To, Ref: refOf(id)}, Epoch: Epoch, Flags: mail.ParseFlagSet(flags)}
		}
		return nil
	})
	return out, err
}
