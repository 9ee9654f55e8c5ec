// Package config reads godwit's configuration: one TOML file that names the
// accounts, where their mail lies and how it is kept in step.
//
// Its one job is to turn the file into a Config that can be acted upon
// without another look, or into errors that name the file, the line, the
// column and the key, before anything is touched. It opens no connection and
// creates nothing.
//
// Invariants:
//   - What is loaded is whole: every default is filled in, every path is
//     absolute, every value is within its bounds.
//   - No two accounts share a Maildir, none lies inside another's, and no
//     state lies among mail: this is decided after symbolic links are
//     followed, and also for directories that do not exist yet.
//   - A Secret prints as "[redacted]" however it is printed, and no error
//     quotes a value that may be one.
package config
