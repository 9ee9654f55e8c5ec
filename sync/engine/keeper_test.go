package engine_test

import (
	"context"
	"errors"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

// keeper remembers what it was given before a deletion.
type keeper struct{ bodies []mail.Digest }

func (k *keeper) Keep(_ context.Context, _ engine.Kept, want mail.Identity, body io.Reader) error {
	id, err := mail.Identify(body)
	if err != nil {
		return err
	}
	if !want.Body.IsZero() && want.Body != id.Body {
		return errors.New("these are other bytes")
	}
	k.bodies = append(k.bodies, id.Body)
	return nil
}
