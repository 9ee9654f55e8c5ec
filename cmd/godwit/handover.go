package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/backup"
	"github.com/godwit-mail/godwit/cmd/godwit/control"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/worker"
)

// A syncCall is what godwit sync asks a daemon for.
type syncCall struct {
	Accounts []string `json:"accounts"`
	Folders  []string `json:"folders,omitempty"`
	Accept   bool     `json:"accept,omitempty"`
	Reject   bool     `json:"reject,omitempty"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Chatty   bool     `json:"chatty,omitempty"`
}

// A sent is one thing that a daemon tells a command: one field is set.
type sent struct {
	Begun  string      `json:"begun,omitempty"` // the account whose run begins
	Event  *sentEvent  `json:"event,omitempty"`
	Ran    *sentRan    `json:"ran,omitempty"`
	Status *liveStatus `json:"status,omitempty"`
}

// A sentRan is how the run of an account ended.
type sentRan struct {
	Account string        `json:"account"`
	Report  engine.Report `json:"report"` // without Faults
	Faults  []sentError   `json:"faults,omitempty"`
	Exit    exitCode      `json:"exit"`
	Began   bool          `json:"began"`
	Err     *sentError    `json:"err,omitempty"`
	After   *sentError    `json:"after,omitempty"`
	Matched bool          `json:"matched"` // a mailbox matched Folders
	Backup  *sentBackup   `json:"backup,omitempty"`
}

// A sentBackup is how the backup of an account ended.
type sentBackup struct {
	Result  backup.Result    `json:"result"` // its Report without Faults
	Faults  []sentError      `json:"faults,omitempty"`
	Exit    exitCode         `json:"exit"`
	Err     *sentError       `json:"err,omitempty"`
	Told    bool             `json:"told"`
	Skipped string           `json:"skipped,omitempty"`
	Last    store.LastBackup `json:"last"`
}

// A sentError keeps of an error what is told to people and scripts.
type sentError struct {
	Text  string     `json:"text"`
	Class mail.Class `json:"class"`
}

func sendError(err error) *sentError {
	if err == nil {
		return nil
	}
	return &sentError{err.Error(), mail.ClassOf(err)}
}

func sendErrors(errs []error) (sent []sentError) {
	for _, err := range errs {
		sent = append(sent, *sendError(err))
	}
	return sent
}

// got is the error at the other end.
func (e *sentError) got() error {
	if e == nil {
		return nil
	}
	return mail.NewFault(mail.GradeAccount, e.Class, errors.New(e.Text), "")
}

// A sentEvent is an engine.Event on its way.
type sentEvent struct {
	engine.Event
	// What does not travel as it is.
	Digest         string
	Added, Removed []mail.Flag
	Err            *sentError
}

func sendEvent(e engine.Event) *sentEvent {
	s := &sentEvent{Event: e, Added: e.Added.Flags(), Removed: e.Removed.Flags(), Err: sendError(e.Err)}
	if !e.Digest.IsZero() {
		s.Digest = e.Digest.String()
	}
	return s
}

func (s *sentEvent) got() (engine.Event, error) {
	e := s.Event
	e.Added, e.Removed, e.Err = mail.NewFlagSet(s.Added...), mail.NewFlagSet(s.Removed...), s.Err.got()
	if s.Digest == "" {
		return e, nil
	}
	var err error
	e.Digest, err = mail.ParseDigest(s.Digest)
	return e, err
}

func (r ran) send(account string, matched bool) *sentRan {
	s := &sentRan{Account: account, Report: *r.report, Exit: r.exit, Began: r.begun, Err: sendError(r.err), After: sendError(r.after), Matched: matched}
	s.Report.Faults = nil
	s.Faults = sendErrors(r.report.Faults)
	if b := r.backup; b != nil {
		s.Backup = &sentBackup{Result: b.Result, Faults: sendErrors(b.Report.Faults), Exit: b.exit, Err: sendError(b.err), Told: b.told, Skipped: b.skipped, Last: b.last}
		s.Backup.Result.Report.Faults = nil
	}
	return s
}

func (s *sentRan) got() ran {
	r := ran{report: &s.Report, exit: s.Exit, begun: s.Began, err: s.Err.got(), after: s.After.got()}
	for i := range s.Faults {
		r.report.Faults = append(r.report.Faults, s.Faults[i].got())
	}
	if b := s.Backup; b != nil {
		r.backup = &backedUp{Result: b.Result, exit: b.Exit, err: b.Err.got(), told: b.Told, skipped: b.Skipped, last: b.Last}
		for i := range b.Faults {
			r.backup.Report.Faults = append(r.backup.Report.Faults, b.Faults[i].got())
		}
	}
	return r
}

// decoded reads what a daemon sends.
func decoded(each func(sent) error) func(json.RawMessage) error {
	return func(data json.RawMessage) error {
		var s sent
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("the daemon's answer: %w", err)
		}
		return each(s)
	}
}

// hear does what a command asks the daemon for. life is the daemon's own.
func (d *daemon) hear(life, ctx context.Context, call control.Call, send func(any)) (int, error) {
	switch {
	case call.Version != versionText():
		return 0, fmt.Errorf("it is godwit %s, this is %s: restart the daemon", versionText(), call.Version)
	case call.Config != d.file:
		return 0, fmt.Errorf("it uses the configuration %s: stop it, or use that one", d.file)
	}
	if err := d.reload(life, false); err != nil {
		return 0, fmt.Errorf("the configuration has changed, and is refused: %w", err)
	}
	switch call.Command {
	case "sync":
		var c syncCall
		if err := json.Unmarshal(call.Args, &c); err != nil {
			return 0, err
		}
		return d.sync(ctx, c, send)
	case "status":
		for _, s := range d.statuses() {
			send(sent{Status: &s})
		}
		return 0, nil
	}
	return 0, fmt.Errorf("it knows no command %q", call.Command)
}

// sync runs accounts one after the other, as godwit sync does by itself.
func (d *daemon) sync(ctx context.Context, c syncCall, send func(any)) (int, error) {
	s := syncOptions{accept: c.Accept, reject: c.Reject, dryRun: c.DryRun, chatty: c.Chatty}
	matched := false
	if len(c.Folders) > 0 {
		only, err := config.ParsePatterns(c.Folders)
		if err != nil {
			return 0, err
		}
		s.only, s.matched = &only, func() { matched = true }
	}
	exit := exitOK
	for _, name := range c.Accounts {
		send(sent{Begun: name})
		r, err := d.request(ctx, name, s, func(e engine.Event) { send(sent{Event: sendEvent(e)}) })
		if err != nil {
			r = ran{report: &engine.Report{Began: d.app.now(), Ended: d.app.now()}, exit: codeOf(err), err: err}
		}
		send(sent{Ran: r.send(name, matched)})
		exit = worse(exit, r.exit)
		if ctx.Err() != nil {
			break
		}
	}
	return int(exit), nil
}

// request makes an account's next run.
func (d *daemon) request(ctx context.Context, name string, s syncOptions, observe engine.Observer) (r ran, err error) {
	for {
		d.mu.Lock()
		served := d.served[name]
		d.mu.Unlock()
		if served == nil {
			return r, errors.New("the daemon does not serve this account: see its log")
		}
		duty, ready := served.now()
		if duty == nil {
			select {
			case <-ctx.Done():
				return r, ctx.Err()
			case <-ready:
			}
			continue
		}
		begun := false
		res := duty.worker.Do(ctx, func(ctx context.Context) worker.Result {
			begun = true
			r = d.run(ctx, duty, s, worker.ByRequest, observe)
			return r.result()
		})
		switch {
		case begun:
			return r, nil
		case !errors.Is(res.Err, worker.ErrEnded):
			return r, res.Err
		}
		// The configuration has just changed: another one follows.
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-duty.over:
		}
	}
}

// A liveStatus is how an account stands with its daemon.
type liveStatus struct {
	Account  string      `json:"account"`
	State    string      `json:"state"`
	Why      string      `json:"why,omitempty"`
	Next     time.Time   `json:"next,omitzero"`
	Runs     int         `json:"runs"`
	LastOK   time.Time   `json:"last_ok,omitzero"`
	Failures int         `json:"failures"`
	Since    time.Time   `json:"since,omitzero"`
	Error    string      `json:"error,omitempty"`
	Class    mail.Class  `json:"class,omitempty"`
	Watches  []liveWatch `json:"watches"`
}

type liveWatch struct {
	Name  string    `json:"name"`
	Up    bool      `json:"up"`
	Since time.Time `json:"since,omitzero"`
	Error string    `json:"error,omitempty"`
	Note  string    `json:"note,omitempty"`
}

func live(s worker.Status) liveStatus {
	l := liveStatus{
		Account: s.Account, State: string(s.State), Why: string(s.Why), Next: s.Next, Runs: s.Runs, LastOK: s.LastOK,
		Failures: s.Failures, Since: s.Since, Class: s.Class(), Watches: []liveWatch{},
	}
	if s.Err != nil {
		l.Error = s.Err.Error()
	}
	for _, x := range s.Watches {
		w := liveWatch{Name: x.Name, Up: x.Up, Since: x.Since, Note: x.Note}
		if x.Err != nil {
			w.Error = x.Err.Error()
		}
		l.Watches = append(l.Watches, w)
	}
	return l
}
