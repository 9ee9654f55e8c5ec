package mail

import (
	"errors"
	"fmt"
	"time"
)

// A Grade says how far a fault reaches. One bad message never stops its
// mailbox, one bad mailbox never stops its account.
type Grade uint8

// The grades, by rising reach.
const (
	GradeMessage Grade = iota + 1
	GradeMailbox
	GradeAccount
)

// A Class says what kind of trouble a fault is, and so who can mend it and
// when to try again.
type Class string

// The classes of faults.
const (
	ClassAuth     Class = "authentication"
	ClassTLS      Class = "tls"
	ClassNetwork  Class = "network"
	ClassThrottle Class = "throttling"
	ClassQuota    Class = "quota"
	ClassServer   Class = "server"
	ClassLocal    Class = "local"
	ClassConfig   Class = "configuration"
)

// A Fault is an error that knows its reach, its kind and what to do next.
type Fault struct {
	Grade Grade
	Class Class
	// Hint says what to do next, in lower case, as part of a sentence; may be "".
	Hint string
	Err  error
	// After is how long to wait at least before the next try, where that is
	// known: a server that throttles asks for it. 0 if nobody knows.
	After time.Duration
}

func (f *Fault) Error() string {
	if f.Hint == "" {
		return f.Err.Error()
	}
	return fmt.Sprintf("%v: %s", f.Err, f.Hint)
}

func (f *Fault) Unwrap() error { return f.Err }

// Wait is After, or what an error inside asks for where that is 0.
func (f *Fault) Wait() time.Duration {
	if f.After > 0 {
		return f.After
	}
	var inner interface{ Wait() time.Duration }
	if errors.As(f.Err, &inner) {
		return inner.Wait()
	}
	return 0
}

// NewFault wraps err.
func NewFault(g Grade, c Class, err error, hint string) *Fault {
	return &Fault{Grade: g, Class: c, Err: err, Hint: hint}
}

// GradeOf is the grade of the outermost Fault in err; otherwise fallback.
func GradeOf(err error, fallback Grade) Grade {
	var f *Fault
	if errors.As(err, &f) {
		return f.Grade
	}
	return fallback
}

// ClassOf is the class of the outermost Fault in err, ClassServer if it has none.
func ClassOf(err error) Class {
	var f *Fault
	if errors.As(err, &f) {
		return f.Class
	}
	return ClassServer
}

// ErrShort is wrapped by the error of a message that ended before its size.
var ErrShort = errors.New("message ended before its announced size")

// A TooLarge is the error of a message that a side will not take while its
// limit is what it is (RFC 7889). It is a kind of ErrDenied.
type TooLarge struct{ Size, Limit int64 } // in bytes

func (e *TooLarge) Error() string {
	return fmt.Sprintf("a message of %d bytes is larger than the limit of %d", e.Size, e.Limit)
}

// Is tells that it is ErrDenied too.
func (e *TooLarge) Is(target error) bool { return target == ErrDenied }

// ErrFull is wrapped by the error of a message for which a side has no room
// (OVERQUOTA, RFC 5530).
var ErrFull = errors.New("there is no room for it")

// ErrDenied is wrapped by the error of a message that a side will not take,
// now or later, because the account has no right to store it there.
var ErrDenied = errors.New("no right to store it")
