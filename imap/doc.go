// Package imap is the side of an account that lies on an IMAP server. Open
// gives an Account, which surveys, scans, reads and changes mailboxes in the
// words of sync/plan. No type of the IMAP library leaves the package.
//
// It works with any server that speaks IMAP4rev1 (RFC 3501), and costs less
// with one that also offers UIDPLUS, MOVE, CONDSTORE, QRESYNC, ESEARCH,
// LIST-STATUS, NAMESPACE, SPECIAL-USE, ACL, OBJECTID or COMPRESS=DEFLATE.
//
// Invariants:
//   - A view is complete only when a command that covers the whole mailbox was
//     answered OK and the distinct UIDs are as many as EXISTS then says; that
//     of what changed since a cursor, only when the messages it knew, less those
//     that vanished, and the new ones are as many.
//   - What is sent before it is asked for changes nothing, and is forgotten when
//     anything else comes between. While it is under way, nothing else is sent.
//   - A body is handed over only as many bytes long as its literal; each UID
//     asked for has given a body, is gone, or is named by a fault.
//   - Only messages that were named are expunged: by UID EXPUNGE (RFC 4315),
//     else after UID SEARCH DELETED has returned exactly those. CLOSE is
//     never sent.
//   - An effect that the server did not answer is reported as unknown, not as
//     failed.
//   - A Ref is a UID in decimal, its epoch the UIDVALIDITY in decimal.
//   - Other connections than the first only bring bodies, of messages that were
//     not asked for yet, under the same UIDVALIDITY. What one of them leaves
//     out is asked for again over the first.
//
// An Account is used by one goroutine at a time. A connection that is lost is
// replaced when it is needed next.
package imap
