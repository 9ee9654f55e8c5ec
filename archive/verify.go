package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// VerifyOptions say how an archive is verified.
type VerifyOptions struct {
	Options
	// ReadData reads the bytes of messages and compares their digests: of all,
	// or of as many as make up a Subset (above 0, at most 1) of the bytes of all
	// message files. Those come first that were not read for longest, and
	// among equals chance decides, so that in time all are.
	ReadData bool
	Subset   float64
	// Repair mends what it can. What is damaged is moved into the directory
	// "damaged" of the archive, never deleted.
	Repair bool
	// Rebuild makes the catalogue again, whatever becomes of it.
	Rebuild bool
	// Sources give messages whose file is damaged, tried in their order.
	Sources []Source
	// Found, if not nil, is told of each fault once it is known whether it
	// could be mended.
	Found func(Finding)
	// Read, if not nil, is told how many bytes of message files were read, and
	// of how many. It is called from one goroutine at a time.
	Read func(done, all int64)
}

// A Wanted message is one whose file is damaged, and where it lay: any bytes
// with its digest will do.
type Wanted struct {
	Message Message
	Places  []Placement
}

// A Source has messages that an archive has, too.
type Source interface {
	// Name is what to call it for a person: "the server".
	Name() string
	// Give hands over what it has of them, in any order; what it has not is
	// passed over. It need not be sure: all that comes is digested here.
	Give(ctx context.Context, want []Wanted, each func(mail.Digest, io.Reader) error) error
}

// Damaged is what a Finding is about.
type Damaged string

// What can be damaged.
const (
	DamagedCatalogue Damaged = "catalogue"
	DamagedManifest  Damaged = "manifest"
	DamagedMessage   Damaged = "message"
)

// A Finding is damage.
type Finding struct {
	Kind Damaged
	File string // within the archive
	Text string // what is wrong, for a person
	// Wanted is the message that is damaged, nil if none is.
	Wanted *Wanted
	// Repaired: it was mended, How says how. Otherwise Why says why not, nil if
	// that was not tried.
	Repaired bool
	How      string
	Why      error
}

// Verified is what a verification came to.
type Verified struct {
	Findings []Finding
	// Generations that the archive has, complete or not; Messages and the bytes
	// of their files, and how much of that was read.
	Generations         int
	Messages, ReadFiles int
	Stored, ReadBytes   int64
	// Unread is how many messages were never read since they were written,
	// Oldest when that was the longest ago of the others.
	Unread int
	Oldest time.Time
	// Strays are files that nothing names: left by a run that died, or put
	// there by somebody. They are no damage.
	Strays []string
	// Aside are files that were damaged once, and are kept.
	Aside []string
	// Rebuilt: the catalogue was made again.
	Rebuilt bool
}

// Repaired counts the findings that were mended.
func (v *Verified) Repaired() (n int) {
	for _, f := range v.Findings {
		if f.Repaired {
			n++
		}
	}
	return n
}

// A verifier is one verification on its way.
type verifier struct {
	o     VerifyOptions
	out   Verified
	files *files

	a *Archive // nil: its catalogue cannot be opened
	// sound: the catalogue hangs together. What it says may be wrong even so.
	sound  bool
	last   int64 // the newest generation of the catalogue
	books  bool  // the catalogue, or what it says, is damaged
	stale  bool  // the manifests go on after the catalogue
	open   bool  // its newest generation was never ended, and others follow
	wrong  []*broken
	column map[int64]mail.Digest // digests of manifests that are wrong in the catalogue

	shadow *Archive               // what the manifests make of it
	before *sqlite.Tx             // what they made of it up to one that is looked at
	later  []Finding              // of the catalogue and manifests, until it is known whether they could be mended
	bad    map[mail.Digest]string // messages whose file is damaged, and how
	rows   []Message              // messages of which the catalogue says other than their files
}

