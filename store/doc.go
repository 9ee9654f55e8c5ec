// Package store is the index of an account: what godwit remembers between
// runs, in one SQLite database (engine.Index), with the lock that lets one
// run at a time use it and the file that tells of the last run.
//
// The schema is in schema/*.sql, with prose above each table.
//
// Layout of an account's state directory:
//
//	index.db, index.db-wal, index.db-shm   the database
//	lock                                   see Lock; never deleted
//	last-run                               see WriteLastRun
//
// Invariants, each checked by CheckConsistency:
//   - A place (side, mailbox, epoch, ref) is bound to one message at most.
//   - A message is paired if and only if it has a place on both sides.
//   - A mailbox side with a pending change has no cursor, so that the change
//     is seen again.
//   - Numbers of messages, mailboxes, intents and runs are never given twice.
//
// Who writes must hold the Lock. Reading alone (OpenReadOnly) needs no lock and
// disturbs nobody.
package store
