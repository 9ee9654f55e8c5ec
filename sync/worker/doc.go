// Package worker decides when an account runs: at the start, by its schedule,
// when a watch tells of a change, when a person asks, and again after a
// failure. What a run is made of is none of its business.
//
// Invariants:
//   - An account has at most one run at a time, and accounts know nothing of
//     each other.
//   - No change that a watch tells of is forgotten: one that comes during a
//     run makes another run after it.
//   - A burst of changes is a few runs, and a failure is followed by a pause
//     that grows (Backoff): nothing that the account meets can make a worker
//     busy.
//   - Pauses are measured by the monotonic clock, schedules by the wall clock;
//     a wall clock that jumps (a machine that slept, a clock that was set)
//     makes nobody miss a schedule, and none fire twice.
package worker
