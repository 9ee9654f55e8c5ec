// Package control lets a command talk to the daemon that runs already: over a
// Unix socket, the daemon does what was asked and sends back what happens and,
// at the end, the exit code.
//
// A conversation is lines of JSON: one Call from the command, then frames
// from the daemon, the last of them with the exit code. What the frames before
// it hold is between the two ends. When the command
// closes its side of the connection, it asks for the work to be broken off;
// the frames go on until the exit code.
//
// Invariants:
//   - Only the user who runs the daemon, or root, is heard: the socket is
//     theirs alone (0600), and the kernel is asked who called where it tells.
//   - A socket that a daemon left behind when it died is in nobody's way; one
//     that a daemon listens at is never taken from it.
//   - Nothing that a caller sends, or does not send, holds up the daemon:
//     calls are bounded in size, and each has a goroutine of its own.
package control
