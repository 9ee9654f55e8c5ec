package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/godwit-mail/godwit/cmd/godwit/hook"
	"github.com/godwit-mail/godwit/cmd/godwit/telemetry"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/worker"
)

const (
	// backstop is after how long an account runs though nothing made it.
	backstop = time.Hour
	// lookAtConfig is how often the daemon looks whether its configuration changed.
	lookAtConfig = 2 * time.Second
)

// A daemon keeps all accounts of a configuration in step.
type daemon struct {
	app   *app
	log   *slog.Logger
	file  string // the configuration
	hooks *hook.Runner
	tally *telemetry.Tally
	unit  *unit

	reloading sync.Mutex
	read      look  // what the configuration looked like when it was read
	refused   error // why the one that is there now is not used; nil if it is
	own       config.Daemon

	looked atomic.Pointer[time.Time] // when watchConfig last did

	mu     sync.Mutex
	served map[string]*served // by name
	all    sync.WaitGroup     // of the accounts
}

// A served account has a worker, or had one and is about to have another.
type served struct {
	mu   sync.Mutex
	want *config.Account // as it is to be served; nil: not at all
	duty *duty           // as it is served; nil: see ready
	// ready is closed when there is a duty, or never will be one again.
	ready chan struct{}
}

// A duty is an account in one configuration.
type duty struct {
	acc    *config.Account
	worker *worker.Worker
	echo   *maildir.Echo
	meter  *wire.Meter // of all connections with the server
	pool   *imap.Pool  // keeps the connection between runs
	log    *slog.Logger
	left   leftover
	over   chan struct{} // closed when the worker has ended
}

// apply takes over a configuration: accounts that are new begin, those that
// changed begin anew after the run under way, and those that are gone end.
func (d *daemon) apply(ctx context.Context, conf *config.Config) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := map[string]*config.Account{}
	for _, acc := range conf.Accounts {
		if unsupported(acc) == nil {
			wanted[acc.Name] = acc
		}
	}
	for name, s := range d.served {
		s.become(wanted[name])
	}
	for name, acc := range wanted {
		if d.served[name] == nil {
			s := &served{want: acc, ready: make(chan struct{})}
			d.served[name] = s
			d.all.Go(func() { d.keep(ctx, name, s) })
		}
	}
}

// become makes the account be served in another way, nil for not at all.
func (s *served) become(acc *config.Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reflect.DeepEqual(acc, s.want) {
		return
	}
	s.want = acc
	if s.duty != nil {
		s.duty.worker.Finish()
	}
}

// keep serves an account until it is no longer to be served.
func (d *daemon) keep(ctx context.Context, name string, s *served) {
	for duty := d.begin(ctx, name, s); duty != nil; duty = d.begin(ctx, name, s) {
		duty.worker.Run(ctx)
		duty.pool.Close()
		s.mu.Lock()
		s.duty, s.ready = nil, make(chan struct{})
		s.mu.Unlock()
		close(duty.over)
	}
}

// begin gives the next duty of an account, nil if it is no longer to be served.
func (d *daemon) begin(ctx context.Context, name string, s *served) *duty {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ready)
	if s.want == nil || ctx.Err() != nil {
		delete(d.served, name)
		return nil
	}
	s.duty = d.newDuty(s.want)
	return s.duty
}

// now is the account's duty. It is nil if there is none, until ready is closed.
func (s *served) now() (*duty, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.duty, s.ready
}

// statuses tells how all accounts stand, by name.
func (d *daemon) statuses() []liveStatus {
	var out []liveStatus
	for _, duty := range d.duties() {
		out = append(out, live(duty.worker.Status()))
	}
	return out
}

// duties are those of all accounts, by name. An account that is just about to
// be served in another way has none.
func (d *daemon) duties() []*duty {
	d.mu.Lock()
	all := slices.Sorted(maps.Keys(d.served))
	duties := make([]*duty, len(all))
	for i, name := range all {
		duties[i], _ = d.served[name].now()
	}
	d.mu.Unlock()
	return slices.DeleteFunc(duties, func(t *duty) bool { return t == nil })
}

// newDuty makes the worker of an account.
func (d *daemon) newDuty(acc *config.Account) *duty {
	t := &duty{
		acc: acc, echo: maildir.NewEcho(), meter: wire.NewMeter(acc.LimitRate), pool: imap.NewPool(),
		log: d.log.With("account", acc.Name), over: make(chan struct{}),
	}
	last := before(acc)
	t.left.take(last.Held, last.HeldBoxes, last.Pending)
	t.left.backedUp(last.Backup)
	opt := worker.Options{
		Account: acc.Name, Clock: d.app.now, Backstop: backstop, LastOK: last.LastOK,
		Run: func(ctx context.Context, why worker.Trigger) worker.Result {
			return d.run(ctx, t, syncOptions{}, why, nil).result()
		},
		Changed: d.told(t.log),
	}
	opt.Schedule, _ = worker.ParseSchedule(acc.Schedule) // the configuration was checked
	switch {
	case acc.Synced():
		opt.Watches = []worker.Watch{
			{Name: "server", Why: worker.ByRemote, Run: func(ctx context.Context, w worker.Watching) error {
				return t.watchServer(ctx, w)
			}},
			{Name: "maildir", Why: worker.ByLocal, Run: func(ctx context.Context, w worker.Watching) error {
				options := maildirOptions(acc)
				options.Echo = t.echo
				return maildir.Watch(ctx, options, w.Up, func(string) { w.Changed() })
			}},
		}
	case acc.Schedule != "":
		opt.Backstop = 0 // an archive is filled when its schedule says so
	}
	t.worker = worker.New(opt)
	t.pool.Died = t.worker.Doubt
	return t
}

