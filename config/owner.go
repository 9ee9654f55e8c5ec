package config

import "fmt"

// Owner tells what of the configuration a path is or lies inside of ("the
// Maildir of account x"), "" if nothing: nobody else may write there. The
// path need not exist; symbolic links are followed.
func (c *Config) Owner(path string) string {
	real := resolve(path)
	in := func(dir string) bool {
		if dir == "" {
			return false
		}
		outer := resolve(dir)
		return real == outer || within(real, outer)
	}
	for _, a := range c.Accounts {
		switch {
		case in(a.Maildir), in(a.Inbox):
			return fmt.Sprintf("the Maildir of account %s", a.Name)
		case in(a.Archive):
			return fmt.Sprintf("the archive of account %s", a.Name)
		}
	}
	if in(c.StateDir) {
		return "state_dir"
	}
	return ""
}
