//go:build !linux

package imap

import "syscall"

// limitUnsent does nothing here: the limits of Conn find such connections.
func limitUnsent(_, _ string, _ syscall.RawConn) error { return nil }
