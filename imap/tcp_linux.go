package imap

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnsent ends connections that hold what was sent, and not acknowledged,
// for too long (RFC 5482): the system's own patience is a quarter of an hour.
// That is a help, not a need: an error is none of the connection.
func limitUnsent(_, _ string, conn syscall.RawConn) error {
	return conn.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(keepUnsent.Milliseconds()))
	})
}
