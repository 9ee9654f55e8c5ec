// Package telemetry tells how the daemon and its accounts stand: in the text
// format of Prometheus, and as one answer for who only asks whether all is
// well.
//
// Invariants:
//   - It listens on this machine alone, never unasked, and answers without a
//     password: what it tells are counts, times, the names of accounts and the
//     text of errors, never what is in a mail.
//   - Who asks cannot hold anything up: every answer has its time, and is made
//     from what the daemon knows already, or has in small files.
package telemetry
