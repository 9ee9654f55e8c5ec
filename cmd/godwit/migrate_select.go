package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/godwit-mail/godwit/cmd/godwit/when"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
)

// A selection is what the flags of migrate say of single messages.
type selection struct {
	minSize, maxSize string
	since, before    string
	unseen, flagged  bool
}

func (s *selection) flags(f *pflag.FlagSet) {
	f.StringVar(&s.minSize, "min-size", "", "only messages of at least `SIZE`, like 500kB")
	f.StringVar(&s.maxSize, "max-size", "", "only messages of at most `SIZE`, like 25MB")
	f.StringVar(&s.since, "since", "", "only messages that arrived at this `TIME` or later: a day, which counts, or \"30 days ago\"")
	f.StringVar(&s.before, "before", "", "only messages that arrived before this `TIME`: a day, which does not count, or \"1 year ago\"")
	f.BoolVar(&s.unseen, "unseen", false, "only messages that were not read")
	f.BoolVar(&s.flagged, "flagged", false, "only messages that are flagged")
}

// wanted tells which messages are to be moved; nil is all.
func (s selection) wanted(now time.Time) (func(mail.Item) bool, error) {
	if s == (selection{}) {
		return nil, nil
	}
	var sizes [2]int64
	for i, text := range []string{s.minSize, s.maxSize} {
		if text == "" {
			continue
		}
		var err error
		if sizes[i], err = config.ParseSize(text); err != nil {
			return nil, fmt.Errorf("--%s-size: %w", [...]string{"min", "max"}[i], err)
		}
	}
	var times [2]time.Time
	for i, text := range []string{s.since, s.before} {
		var err error
		if times[i], err = moment(text, now); err != nil {
			return nil, fmt.Errorf("--%s: %w", [...]string{"since", "before"}[i], err)
		}
	}
	return func(m mail.Item) bool {
		switch size := m.Ident.Size; {
		case size < sizes[0], sizes[1] > 0 && size > sizes[1],
			!times[0].IsZero() && m.Date.Before(times[0]), !times[1].IsZero() && !m.Date.Before(times[1]),
			s.unseen && m.Flags.Has(mail.Seen), s.flagged && !m.Flags.Has(mail.Flagged):
			return false
		}
		return true
	}, nil
}

// moment reads a time; of a day it is the beginning. "" is the zero time.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return day, nil
	}
	m, err := when.Parse(text, now)
	if err == nil && m.Generation != 0 {
		err = errors.New("a migration knows no generations: write a day, or a time")
	}
	return m.Time, err
}
