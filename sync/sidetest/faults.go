package sidetest

import (
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/godwit-mail/godwit/mail"
)

// Mode is how a step fails.
type Mode uint8

// The modes.
const (
	// ErrorBefore: the step is not carried out, and fails.
	ErrorBefore Mode = iota + 1
	// ErrorAfter: the step is carried out, and the answer is lost: it fails, or
	// is Uncertain or Unknown.
	ErrorAfter
	// DieBefore: the process dies before the step. This and every later call
	// fails with ErrDead.
	DieBefore
	// DieAfter: the process dies after the step, before it learns of it.
	DieAfter
)

// Modes lists all, for loops.
var Modes = [...]Mode{ErrorBefore, ErrorAfter, DieBefore, DieAfter}

func (m Mode) String() string {
	return [...]string{"none", "error before", "error after", "death before", "death after"}[m]
}

// ErrInjected is wrapped by the errors of ErrorBefore and ErrorAfter.
var ErrInjected = errors.New("injected fault")

// ErrDead is wrapped by the errors of a process that died.
var ErrDead = errors.New("the process is dead")

// Faults counts the steps of all that is wrapped with it and makes one of
// them fail. A step is a call, or one effect inside a call: a message of a
// batch, an op of Do, a message of a Fetch. The zero value never fails. It is
// safe for concurrent use.
type Faults struct {
	// Begin, if not nil, is called at the beginning of every step, with its
	// name. Nothing is locked meanwhile.
	Begin func(step string)

	mu    sync.Mutex
	steps int
	at    int
	named string // if not "", at counts the steps of this name
	mode  Mode
	dead  bool
	hit   string
	names []string
}

// FailAt makes the n-th step fail, counted from 1.
func (f *Faults) FailAt(n int, mode Mode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named, f.at, f.mode = "", n, mode
}

// FailNamed makes the n-th step of that name fail, counted from 1: the two
// sides of a run work at once, so that the number of a step may vary.
func (f *Faults) FailNamed(name string, n int, mode Mode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named, f.at, f.mode = name, n, mode
}

// Steps is the number of steps so far.
func (f *Faults) Steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps
}

// Hit names the step that failed, "" if none did.
func (f *Faults) Hit() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// Names lists the steps so far, for the reader of a failed test.
func (f *Faults) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.names...)
}

// Points gives every point at which a run of so many steps can be
// interrupted: each step in each of these modes.
func Points(steps int, modes ...Mode) iter.Seq2[int, Mode] {
	return func(yield func(int, Mode) bool) {
		for n := 1; n <= steps; n++ {
			for _, mode := range modes {
				if !yield(n, mode) {
					return
				}
			}
		}
	}
}

func errDead() error {
	return mail.NewFault(mail.GradeAccount, mail.ClassLocal, ErrDead, "")
}

// next counts one step and tells how it goes: with mode 0 as asked, or in the
// given mode. A dead process gets an error instead.
func (f *Faults) next(name string) (Mode, error) {
	if f.Begin != nil {
		f.Begin(name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return 0, errDead()
	}
	f.steps++
	f.names = append(f.names, name)
	if !f.isNow(name) {
		return 0, nil
	}
	f.hit = fmt.Sprintf("%s at step %d, %s", f.mode, f.steps, name)
	return f.mode, nil
}

// isNow tells whether the step just counted is the one that fails.
func (f *Faults) isNow(name string) bool {
	if f.named == "" {
		return f.steps == f.at
	}
	if f.named == name {
		f.at--
	}
	return f.named == name && f.at == 0
}

func (f *Faults) die() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	return errDead()
}

func (f *Faults) injected() error { return fmt.Errorf("%w: %s", ErrInjected, f.Hit()) }

// around carries out one step.
func (f *Faults) around(name string, effect func() error) error {
	_, err := f.step(name, effect)
	return err
}

// step carries out one step; lost tells that it happened though err says that
// the answer did not arrive.
func (f *Faults) step(name string, effect func() error) (lost bool, err error) {
	mode, err := f.next(name)
	switch {
	case err != nil:
		return false, err
	case mode == ErrorBefore:
		return false, f.injected()
	case mode == DieBefore:
		return false, f.die()
	}
	err = effect()
	switch mode {
	case ErrorAfter:
		return true, f.injected()
	case DieAfter:
		return true, f.die()
	}
	return false, err
}
