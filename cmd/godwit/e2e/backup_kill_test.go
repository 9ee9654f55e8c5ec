package e2e

import (
	"math/rand/v2"
	"os/exec"
	"sync/atomic"
	"testing"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// Killed anywhere: what is in the archive is sound, all generations that were
// complete stay as they were, and the next run goes on.
func TestBackupKilled(t *testing.T) {
	for name, extra := range map[string]string{"alone": "", "beside": "backup = true"} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, imaptest.Dovecot(t), "me")
			h := newHand(a)
			var left atomic.Int64 // lines of the server until the kill
			var victim atomic.Pointer[exec.Cmd]
			w := newWiretap(t, a.server.Addr(), func(line string) string {
				if cmd := victim.Load(); left.Add(-1) == 0 && cmd != nil {
					_ = cmd.Process.Kill()
				}
				return line
			})
			if extra == "" {
				a.alone()
			} else {
				a.configure(extra)
			}
			a.through(w)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			was := map[int64]sidetest.Snapshot{}
			deadly := 0
			for round := range 6 {
				first := h.write("INBOX", 10)
				h.write("Work/Done", 5)
				h.deleteThere("INBOX", first)
				h.flagThere("INBOX", first+1, imap.FlagSeen)
				h.moveThere("INBOX", first+2, "Work/Done")
				if round%4 == 3 {
					h.makeThere("More")
					must(t, h.c.Rename("More", "Less", nil).Wait())
					must(t, h.c.Delete("Less").Wait())
				}
				cmd := exec.Command(binary, "--config", a.config, "sync")
				left.Store(1 + random.Int64N(120))
				must(t, cmd.Start())
				victim.Store(cmd)
				if cmd.Wait() != nil {
					deadly++
				}
				victim.Store(nil)
				left.Store(0)
				a.messageFiles()
				a.sync()
				was[a.keeps()] = a.remote()
			}
			need(t, deadly > 0, "nothing was ever killed")
			complete := 0
			for _, g := range a.generations() {
				if g.Complete {
					complete++
				}
				if snap, ok := was[g.Number]; ok {
					if d := sidetest.Compare(a.archived(g.Number), snap); d != "" {
						t.Fatalf("generation %d (first) is not what it was (second):\n%s", g.Number, tail(d))
					}
				}
			}
			need(t, complete >= len(was), "%d generations are complete, of %d runs that ended well", complete, len(was))
		})
	}
}
