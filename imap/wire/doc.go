// Package wire stands between a server and the IMAP library: a Conn is a
// net.Conn that is put under imapclient.New. It reads the stream of responses
// by lines and literals, and guarantees to what lies above it:
//
//   - Nothing that was cut looks whole. An end of the stream, or silence,
//     inside a line or a literal is an error (io.ErrUnexpectedEOF or a
//     timeout), never a clean end; Conn.Err tells the first reason.
//   - What comes out is well-formed and known to the library: responses that
//     would break it are repaired or dropped, and what was lost that way can
//     be asked for (TakeNoBody, TakeBadNames, Alerts, Bye, …).
//   - A FETCH response that is handed on answers the command that waits for
//     its message, with all that it asked for: unsolicited ones never take
//     its place. What a server spreads over several is put together.
//   - A command does not succeed with a part of its answer: where a response
//     that could belong to it had to be dropped (SEARCH, STATUS, FETCH without
//     bodies, SELECT without EXISTS), its tagged OK becomes a BAD. Mailboxes
//     that LIST could not name are told by TakeBadNames.
//   - Memory stays bounded whatever the server sends: lines, literals held
//     in memory, nesting and records are capped. Bodies stream.
//   - Timeouts are about progress. A server is silent if no byte came for
//     Options.IdleTimeout while an answer was due; slow readers above, and
//     IDLE, do not count. The library's own deadlines are ignored.
//   - No secret is traced: Options.Trace sees neither the arguments of LOGIN
//     and AUTHENTICATE nor the bytes of literals.
//
// # What the caller must know
//
// Commands may be pipelined, but a STORE and a FETCH, or two FETCHes, that
// name one message should not be in flight together: the library gives a
// response to the first of them that has the message. Behind a SELECT that has
// no answer yet commands may be sent about the mailbox that it selects: no
// response before that answer is taken for one to them.
//
// Bodies that are many or large go past the library: see Divert. Commands that
// the library does not know, or cannot send ahead of others, go beside it: see
// Call. Nothing of the library may be in flight then that the answers could be
// about as well.
//
// Nor should two FETCHes be in flight that the library reads itself: a server
// may mix their answers (Dovecot does when the connection is full), and the
// library stops at an answer until its own command is read. Those that Divert
// takes past the library may be.
//
// An INTERNALDATE that is missing its sense (NIL, or no date) is handed on as
// BadDate. A FETCH response without a usable body for a message whose body
// was asked for is not handed on: the message is missing from the answer, and
// TakeNoBody tells why. So count the bodies that came; never read a missing
// one as empty.
//
// A command that is refused while the library waits to send a literal
// (APPEND answered NO [TRYCREATE] or [OVERQUOTA]) makes the library close
// its connection. When nothing else is in flight the Conn does not follow:
// the Close that the library calls then is ignored once, and the connection
// goes on being usable, though Client.State says that it was logged out.
// AppendCommand.Close must be called, as always, before anything else. To end
// a connection for certain, from any goroutine, use Kill before imapclient's
// Close.
//
// With LITERAL+, literals of up to 32 MiB are sent without waiting for the
// server, so that APPENDs can be pipelined: call Wait of the first after
// Close of the last. Gather has one APPEND carry several messages.
//
// Cork and Uncork make commands leave together. After Compress both
// directions are deflated; no limit is looser for it.
//
// The capabilities after a login are those that the server told with it; the
// library never asks for them by itself. Where LoginTold is false, ask.
//
// COPYUID is handed on only where the server wrote both sets rising and of
// one size: the library sorts sets, so of others it could not be told which
// message became which. IMAP4rev2 is hidden beside IMAP4rev1.
//
// When reading a body fails, the library's decoder is let go while the
// message is still open, and both would read: call Kill and wait for
// imapclient's Closed before the message or the command is touched again.
//
// The library sets Client.State and Client.Mailbox only after Wait has told
// of the answer: they may lag behind. Tally does not.
//
// One goroutine reads and any number write, as imapclient does; but for the
// case above, reads exclude each other.
package wire