// noWatch is what is to be known of an account whose only connection is for runs.
const noWatch = "connections = 1 leaves none to watch the server with: what changes there is seen by schedule"

// watchServer watches the server with the connections that runs leave. When
// the watch ends, because of the network or since the machine slept, the
// connection that waits for the next run is not trusted any more either.
func (t *duty) watchServer(ctx context.Context, w worker.Watching) error {
	defer t.pool.Drop()
	if t.acc.Connections == 1 {
		w.Up(noWatch)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	options := imapOptions(t.acc)
	options.Meter, options.Connections = t.meter, t.acc.Connections-1
	return imap.Watch(ctx, options, t.acc.Idle, imap.Watching{Up: w.Up, Changed: func(imap.News) { w.Changed() }, Doubt: w.Doubt})
}

// watching is how many connections watch the server at most: with IDLE, one
// for each mailbox that there is one for.
func (t *duty) watching() int {
	if !t.acc.Synced() {
		return 0
	}
	return min(max(1, len(t.acc.Idle)), t.acc.Connections-1)
}

// told logs what becomes of an account and its watches, when it changes.
func (d *daemon) told(log *slog.Logger) func(worker.Status) {
	var was worker.Status
	return func(s worker.Status) {
		defer func() { was = s }()
		switch {
		case s.Failures > was.Failures:
			// Once is enough to be woken up for.
			level := slog.LevelWarn
			if was.Failures == 0 || s.Class() != was.Class() {
				level = slog.LevelError
			}
			log.Log(context.Background(), level, "the run failed", "error", s.Err, "class", s.Class(), "failures", s.Failures, "next", s.Next.Format(time.RFC3339))
		case s.Failures == 0 && was.Failures > 0:
			log.Info("the account works again", "failed_since", was.Since.Format(time.RFC3339))
		}
		for i, x := range s.Watches {
			var before worker.WatchStatus
			if i < len(was.Watches) {
				before = was.Watches[i]
			}
			switch {
			case x.Up && !before.Up:
				log.Info("watching", "what", x.Name, "note", x.Note)
			case x.Err != nil && before.Err == nil:
				log.Warn("not watching", "what", x.Name, "error", x.Err)
			}
		}
		d.unit.changed()
	}
}

// run runs an account, logs and counts it, and has its hooks run. observe may
// be nil.
func (d *daemon) run(ctx context.Context, t *duty, s syncOptions, why worker.Trigger, observe engine.Observer) ran {
	log := t.log
	s.echo, s.meter, s.pool, s.watching = t.echo, t.meter, t.pool, t.watching()
	r := runAccount(ctx, t.acc, s, d.app.now, func(e engine.Event) {
		if observe != nil {
			observe(e)
		}
		logEvent(ctx, log, e)
	})
	if r.after != nil {
		log.Error("after the run", "error", r.after)
	}
	if r.begun {
		level := slog.LevelDebug // there was nothing to do
		if r.report.Changed() || r.exit != exitOK {
			level = slog.LevelInfo
		}
		log.Log(ctx, level, "ran", "because", string(why), "exit", int(r.exit), "took", r.report.Ended.Sub(r.report.Began).Round(time.Millisecond).String(),
			"copied_here", r.report.Copied[plan.Local], "copied_there", r.report.Copied[plan.Remote],
			"changed", r.report.Flagged[0]+r.report.Flagged[1]+r.report.Moved[0]+r.report.Moved[1],
			"deleted_here", r.report.Deleted[plan.Local], "deleted_there", r.report.Deleted[plan.Remote],
			"held", r.report.Held, "pending", r.report.Pending)
	}
	if r.effective {
		t.left.take(r.report.Held, r.report.HeldBoxes, r.report.Pending)
	}
	if b := r.backup; b != nil {
		t.left.backedUp(&b.last)
		d.logBackup(ctx, log, b)
	}
	if !s.dryRun {
		d.tally.Ran(t.acc.Name, r.tally())
	}
	callHooks(d.hooks, t.acc, r)
	return r
}

// logBackup logs how a backup ended.
func (d *daemon) logBackup(ctx context.Context, log *slog.Logger, b *backedUp) {
	if b.skipped != "" {
		log.DebugContext(ctx, "no backup", "because", b.skipped)
		return
	}
	level := slog.LevelDebug
	args := []any{"exit", int(b.exit), "complete", b.Complete, "took", b.Report.Ended.Sub(b.Report.Began).Round(time.Millisecond).String()}
	if g := b.Generation; g != nil {
		level = slog.LevelInfo
		args = append(args, "generation", g.Number, "came", g.Came, "went", g.Went, "changed", g.Changed, "moved", g.Moved, "stored", g.Stored)
	}
	if b.err != nil && !b.told {
		args = append(args, "error", b.err)
	}
	if !b.Complete {
		level = slog.LevelWarn
		args = append(args, "why", b.Why)
	}
	for _, q := range b.Quarantined {
		log.WarnContext(ctx, "a message is not in the archive", "mailbox", string(q.Mailbox), "uid", q.UID, "error", q.Why)
	}
	log.Log(ctx, level, "backed up", args...)
}

// logEvent logs what a run tells.
func logEvent(ctx context.Context, log *slog.Logger, e engine.Event) {
	if e.Planned {
		return
	}
	args := []any{"mailbox", string(e.Mailbox)}
	if e.Job != "" {
		args = append(args, "job", e.Job)
	}
	switch e.Kind {
	case engine.Action:
		args = append(args, "side", e.Side.String())
		if e.To != "" {
			args = append(args, "to", string(e.To))
		}
		if !e.Digest.IsZero() {
			args = append(args, "size", e.Size, "digest", e.Digest.String())
		}
		if e.Verb == engine.VerbFlagged {
			args = append(args, "added", flagNames(e.Added), "removed", flagNames(e.Removed))
		}
		log.DebugContext(ctx, string(e.Verb), args...)
	case engine.Faulted:
		log.WarnContext(ctx, "something failed", append(args, "side", e.Side.String(), "error", eventText(e), "class", mail.ClassOf(e.Err))...)
	case engine.Held:
		log.WarnContext(ctx, "something is held", append(args, "what", eventText(e), "count", e.Count)...)
	case engine.Noted:
		log.InfoContext(ctx, "note", append(args, "what", eventText(e))...)
	}
}

// result is what a run means for the worker.
func (r ran) result() worker.Result {
	err := errors.Join(r.err, r.after)
	switch {
	case r.exit == exitInterrupted:
		return worker.Result{Err: context.Canceled}
	case err != nil:
		return worker.Result{Err: firstFault(err), Partial: r.begun && mail.GradeOf(err, mail.GradeAccount) < mail.GradeAccount}
	case len(r.report.Faults) > 0:
		return worker.Result{Err: r.report.Faults[0], Partial: true}
	case r.report.Pending > 0:
		return worker.Result{Err: fmt.Errorf("%s could not be carried over yet", count(r.report.Pending, "change")), Partial: true}
	}
	if err := r.backup.trouble(); err != nil {
		return worker.Result{Err: err, Partial: true}
	}
	return worker.Result{}
}

// firstFault is an error that knows its class, if one of several does.
func firstFault(err error) error {
	var f *mail.Fault
	if errors.As(err, &f) {
		return f
	}
	return err
}

// A look is what shows that a file was changed.
type look struct {
	size  int64
	mtime time.Time
	found bool
}

func lookAt(file string) look {
	st, err := os.Stat(file)
	if err != nil {
		return look{}
	}
	return look{st.Size(), st.ModTime(), true}
}

// reload reads the configuration again, if it has changed or so asked. One
// that is wrong is refused, and the old one stays.
func (d *daemon) reload(ctx context.Context, asked bool) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	now := lookAt(d.file)
	if !asked && (now == d.read || !now.found) {
		return d.refused
	}
	d.read = now
	d.unit.say(reloading())
	defer d.unit.say(sd.SdNotifyReady)
	conf, err := d.app.load()
	if d.refused = err; err != nil {
		d.log.Error("the changed configuration is refused, the old one stays", "error", err)
		return err
	}
	d.apply(ctx, conf)
	if conf.Daemon != d.own {
		d.log.Warn("[daemon] has changed: that takes effect when the daemon is started again")
	}
	d.log.Info("the configuration was read again", "file", d.file)
	return nil
}

// watchConfig reloads when told to, and when the configuration was changed.
func (d *daemon) watchConfig(ctx context.Context, hup <-chan os.Signal) {
	tick := time.NewTicker(lookAtConfig)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hup:
			asked = true
		case <-tick.C:
		}
		_ = d.reload(ctx, asked) // it was told
		now := time.Now()
		d.looked.Store(&now)
	}
}

// socketPath is where the daemon of a configuration listens. State directories
// have each a daemon of their own.
func socketPath(conf *config.Config, env config.Env) string {
	if dir := env("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, fmt.Sprintf("godwit-%08x.sock", checksum(conf.StateDir)))
	}
	return stateSocket(conf)
}

// stateSocket is where it listens without a runtime directory.
func stateSocket(conf *config.Config) string { return filepath.Join(conf.StateDir, "daemon.sock") }
