// Package bench measures godwit beside its peers, mbsync and OfflineIMAP: the
// same work against the same private Dovecot, in turn, in several rounds of
// one run. It holds no code but its benchmark; run it by "make bench". A
// miniature of it is an ordinary test, so that it keeps working.
//
// Rules of the measuring:
//   - Machines are noisy: only ratios of medians within one run mean anything,
//     and nothing here fails because of a time.
//   - A run that did not do its work fails: every figure is checked to be that of
//     work done.
//   - Nothing is deleted while it measures (file systems are slow where many
//     files were just deleted), and what earlier runs wrote is on the disk before
//     the next one begins.
//   - Bytes and commands are counted in runs of their own, so that no relay
//     stands in the way of those that are timed.
package bench
