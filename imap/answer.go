package imap

import (
	"errors"
	"fmt"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
)

// A lossError says that the connection was lost, not that anything was
// refused. It reaches as far as the mailbox at hand.
type lossError struct{ err error }

func (e *lossError) Error() string { return e.err.Error() }
func (e *lossError) Unwrap() error { return e.err }

// isLoss tells whether err is of the connection: neither an answer of the
// server nor a finding of our own.
func isLoss(err error) bool {
	var (
		answer *goimap.Error
		fault  *mail.Fault
		ours   *callerError
	)
	return !errors.As(err, &answer) && !errors.As(err, &fault) && !errors.As(err, &ours)
}

func isLost(err error) bool {
	var loss *lossError
	return errors.As(err, &loss)
}

// A callerError carries an error of a callback through unchanged.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }
func (e *callerError) Unwrap() error { return e.err }

// uncalled gives back what a callback returned, if that is what err is.
func uncalled(err error) error {
	var ours *callerError
	if errors.As(err, &ours) {
		return ours.err
	}
	return err
}

// explainLoss is the Fault for a connection that ended with err: of the
// account if the server wants it to come back later, else of the mailbox.
func (s *session) explainLoss(host string, err error) error {
	if why := s.wire.Err(); why != nil {
		err = why
	}
	hint := "try again later"
	if isTimeout(err) {
		hint = "the server stopped answering; try again later"
	}
	if f := s.ear.pleas.heard(host); f != nil {
		return f
	}
	if bye := s.wire.Bye(); bye != "" {
		return mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("connection with %s: %w", host, &byeError{printable(bye)}), hint)
	}
	return mail.NewFault(mail.GradeMailbox, mail.ClassNetwork, fmt.Errorf("connection with %s: %w", host, err), hint)
}

// refusal makes a Fault of grade g of a server's NO or BAD. Other errors are
// returned as they are.
func refusal(g mail.Grade, err error) error {
	var answer *goimap.Error
	var fault *mail.Fault
	if err == nil || errors.As(err, &fault) || !errors.As(err, &answer) {
		return err
	}
	if p, ok := pleaOf(string(answer.Code), answer.Text); ok {
		return p.fault(err)
	}
	class, hint := classOfCode(answer.Code), ""
	var after time.Duration
	switch answer.Code {
	case goimap.ResponseCodeOverQuota:
		err, hint = fmt.Errorf("%w: %w", mail.ErrFull, err), "make room on the server"
	case goimap.ResponseCodeTooBig, goimap.ResponseCodeLimit:
		class, hint = mail.ClassQuota, "the server does not take that much"
	case goimap.ResponseCodeUnavailable, goimap.ResponseCodeInUse:
		class, hint, after = mail.ClassThrottle, "try again later", afterBusy
	case goimap.ResponseCodeNoPerm:
		hint = "the account has no right to do that"
	case goimap.ResponseCodeNonExistent, goimap.ResponseCodeTryCreate:
		hint = "the mailbox is gone; the next run looks again"
	case goimap.ResponseCodeCorruption:
		hint = "tell the server's administrator"
	case "EXPUNGEISSUED":
		hint = "another program changed the mailbox meanwhile; the next run looks again"
	}
	fault = mail.NewFault(g, class, err, hint)
	fault.After = after
	return fault
}

// refusedByServer tells whether err is a NO or BAD.
func refusedByServer(err error) bool {
	var answer *goimap.Error
	return errors.As(err, &answer)
}

// codeOf is the response code of a refusal, "" if err is none.
func codeOf(err error) goimap.ResponseCode {
	var answer *goimap.Error
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}

func messageFault(c mail.Class, err error, hint string) error {
	return mail.NewFault(mail.GradeMessage, c, err, hint)
}

// epochFault says that a mailbox is not the one that was scanned.
func epochFault(name string) error {
	return mail.NewFault(mail.GradeMailbox, mail.ClassServer,
		fmt.Errorf("the UIDVALIDITY of mailbox %q changed", name), "the next run matches its messages again")
}
