package store

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// The names of the files in the state directory of an account that tell of the
// last verification of its archive, and of the last drill.
const (
	LastVerifyFile = "last-verify"
	LastDrillFile  = "last-drill"
)

// LastVerify tells how the archive of an account was found to be.
type LastVerify struct {
	Ended time.Time `json:"ended"`
	// LastOK is when no damage was found last, zero if never.
	LastOK time.Time `json:"last_ok,omitzero"`
	// Damage counts what was found, Mended how much of that is sound again.
	Damage int `json:"damage"`
	Mended int `json:"mended"`
	// Messages that the archive has, and of how many the bytes were read.
	// Unread were never read yet, Oldest is when that was the longest ago of
	// the others.
	Messages int       `json:"messages"`
	Read     int       `json:"read"`
	Unread   int       `json:"unread"`
	Oldest   time.Time `json:"oldest,omitzero"`
	Errors   []string  `json:"errors,omitempty"` // what kept it from its end
}

// OK tells whether all was sound, or is again.
func (l LastVerify) OK() bool { return l.Damage == l.Mended && len(l.Errors) == 0 }

// LastDrill tells how a sample of the archive of an account was restored.
type LastDrill struct {
	Ended time.Time `json:"ended"`
	// LastOK is when all of a sample was as it should be last, zero if never.
	LastOK time.Time `json:"last_ok,omitzero"`
	// Generations are the numbers of those that were restored, with that many
	// messages and bytes altogether; Differences is by how many messages and
	// mailboxes what was restored differs from what should have been.
	Generations []int64  `json:"generations"`
	Messages    int      `json:"messages"`
	Bytes       int64    `json:"bytes"`
	Differences int      `json:"differences"`
	Errors      []string `json:"errors,omitempty"`
}

// OK tells whether all of the sample was as it should be.
func (l LastDrill) OK() bool { return l.Differences == 0 && len(l.Errors) == 0 }

// A Proof is what is known of whether an archive can be restored from. Either
// is nil if that was never tried.
type Proof struct {
	Verify *LastVerify `json:"verify,omitempty"`
	Drill  *LastDrill  `json:"drill,omitempty"`
}

// OrNil is nil if nothing is known.
func (p Proof) OrNil() *Proof {
	if p == (Proof{}) {
		return nil
	}
	return &p
}

// WriteLastVerify replaces the file in the state directory dir. When all was
// sound, LastOK is set; else it stays what it was.
func WriteLastVerify(dir string, v LastVerify) error {
	if was, err := read[LastVerify](dir, LastVerifyFile); err == nil {
		v.LastOK = was.LastOK
	}
	if v.Damage == 0 && len(v.Errors) == 0 {
		v.LastOK = v.Ended
	}
	return write(dir, LastVerifyFile, v, true)
}

// WriteLastDrill replaces the file in the state directory dir, LastOK as
// WriteLastVerify.
func WriteLastDrill(dir string, d LastDrill) error {
	if was, err := read[LastDrill](dir, LastDrillFile); err == nil {
		d.LastOK = was.LastOK
	}
	if d.OK() {
		d.LastOK = d.Ended
	}
	return write(dir, LastDrillFile, d, true)
}

// ReadProof reads what is known.
func ReadProof(dir string) (p Proof, err error) {
	verify, verifyErr := read[LastVerify](dir, LastVerifyFile)
	if verifyErr == nil {
		p.Verify = &verify
	}
	drill, drillErr := read[LastDrill](dir, LastDrillFile)
	if drillErr == nil {
		p.Drill = &drill
	}
	for _, e := range []error{verifyErr, drillErr} {
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("the proof of the archive: %w", e))
		}
	}
	return p, err
}
