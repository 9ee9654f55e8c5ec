package imap

import (
	"errors"

	"github.com/emersion/go-imap/v2/imapclient"
)

// drainBoth collects the answers to two FETCHes, each as they come: a server
// may mix them (Dovecot does while we read slowly), and the library reads
// nothing more while the answers to either are not taken.
func (s *session) drainBoth(a, b *imapclient.FetchCommand, t *table) error {
	var other table
	errs := make(chan error, 1)
	go func() { errs <- s.gather(b, &other) }()
	err := s.gather(a, t)
	if err2 := <-errs; err == nil {
		err = err2
	}
	var bad *unreadableError
	if errors.As(err, &bad) {
		s.kill()
		return bad.err
	}
	t.rows, t.sorted = append(t.rows, other.rows...), false
	return err
}

// gather is drain for one of several commands at once: it leaves the session
// as it is, but for the connection, which ends if an answer cannot be read.
func (s *session) gather(cmd *imapclient.FetchCommand, t *table) error {
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		if err := t.collect(s, msg); err != nil {
			s.wire.Kill()
			_ = cmd.Close() // the error that counts is that of the answer
			return &unreadableError{err}
		}
	}
	return cmd.Close()
}

// An unreadableError is about an answer, not about its command.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
