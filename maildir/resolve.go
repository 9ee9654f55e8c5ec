package maildir

import (
	"context"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Resolve finds out what became of an effect of an earlier run. A placed file
// names itself by its token and a moved one by its key; otherwise the
// identity of the files that came since decides.
func (m *Maildir) Resolve(ctx context.Context, in plan.Intent, known func(mail.Ref) bool) (plan.Found, error) {
	switch in.Kind {
	case plan.IntentPut, plan.IntentMove:
	default:
		return m.resolveBox(ctx, in)
	}
	b, err := m.box(ctx, in.To)
	if err != nil {
		return plan.Found{}, err
	}
	f, err := m.open(b)
	if err != nil {
		return plan.Found{}, err
	}
	defer f.close()
	words, err := f.keywords()
	if err != nil {
		return plan.Found{}, err
	}
	l, err := f.relist(ctx)
	if err != nil {
		return plan.Found{}, err
	}
	complete := l.complete
	for _, e := range l.entries {
		ref := mail.Ref(e.key())
		if known(ref) {
			continue
		}
		same, item, err := f.resolves(ctx, e, in, words)
		if ctx.Err() != nil {
			return plan.Found{}, ctx.Err()
		}
		if err != nil {
			complete = false
		}
		if same {
			return plan.Found{State: plan.FoundThere, At: plan.Place{Box: in.To, Ref: ref}, Epoch: epoch, Flags: item.Flags, Stat: item.Stat}, nil
		}
	}
	if !complete {
		return plan.Found{State: plan.FoundUnknown}, nil
	}
	return plan.Found{State: plan.FoundAbsent}, nil
}

// resolveBox tells whether a mailbox is there.
func (m *Maildir) resolveBox(ctx context.Context, in plan.Intent) (plan.Found, error) {
	if err := m.look(ctx); err != nil {
		return plan.Found{}, err
	}
	name, ok := m.bound[in.To]
	if !ok {
		return plan.Found{State: plan.FoundUnknown}, nil
	}
	if b, ok := m.tree[name]; ok && !b.container {
		return plan.Found{State: plan.FoundThere, At: plan.Place{Box: in.To}, Epoch: epoch}, nil
	}
	return plan.Found{State: plan.FoundAbsent}, nil
}

// clockSlack allows for a coarse clock of the file system.
const clockSlack = 5 * time.Second

// resolves tells whether a file is the effect of the intent.
func (f *folder) resolves(ctx context.Context, e entry, in plan.Intent, words *table) (bool, mail.Item, error) {
	item, ok, err := f.item(ctx, e, words)
	if err != nil || !ok {
		return false, item, err
	}
	if in.Item.Token != "" && item.Token == in.Item.Token {
		return true, item, nil
	}
	if in.Kind == plan.IntentMove && string(in.From.Ref) == e.key() {
		return true, item, nil
	}
	want := in.Item.Ident
	if want.Body.IsZero() || !fits(item.Ident.Size, want.Size) {
		return false, item, nil
	}
	_, file, st, ok, err := f.openMessage(ctx, e.key())
	if err != nil || !ok {
		return false, item, err
	}
	defer file.Close()
	if !in.At.IsZero() && st.ctime.Before(in.At.Add(-clockSlack)) {
		return false, item, nil
	}
	id, err := f.m.identify(ctx, file, st)
	return err == nil && id.Body == want.Body, item, err
}
