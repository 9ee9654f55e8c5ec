// Package plan decides. It is pure: given what the index remembers and what
// changed on each side, Reconcile says what must be done so that both sides
// agree, and Folders says the same of mailboxes. Nothing here has a context,
// a clock, a log, a random number or any I/O; the same input gives the same
// plan, in the same order.
//
// The package also declares the words in which the engine, the sides and the
// index speak to each other (side.go, index.go), because they all may import
// it and must not import one another.
//
// Invariants, each with a test:
//   - Not seen is not deleted: a loss needs a row of the index that was bound
//     on both sides and a complete view of the mailbox it is missing from.
//   - Gain before loss: no loss is planned from a side on which a mailbox in
//     scope was not completely seen, since it could be half of a move.
//   - Applying a plan and reconciling again gives an empty plan.
//   - Swapping the sides, and the policy with them, swaps the plan.
package plan
