// Package archive keeps every state that the mail of an account was in. It is
// a side for the engine like any other: a backup is a run that pulls into it.
// Removing a message only closes the interval in which it was there, so that
// each generation, the state that one run left, can be read for as long as
// retention keeps it.
//
// Invariants:
//   - A message file never changes. It is named by the SHA-256 of the exact
//     bytes of the message, compressed when it is written, and durable before
//     the catalogue names it.
//   - Retain alone deletes message files and forgets where messages lay: of what
//     a generation shows that is not retired, nothing. What it decided is durable
//     before it is done.
//   - All effects of a run bear the number of its generation, each in one
//     transaction; a run that changes nothing leaves no trace.
//   - A generation is complete only when it is told to be, and its manifest is
//     durable by then. Each manifest names the digest of the one before it.
//   - Bytes are given out only together with the proof that they have their
//     digest: a reader ends with an error otherwise.
//
// One process writes at a time, which the caller sees to; any number may read
// beside it.
package archive
