package wire_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

// big is a server with one large message.
func big(size int) *imaptest.Script {
	body := strings.Repeat("x", size)
	return &imaptest.Script{Caps: "IMAP4rev1 LITERAL+ COMPRESS=DEFLATE", Answers: map[string]string{
		"UID FETCH": fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n%s)\r\n{tag} OK done\r\n", size, body),
		"APPEND":    "{tag} OK [APPENDUID 1 7] done\r\n",
	}}
}

// takes fails unless what passed between since and now took as long as it
// must: all but one burst, by rate.
func takes(t *testing.T, took time.Duration, bytes, rate, burst int64) {
	t.Helper()
	want := time.Duration(float64(bytes-burst) / float64(rate) * float64(time.Second))
	if off := took - want; off < -time.Microsecond || off > time.Duration(burst)*time.Second/time.Duration(rate)+time.Microsecond {
		t.Errorf("%d bytes took %v, want %v", bytes, took, want)
	}
}

// TestMeter measures, by a clock that stands still while anybody works, how
// long bodies take in either direction. All that waiting is no silence.
func TestMeter(t *testing.T) {
	for _, rate := range []int64{5_000, 100_000, 2_000_000} {
		for _, deflated := range []bool{false, true} {
			t.Run(fmt.Sprint(rate, deflated), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					size := int(20 * rate)
					if deflated {
						size = 0 // what travels is counted below
					}
					size = max(size, 500_000)
					opt := wire.Options{IdleTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, Meter: wire.NewMeter(rate)}
					client, conn := connect(t, big(size), opt)
					if deflated {
						if refused, err := conn.Compress(); refused != "" || err != nil {
							t.Fatal(refused, err)
						}
					}
					burst := min(max(rate/10, 1<<10), 64<<10)
					time.Sleep(time.Hour) // the bucket is full
					before, begun := conn.Stats(), time.Now()
					if got, err := collect(client.Fetch(uids(1, 1), wholeBody)); err != nil || len(got) != 1 {
						t.Fatalf("FETCH: %v, %v", len(got), err)
					}
					after := conn.Stats()
					takes(t, time.Since(begun), after.Read+after.Written-before.Read-before.Written, rate, burst)

					time.Sleep(time.Hour)
					before, begun = after, time.Now()
					cmd := client.Append("x", int64(size), nil)
					if _, err := io.WriteString(cmd, strings.Repeat("y", size)); err != nil || cmd.Close() != nil {
						t.Fatal(err, conn.Err())
					}
					if _, err := cmd.Wait(); err != nil {
						t.Fatal(err)
					}
					after = conn.Stats()
					takes(t, time.Since(begun), after.Read+after.Written-before.Read-before.Written, rate, burst)
				})
			})
		}
	}
}

// TestMeterIsShared: two connections are not faster than one, and neither
// starves.
func TestMeterIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 100_000
		meter := wire.NewMeter(rate)
		var all sync.WaitGroup
		var conns []*wire.Conn
		var took [2]time.Duration
		var clients []*imapclient.Client
		for range 2 {
			client, conn := connect(t, big(10*rate), wire.Options{Meter: meter})
			clients, conns = append(clients, client), append(conns, conn)
		}
		time.Sleep(time.Hour)
		begun, bytes := time.Now(), -conns[0].Stats().Read-conns[1].Stats().Read
		for i, client := range clients {
			all.Go(func() {
				if got, err := collect(client.Fetch(uids(1, 1), wholeBody)); err != nil || len(got) != 1 {
					t.Errorf("FETCH: %v, %v", len(got), err)
				}
				took[i] = time.Since(begun)
			})
		}
		all.Wait()
		bytes += conns[0].Stats().Read + conns[1].Stats().Read
		takes(t, time.Since(begun), bytes, rate, rate/10)
		if apart := (took[0] - took[1]).Abs(); apart > time.Second {
			t.Errorf("they took %v", took)
		}
	})
}

// TestMeterEndsWithTheConn: nobody waits for a turn on a dead connection.
func TestMeterEndsWithTheConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := connect(t, big(1_000_000), wire.Options{Meter: wire.NewMeter(10)})
		begun := time.Now()
		fetched := make(chan error, 1)
		go func() {
			_, err := collect(client.Fetch(uids(1, 1), wholeBody))
			fetched <- err
		}()
		time.Sleep(time.Minute)
		conn.Kill()
		if err := <-fetched; err == nil {
			t.Error("a body came whole")
		}
		if d := time.Since(begun); d != time.Minute {
			t.Errorf("it ended after %v", d)
		}
	})
}
