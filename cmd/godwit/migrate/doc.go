// Package migrate moves the mail of one account to another server. It puts the
// engine between two servers: the origin is the local side and the target the
// remote one, since what the engine knows of a server that it sends to (what it
// rewrites, deduplicates or answers late) it knows of its remote side.
//
// Invariants:
//   - The origin is only read: a Writer that changes nothing stands before it.
//   - At the target mailboxes are made, messages put and flags added or taken
//     away. No message and no mailbox of it is ever removed, moved or renamed,
//     but for a second copy of what an interrupted run had sent, byte for byte
//     the same: a server may carry out an APPEND after the line was cut.
//   - What an earlier run copied is known by the index of the pair. What was
//     deleted at the target since is not copied again, and a mailbox that was
//     removed there is left alone.
//   - Where a mailbox goes is remembered before it is made: a later run that
//     would take it elsewhere is refused.
package migrate
