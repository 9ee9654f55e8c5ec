package main

import (
	"fmt"
	"time"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/store"
)

// proofLines are what status tells of whether the archive of an account can be
// restored from.
func (a *app) proofLines(acc *config.Account, p store.Proof) {
	if !acc.Archived() {
		return
	}
	if v := p.Verify; v != nil {
		text := "sound"
		switch {
		case len(v.Errors) > 0:
			text = "failed: " + v.Errors[0]
		case v.Damage > 0:
			text = fmt.Sprintf("%s, %d mended", count(v.Damage, "fault"), v.Mended)
		}
		a.out.line("  backup: verified %s: %s; %d of %s were read", a.when(v.Ended), text, v.Read, count(v.Messages, "message"))
		if !v.OK() {
			a.out.line("  backup: was last found sound %s: godwit verify %s --read-data --repair mends what it can", a.when(v.LastOK), acc.Name)
		}
	}
	if d := p.Drill; d != nil {
		text := "as they should be"
		switch {
		case len(d.Errors) > 0:
			text = "failed: " + d.Errors[0]
		case d.Differences > 0:
			text = count(d.Differences, "difference")
		}
		a.out.line("  backup: a drill restored %s, %s, %s: %s", count(len(d.Generations), "generation"), count(d.Messages, "message"), a.when(d.Ended), text)
		if !d.OK() {
			a.out.line("  backup: a drill last succeeded %s", a.when(d.LastOK))
		}
	}
}

// when is a moment and how long ago that is.
func (a *app) when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s (%s ago)", t.Local().Format("2006-01-02 15:04:05"), ageText(a.now().Sub(t)))
}
