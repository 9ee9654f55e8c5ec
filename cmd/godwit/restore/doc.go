// Package restore brings mail of an archive back: into a Maildir or onto a
// server with the engine, or out into files. It says what of the archive goes
// where (Selection), and how the engine is to be used for it (Add).
//
// Invariants:
//   - Add only creates mailboxes and puts messages into them. What the target
//     has stays as it is, with its flags.
//   - What the target has already is not put there again: messages are matched
//     by identity at every restore, whatever an earlier one did. Only what an
//     interrupted one left open is looked up in its own index.
//   - A Selection is a side that cannot be changed.
package restore
