// Package when reads the moment that a person names: a date, a time of day,
// some days ago, or the number of a generation.
//
// Invariants:
//   - It is pure: the moment that counts as now, and with it the time zone, is
//     handed in.
//   - What can be read in two ways is read as the later moment: a bare day
//     means its end, an hour that the clocks show twice the second one.
//   - Text that is not understood is an error, never a guess.
package when
