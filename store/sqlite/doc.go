// Package sqlite opens the SQLite files that godwit keeps: the index of an
// account and the catalogue of an archive. It knows how to open, migrate,
// write and check a database, and nothing of what is in it.
//
// Invariants:
//   - A commit is durable when Update returns (WAL with synchronous=FULL),
//     and with it what UpdateLoose committed before.
//   - There is one writing connection; readers have connections of their own
//     and see the last commit before they began, so that a transaction may
//     run while rows are being read.
//   - A file that is not ours, or that a newer godwit wrote, is refused
//     before one byte of it is changed.
//   - A reader of a database that somebody else writes (OpenReadOnly) creates
//     no file and waits for nobody.
//   - Nobody else opens the database file itself in this process: closing any
//     descriptor of it would drop SQLite's POSIX locks.
package sqlite
