// Command godwit keeps IMAP accounts and Maildirs in step.
//
// This package is the only place that knows every room: it reads the
// configuration, opens both sides of an account and its index, hands them to
// the engine, and turns what the engine tells into text, progress or JSON.
//
// Invariants:
//   - Standard output carries results, standard error what went wrong and what
//     to do next; with --json standard output carries one object a line.
//   - Nothing that a server or a disk said reaches a terminal unescaped.
//   - The exit code follows one table (exit.go).
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// garbagePercent is how much garbage may gather, in percent of what is in use,
// before it is collected. What is in use is small beside what passes through
// in a run, so less than half of Go's own value costs little: a first pull of
// many messages takes a fifth less memory for two to five percent more CPU time.
const garbagePercent = 40

// firstPercent is garbagePercent until something was collected for the first
// time, which is at 12 MB in use: most runs change little, and end before. With
// 200 mailboxes in which nothing changed, collecting was a fifth of the work.
const firstPercent = 300

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(firstPercent)
		runtime.AddCleanup(new(firstCollected), func(percent int) { debug.SetGCPercent(percent) }, garbagePercent)
	}
	crashBySignal()
	os.Exit(guarded(os.Args[1:]))
}

// A firstCollected is out of use at once, and so is told of by the first collection. It
// has a pointer, so that it shares no memory with what lives on.
type firstCollected struct{ _ *int }

// crashBySignal has a crash, which Go ends with exit code 2, end by SIGABRT: a
// service is not started again after exit code 2, which says that usage or
// configuration are wrong. It leaves no core, which would hold passwords and
// mail.
func crashBySignal() {
	if os.Getenv("GOTRACEBACK") == "" {
		debug.SetTraceback("crash")
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_CORE, &limit) == nil {
		limit.Cur = 0
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &limit) // less than it was: always allowed
	}
}

// guarded runs the commands under signals: the first SIGINT or SIGTERM ends
// the step in hand, a second one the process, at once.
func guarded(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, args, os.Stdin, os.Stdout, os.Stderr, os.Getenv)
}
