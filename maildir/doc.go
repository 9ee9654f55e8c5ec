// Package maildir is the side of an account that lies on a disk as a tree of
// Maildirs. It fulfils the engine's Side, Writer and Rooted.
//
// Invariants:
//   - Nothing is read or written outside the root (and the directory of an
//     INBOX that lies elsewhere): every step down is one openat that refuses
//     symbolic links, and no name with a slash in it reaches the kernel.
//   - No file is ever overwritten: every rename and link refuses a target that
//     exists.
//   - What is reported as done is durable: the file is synced before it is
//     renamed or linked to where it is seen, the directory after (unless FSync
//     is off).
//   - Absence is claimed only of a listing that stood still or came out equal
//     twice. A file that a mail program renames meanwhile is never taken for gone.
//   - A keyword's letter is durable in dovecot-keywords before a file bears it.
//     A letter that means nothing to us is carried along.
//   - What is not ours is left alone: hidden entries, symbolic links, plain
//     files, the files of other tools.
//
// A Ref is the key of a message: its file name up to the info separator ":".
// The Epoch of every mailbox is "1": keys do not change their meaning.
package maildir
