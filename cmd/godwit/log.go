package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
)

// newLogger logs for people, or as JSON objects. journal is JOURNAL_STREAM:
// where w is what it names, each line carries its priority and no time, which
// the journal keeps by itself (sd-daemon(3), systemd.exec(5)).
func newLogger(w io.Writer, json, verbose, quiet bool, journal string) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	switch {
	case verbose:
		options.Level = slog.LevelDebug
	case quiet:
		options.Level = slog.LevelWarn
	}
	switch {
	case json:
		return slog.New(slog.NewJSONHandler(w, options))
	case isJournal(w, journal):
		return slog.New(newJournalHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// isJournal tells whether w is the stream that stream names by its device and
// inode. Those who inherited the variable from a session have other streams.
func isJournal(w io.Writer, stream string) bool {
	f, ok := w.(*os.File)
	if !ok || stream == "" {
		return false
	}
	st, err := f.Stat()
	if err != nil {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && fmt.Sprintf("%d:%d", sys.Dev, sys.Ino) == stream
}

// A journalHandler writes lines for the journal. The handlers differ in the
// priority that begins their lines.
type journalHandler struct {
	byLevel [4]slog.Handler // debug, info, warn, error
}

func newJournalHandler(w io.Writer, options *slog.HandlerOptions) journalHandler {
	plain := *options
	plain.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	var h journalHandler
	for i, priority := range [...]string{"<7>", "<6>", "<4>", "<3>"} {
		h.byLevel[i] = slog.NewTextHandler(&prefixer{w, priority}, &plain)
	}
	return h
}

// of is the handler for a level.
func (h journalHandler) of(l slog.Level) slog.Handler {
	switch {
	case l >= slog.LevelError:
		return h.byLevel[3]
	case l >= slog.LevelWarn:
		return h.byLevel[2]
	case l >= slog.LevelInfo:
		return h.byLevel[1]
	}
	return h.byLevel[0]
}

// Enabled implements slog.Handler.
func (h journalHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.of(l).Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for i := range h.byLevel {
		h.byLevel[i] = h.byLevel[i].WithAttrs(attrs)
	}
	return h
}

// WithGroup implements slog.Handler.
func (h journalHandler) WithGroup(name string) slog.Handler {
	for i := range h.byLevel {
		h.byLevel[i] = h.byLevel[i].WithGroup(name)
	}
	return h
}

// A prefixer puts a text before everything that is written to it, in one
// piece. slog writes a line at a time.
type prefixer struct {
	w      io.Writer
	prefix string
}

func (p *prefixer) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
