// Package folders decides where each mailbox of one account goes in another:
// its one job is the map of names that a migration follows. It is pure: what
// the two servers list, what names the target takes, what the user asked for
// and what an earlier run used go in, and a Plan comes out, the same for the
// same input.
//
// What always holds:
//
//   - Total: every mailbox of the origin has exactly one Folder in the Plan,
//     which either names a target or tells why it is left out.
//   - INBOX goes to INBOX, unless the user asks for another place.
//   - Two mailboxes share a target only where the user said so, or where both
//     servers' special-use attributes say that they are for the same (RFC
//     6154); Folder.Merges tells it. Otherwise the later one gets a number.
//   - Nothing is guessed: where a use has two candidates the name is kept, and
//     a Note says so.
//   - A target is there already, or has a name that the Rules allow.
//   - Stable: what an earlier run used (Input.Used) stays while its target is
//     there and the user asks for the same.
//
// The first of these that applies gives the name: what was used before, --map,
// regular expressions and --subfolder, INBOX, special-use attributes on both
// sides, the same name in the target, well-known names in many languages, the
// parent's target, the name itself. What the target cannot hold is adapted
// then, and each Change told.
package folders