// Verify verifies an archive: that the catalogue hangs together, that the
// manifests are an unbroken chain and say what it says, that every message
// has a file of the right size and, with ReadData, the right bytes. The
// archive must not be open, and the caller holds the account's lock. Findings
// are no error. Without an archive the error wraps ErrNone.
func Verify(ctx context.Context, o VerifyOptions) (out *Verified, err error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	v := &verifier{o: o, files: &files{dir: o.Dir, sync: !o.NoSync, seam: o.seam}, column: map[int64]mail.Digest{}, bad: map[mail.Digest]string{}}
	defer func() { err = errors.Join(err, v.close()) }()
	for _, step := range []func(context.Context) error{v.openBooks, v.notes, v.readManifests, v.compareBooks, v.mendBooks, v.messages, v.strays} {
		if err := step(ctx); err != nil {
			return &v.out, fault(err)
		}
	}
	return &v.out, nil
}

// tell enters a finding.
func (v *verifier) tell(f Finding) {
	v.out.Findings = append(v.out.Findings, f)
	if v.o.Found != nil {
		v.o.Found(f)
	}
}

// openBooks opens the catalogue and looks whether it hangs together.
func (v *verifier) openBooks(ctx context.Context) error {
	there, err := There(v.o.Dir)
	switch {
	case err != nil:
		return err
	case !there.Catalogue && !there.Manifests:
		return mail.NewFault(mail.GradeAccount, mail.ClassConfig, fmt.Errorf("%w in %s", ErrNone, v.o.Dir), "run a backup first")
	case !there.Catalogue:
		v.tellBooks("is missing")
		return v.files.layOut()
	}
	v.a, err = Open(ctx, v.o.Options)
	if err != nil {
		v.a = nil
		if v.hurt(ctx, err) || errors.Is(err, sqlite.ErrNewer) && v.o.Rebuild {
			v.tellBooks(err.Error())
			return v.files.layOut()
		}
		return err
	}
	err = v.a.catalogue.Load().Integrity(ctx)
	if err == nil {
		err = v.endInterrupted(ctx)
	}
	if err == nil {
		err = v.structure(ctx)
	}
	if v.sound = err == nil; v.hurt(ctx, err) {
		v.tellBooks(err.Error())
		return nil
	}
	return err
}

// hurt tells whether an error comes from what the catalogue holds, and not
// from the disk, another process, or the end of the context.
func (v *verifier) hurt(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil || errors.Is(err, sqlite.ErrNewer) || diskHint(err) != "" || sqlite.Outside(err) {
		return false
	}
	file, err := os.OpenFile(filepath.Join(v.o.Dir, CatalogueFile), os.O_RDWR, 0)
	return err == nil && file.Close() == nil
}

// tellBooks enters that the catalogue is damaged: once, as it is mended once.
func (v *verifier) tellBooks(text string) {
	v.books = true
	v.later = append(v.later, Finding{Kind: DamagedCatalogue, File: CatalogueFile, Text: text})
}

// endInterrupted ends a generation that a run left open, as the next run would.
func (v *verifier) endInterrupted(ctx context.Context) error {
	var open bool
	err := v.a.view(ctx, func(tx *sqlite.Tx) (err error) {
		v.last, open, err = lastGeneration(tx)
		return err
	})
	if err == nil && !open {
		if err = v.a.heedAll(ctx); errors.Is(err, ErrDamaged) {
			err = nil // it is told by itself
		}
	}
	if err != nil || !open {
		return err
	}
	if _, err := os.Lstat(v.files.manifest(v.last + 1)); !errors.Is(err, fs.ErrNotExist) {
		v.open, v.last = true, v.last-1
		return unlessAbsent(err)
	}
	if err = v.a.interrupted(ctx, v.last); errors.Is(err, ErrStale) {
		v.open, v.last, err = true, v.last-1, nil
	}
	return err
}

func (v *verifier) close() error {
	var err error
	if v.shadow != nil {
		err = errors.Join(v.shadow.Close(), removeDatabase(v.shadowPath()))
	}
	if v.a != nil {
		err = errors.Join(err, v.a.Close())
	}
	return err
}

// within is a path within the archive.
func (v *verifier) within(path string) string {
	if rel, err := filepath.Rel(v.o.Dir, path); err == nil {
		return rel
	}
	return path
}
