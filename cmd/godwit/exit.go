package main

import (
	"context"
	"errors"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
)

// An exitCode is what a run of godwit comes to.
type exitCode int

// The exit codes.
const (
	exitOK          exitCode = 0   // both sides agree
	exitFailed      exitCode = 1   // something failed, the rest was done
	exitUsage       exitCode = 2   // usage or configuration
	exitHeld        exitCode = 3   // something waits for the user: held deletions, an empty root
	exitLocked      exitCode = 4   // another run has the lock
	exitConnection  exitCode = 10  // migrate: no connection
	exitAuth        exitCode = 11  // migrate: a server does not let the user in
	exitQuota       exitCode = 12  // migrate: a quota or a limit of a server
	exitInterrupted exitCode = 130 // by a signal
)

// precedence orders the codes: of several, the first one here is told.
var precedence = [...]exitCode{exitUsage, exitInterrupted, exitAuth, exitConnection, exitQuota, exitFailed, exitLocked, exitHeld, exitOK}

// worse is the one of two codes that is told.
func worse(a, b exitCode) exitCode {
	for _, code := range precedence {
		if a == code || b == code {
			return code
		}
	}
	return a
}

// A usageError is a mistake in the way godwit was called.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// codeOf is the exit code that an error comes to.
func codeOf(err error) exitCode {
	var usage *usageError
	var conf config.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.As(err, &conf):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, store.ErrLocked):
		return exitLocked
	case mail.ClassOf(err) == mail.ClassConfig:
		return exitUsage
	}
	return exitFailed
}
