package config

import (
	"os"
	"path/filepath"
	"strings"
)

// A root is a directory that belongs to one purpose alone.
type root struct {
	path     string // as configured
	real     string // with symbolic links followed
	key      string // for errors
	at       position
	what     string // "the Maildir of account x"
	account  string // "" for state_dir
	holdMail bool
	ownInbox bool // layout maildir++: it is the INBOX itself
}

// checkRoots refuses directories that lie in one another's way: the mail of
// two accounts in one Maildir would be mixed, state among mail would be taken
// for mail.
func (b *builder) checkRoots() {
	roots := b.roots()
	for i, r := range roots {
		for _, other := range roots[:i] {
			if why := clash(other, r); why != "" {
				b.fail(r.at, r.key, "%s", why)
			}
		}
	}
}

func (b *builder) roots() []root {
	var roots []root
	add := func(path, key, what, account string, holdMail bool) {
		if path == "" {
			return
		}
		at := b.at[key]
		if _, ok := b.at[key]; !ok && account != "" {
			at = b.at[joinKey("accounts", account)]
			if inDefaults := "defaults" + strings.TrimPrefix(key, joinKey("accounts", account)); b.at[inDefaults].line > 0 {
				at, key = b.at[inDefaults], inDefaults
			}
		}
		roots = append(roots, root{path, resolve(path), key, at, what, account, holdMail, false})
	}
	add(b.config.StateDir, "state_dir", "state_dir", "", false)
	for _, a := range b.config.Accounts {
		key := joinKey("accounts", a.Name)
		add(a.Maildir, key+".maildir", "the Maildir of account "+a.Name, a.Name, true)
		if a.Maildir != "" {
			roots[len(roots)-1].ownInbox = a.Layout == LayoutMaildirPlus
		}
		add(a.Inbox, key+".inbox", "the INBOX of account "+a.Name, a.Name, true)
		if a.Archive != filepath.Join(a.State, "archive") {
			add(a.Archive, key+".archive", "the archive of account "+a.Name, a.Name, false)
		}
	}
	return roots
}

// clash says why two roots cannot stand together, "" if they can.
func clash(a, b root) string {
	same := sameDir(a, b)
	aInB, bInA := within(a.real, b.real), within(b.real, a.real)
	switch {
	case !same && !aInB && !bInA:
		return ""
	case a.holdMail && b.holdMail && a.account == b.account:
		// An account's INBOX may lie in its own Maildir or beside it, or be the
		// directory that holds the others (Dovecot's LAYOUT=fs).
		if same && a.ownInbox {
			return b.path + " is " + a.what + " itself, which is the INBOX already in layout \"maildir++\": leave inbox out"
		}
		if aInB {
			return b.path + " holds " + a.what + ": the INBOX must not contain the other mailboxes"
		}
		return ""
	case !a.holdMail && !b.holdMail && !same:
		return "" // an archive may lie below state_dir
	case same:
		return b.path + " is " + a.what + " already: give each a directory of its own"
	case bInA:
		return b.path + " lies inside " + a.what + " (" + a.path + "): give it a directory elsewhere"
	}
	return b.path + " contains " + a.what + " (" + a.path + "): give it a directory elsewhere"
}

func sameDir(a, b root) bool {
	if a.real == b.real {
		return true
	}
	ia, errA := os.Stat(a.path)
	ib, errB := os.Stat(b.path)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

func within(inner, outer string) bool {
	if outer == string(filepath.Separator) {
		return inner != outer
	}
	return strings.HasPrefix(inner, outer+string(filepath.Separator))
}

// resolve follows the symbolic links of a path whose end need not exist yet.
func resolve(path string) string {
	rest := ""
	// A link may point to what does not exist; 40 hops are what Linux follows.
	for hops := 0; hops < 40; {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(real, rest)
		}
		if target, err := os.Readlink(path); err == nil {
			hops++
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(path), target)
			}
			path = target
			continue
		}
		parent := filepath.Dir(path)
		if parent == path {
			break
		}
		rest = filepath.Join(filepath.Base(path), rest)
		path = parent
	}
	return filepath.Join(path, rest)
}
