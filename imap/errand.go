package imap

import (
	"context"
	"slices"
)

// An errand is what was sent on a connection before it was asked for: its
// answers come in their turn, and are either taken by the call that asks for
// them or dropped. While any is under way, nothing else is sent.
type errand interface {
	// drop reads what is still to come of it and forgets it.
	drop(s *session) error
}

// sendErrand notes one that is sent now, behind those that are under way:
// it selects its mailbox whatever is selected.
func (s *session) sendErrand(f errand) {
	s.errands = append(s.errands, f)
	s.at = nil
}

// reach drops all that was sent ahead, but for f and what was sent behind it.
// Whoever calls reads the answers to f.
func (s *session) reach(f errand) error {
	if f == nil || !slices.Contains(s.errands, f) {
		return s.dropErrands()
	}
	for s.errands[0] != f {
		if err := s.dropNext(); err != nil {
			return err
		}
	}
	s.errands = s.errands[1:]
	return nil
}

// dropErrands forgets all that was sent before it was asked for.
func (s *session) dropErrands() error {
	for len(s.errands) > 0 {
		if err := s.dropNext(); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) dropNext() error {
	f := s.errands[0]
	s.errands = s.errands[1:]
	s.at = nil
	return f.drop(s)
}

// cleared gives a session on which nothing is under way but f, if that was
// sent ahead, and what was sent behind it.
func (a *Account) cleared(ctx context.Context, f errand) (*session, error) {
	if f == nil {
		a.announced = nil
	}
	s, err := a.connected(ctx)
	if err != nil || len(s.errands) == 0 {
		return s, err
	}
	if err := s.await(ctx, func() error { return s.reach(f) }); err != nil {
		if ctx.Err() != nil {
			a.drop()
			return nil, context.Cause(ctx)
		}
		_ = a.lost(s, err) // nothing that was asked for is lost
		return a.connected(ctx)
	}
	return s, nil
}
