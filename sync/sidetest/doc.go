// Package sidetest is what every Side is tested with: Run, one conformance
// suite of the promises of sync/engine's Side and Writer; Memory, an account
// in memory that behaves like a server or like a Maildir; MemoryIndex, an
// Index in memory; and wrappers that make a side or an index fail, die or
// count round trips at a chosen step.
//
// It is imported by tests only. Everything in it is deterministic: no real
// clock, no random number, no order that comes from a map.
//
// Invariants:
//   - Memory passes Run in every kind and with every combination of Traits
//     that its harness declares.
//   - A user operation on a Memory is what a mail program would do: it counts
//     as no effect, and moves marks, numbers and cursors as a real one would.
//   - A failed Settle or Begin of a MemoryIndex changes nothing.
package sidetest
