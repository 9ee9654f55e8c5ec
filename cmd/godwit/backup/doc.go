// Package backup makes generations: it has the engine pull the mail of a
// server into an archive, and afterwards counts whether all of it is there.
//
// Invariants:
//   - The server is only read. What would change it is refused here, whatever
//     the policy of the run says.
//   - A generation is complete only if every mailbox in scope was seen as a
//     whole, and holds in the archive as many messages as on the server, less
//     those that the server would not give: these are in quarantine, by name.
//   - A body from a Maildir is taken only for the very bytes of the server's
//     message, proved by their digest before any of them is handed over.
//   - What nobody has seen to be gone stays: a placement is closed only in
//     mailboxes that were seen as a whole.
package backup
