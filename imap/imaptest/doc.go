// Package imaptest starts servers for tests: private Dovecots, in any shape
// that a real server may have, and scripted ones that misbehave on command.
// Only tests import it.
//
// A server listens on the loopback address alone, lives in a directory of its
// own and ends, with its children, when the test does.
package imaptest
