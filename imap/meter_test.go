package imap_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// TestAnAccountIsNoFasterThanItsMeter, by a clock that stands still while
// anybody works; and it is cancelled at once.
func TestAnAccountIsNoFasterThanItsMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, burst = 20_000, 2_000
		server := imaptest.NewMailstore(fullCaps)
		for i := range 1000 {
			server.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0))
		}
		a, err := imap.Open(t.Context(), imap.Options{
			Endpoint: imap.Endpoint{Host: "localhost", TLS: imap.TLSNone, Dialer: func(context.Context, string, string) (net.Conn, error) {
				return server.Script().Pipe(t), nil
			}},
			Username: "ann", Password: func(context.Context) (string, error) { return "secret", nil }, Meter: wire.NewMeter(rate),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if _, err := a.Survey(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		a.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
		<-time.After(time.Minute) // the bucket is full
		before, begun := a.Stats(), time.Now()
		if got, _, err := bodiesOf(a, refsTo(1000)...); err != nil || len(got) != 1000 {
			t.Fatalf("%d bodies, %v", len(got), err)
		}
		after, took := a.Stats(), time.Since(begun)
		bytes := after.Read + after.Written - before.Read - before.Written
		least := time.Duration(float64(bytes-burst) / rate * float64(time.Second))
		if off := took - least; off < -time.Microsecond || off > time.Second/10 {
			t.Errorf("%d bytes took %v, want %v", bytes, took, least)
		}
		soon, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		begun = time.Now()
		if _, _, err := scanIn(soon, a, plan.Since{}); err == nil {
			t.Error("a scan that was to take longer was not cancelled")
		}
		if took := time.Since(begun); took != 1500*time.Millisecond {
			t.Errorf("cancelled after %v", took)
		}
	})
}
