package hook

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// A Command is what a user wants run.
type Command struct {
	Account string
	Kind    string // the key of the configuration, such as "on_new_mail"
	Line    string // for /bin/sh -c
	Timeout time.Duration
}

// An Outcome is how a command ended.
type Outcome struct {
	Command
	Took   time.Duration
	Output string // its standard output and error, the beginning of it
	Err    error
}

// A Runner runs commands.
type Runner struct {
	env  []string
	told func(Outcome)

	ending context.Context // of all commands
	end    context.CancelFunc
	quit   func() bool // forgets the end of the program
	all    sync.WaitGroup

	mu    sync.Mutex
	lines map[line]*queue
}

// A line is commands that run one after the other.
type line struct{ account, kind string }

// A queue is what waits for the command that runs, at most one a key.
type queue struct{ waiting []call }

type call struct {
	command Command
	what    Occasion
}

// New makes a runner. Commands have env as their environment (see
// Environment). told is called once for each that ended, by several
// goroutines. When ctx ends, commands that run, or are called for then, have
// rest left to them.
func New(ctx context.Context, env []string, rest time.Duration, told func(Outcome)) *Runner {
	r := &Runner{env: env, told: told, lines: map[line]*queue{}}
	r.ending, r.end = context.WithCancel(context.WithoutCancel(ctx))
	r.quit = context.AfterFunc(ctx, func() { time.AfterFunc(rest, r.end) })
	return r
}

// Call has a command run, now or when the one of its kind that runs has ended.
// It never waits. A command without a Line is none.
func (r *Runner) Call(c Command, what Occasion) {
	if c.Line == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := line{c.Account, c.Kind}
	if q := r.lines[l]; q != nil {
		q.add(call{c, what})
		return
	}
	q := &queue{waiting: []call{{c, what}}}
	r.lines[l] = q
	r.all.Go(func() { r.work(l, q) })
}

// add joins a call to the one that waits already, if one does.
func (q *queue) add(c call) {
	i := slices.IndexFunc(q.waiting, func(w call) bool { return w.what.key() == c.what.key() })
	if i < 0 {
		q.waiting = append(q.waiting, c)
		return
	}
	q.waiting[i] = call{c.command, q.waiting[i].what.join(c.what)}
}

// work runs what waits in a line, until nothing does.
func (r *Runner) work(l line, q *queue) {
	for {
		r.mu.Lock()
		if len(q.waiting) == 0 {
			delete(r.lines, l)
			r.mu.Unlock()
			return
		}
		next := q.waiting[0]
		q.waiting = slices.Delete(q.waiting, 0, 1)
		r.mu.Unlock()
		text, err := json.Marshal(next.what)
		began := time.Now()
		var output string
		if err == nil {
			output, err = r.run(next.command, append(text, '\n'))
		}
		r.told(Outcome{Command: next.command, Took: time.Since(began), Output: output, Err: err})
	}
}

// Close waits for all that was called for. Nothing may be called for then.
func (r *Runner) Close() {
	r.all.Wait()
	r.quit()
	r.end()
}
