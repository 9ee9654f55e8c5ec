// Package hook runs the commands that a user wants run when something happened
// to an account: new mail, a change, an error. A command is told of it as one
// JSON object on its standard input.
//
// Invariants:
//   - An account has at most one command of a kind at a time; what happens
//     meanwhile is gathered into the next call.
//   - Whoever reports something never waits for a command, and a command that
//     fails, or takes too long, is a line in the log and nothing else.
//   - A command and all it began (its process group) ends with its time, or
//     soon after the program is told to end.
//   - A command sees only those variables of the environment that are named
//     here: none that may hold a secret.
package hook
