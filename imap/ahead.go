package imap

import (
	"context"
	"slices"
)

// A flight is what was sent on a connection before it was asked for: its
// answers come in their turn, and are either taken by the call that asks for
// them or dropped. While any is under way, nothing else is sent.
type flight interface {
	// drop reads what is still to come of it and forgets it.
	drop(s *session) error
}

// sendAhead notes a flight that is sent now, behind those that are under way:
// it selects its mailbox whatever is selected.
func (s *session) sendAhead(f flight) {
	s.ahead = append(s.ahead, f)
	s.at = nil
}

// land drops all that was sent ahead, but for f and what was sent behind it.
// Whoever calls reads the answers to f.
func (s *session) land(f flight) error {
	if f == nil || !slices.Contains(s.ahead, f) {
		return s.dropAhead()
	}
	for s.ahead[0] != f {
		if err := s.dropNext(); err != nil {
			return err
		}
	}
	s.ahead = s.ahead[1:]
	return nil
}

// dropAhead forgets all that was sent before it was asked for.
func (s *session) dropAhead() error {
	for len(s.ahead) > 0 {
		if err := s.dropNext(); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) dropNext() error {
	f := s.ahead[0]
	s.ahead = s.ahead[1:]
	s.at = nil
	return f.drop(s)
}

// landed gives a session on which nothing is under way but f, if that was
// sent ahead, and what was sent behind it.
func (a *Account) landed(ctx context.Context, f flight) (*session, error) {
	if f == nil {
		a.expected = nil
	}
	s, err := a.connected(ctx)
	if err != nil || len(s.ahead) == 0 {
		return s, err
	}
	if err := s.await(ctx, func() error { return s.land(f) }); err != nil {
		if ctx.Err() != nil {
			a.drop()
			return nil, context.Cause(ctx)
		}
		_ = a.lost(s, err) // nothing that was asked for is lost
		return a.connected(ctx)
	}
	return s, nil
}
