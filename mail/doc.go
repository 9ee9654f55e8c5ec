// Package mail is the vocabulary of godwit: the words that every room uses
// for a message, its flags, its identity, its mailbox and what can go wrong
// with it.
//
// It holds values and pure functions only: no I/O beyond reading the
// io.Reader it is handed, no clock, no log, nothing of any protocol or disk
// format. Every other package may import it; it imports the standard library
// alone.
package mail
