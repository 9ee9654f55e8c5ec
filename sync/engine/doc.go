// Package engine runs one synchronisation of one account: survey both sides,
// scan what changed, let plan decide, guard against catastrophe, apply, and
// settle the index. It owns the interfaces that sides and the index fulfil,
// and knows no protocol, no file system and no database.
//
// Invariants:
//   - The base advances only by what succeeded (Settlement after each step).
//   - An Intent is durable before any effect that is not idempotent.
//   - All gains and moves are durable before the first loss, and every loss
//     is confirmed by a second look, and its bytes kept, before it happens.
//   - One bad message never stops its mailbox, one bad mailbox never stops
//     its account; each is named.
package engine
