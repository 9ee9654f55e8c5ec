package engine

import "github.com/godwit-mail/godwit/mail"

// failedCopies are the messages whose copy failed in a run, kept so that a
// thousand deletions are not each compared with a thousand failures. Two
// messages are compared by their bodies where both are known, else by their
// light digests where both are known, else by size.
type failedCopies map[failedCopy]bool

// failedCopy is one way in which a message can be asked for: by one thing that is known,
// among those that lack what would be compared first.
type failedCopy struct {
	noBody, noLight bool // only messages that lack it count
	body, light     mail.Digest
	size            int64
}

func (f *failedCopies) add(id mail.Identity) {
	if *f == nil {
		*f = failedCopies{}
	}
	set := *f
	noBody, noLight := id.Body.IsZero(), id.Light.IsZero()
	set[failedCopy{body: id.Body}] = true
	for _, b := range []bool{false, noBody} {
		set[failedCopy{noBody: b, light: id.Light}] = true
		for _, l := range []bool{false, noLight} {
			set[failedCopy{noBody: b, noLight: l, size: id.Size + 1}] = true
		}
	}
}

// couldBe tells whether the copy of what may be the same message failed.
func (f failedCopies) couldBe(id mail.Identity) bool {
	hasBody, hasLight := !id.Body.IsZero(), !id.Light.IsZero()
	return hasBody && f[failedCopy{body: id.Body}] ||
		hasLight && f[failedCopy{noBody: hasBody, light: id.Light}] ||
		f[failedCopy{noBody: hasBody, noLight: hasLight, size: id.Size + 1}]
}

// halfMoved tells whether the copy of what may be the same message failed in
// this run: then its deletion elsewhere could be half of a move.
func (r *run) halfMoved(id mail.Identity) bool { return r.failed.couldBe(id) }
