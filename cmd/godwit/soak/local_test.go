package soak

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A mutt is a mail program on the Maildir's side of the account. Like reader's,
// its methods give errors.
type mutt struct {
	root     string
	plusPlus bool // the layout is maildir++
	crlf     func() bool
	keepName func() bool // whether the next move keeps the file's name
	serial   int
}

// systemLetters are the flags that every mail program knows in a file name.
var systemLetters = map[byte]mail.Flag{'D': mail.Draft, 'F': mail.Flagged, 'P': mail.Forwarded, 'R': mail.Answered, 'S': mail.Seen, 'T': mail.Deleted}

// utf7 writes the letters beyond ASCII that names of this test have.
var utf7 = strings.NewReplacer("ü", "&APw-", "é", "&AOk-")

var unUTF7 = strings.NewReplacer("&APw-", "ü", "&AOk-", "é")

func (m *mutt) dir(box mail.MailboxName) string {
	switch {
	case !m.plusPlus:
		return filepath.Join(m.root, string(box))
	case box == mail.Inbox:
		return m.root
	}
	return filepath.Join(m.root, "."+strings.ReplaceAll(utf7.Replace(string(box)), "/", "."))
}

// file finds the file with the mark.
func (m *mutt) file(box mail.MailboxName, mark string) (string, error) {
	for range 3 { // a listing misses files that are renamed meanwhile
		for _, part := range []string{"cur", "new"} {
			dir := filepath.Join(m.dir(box), part)
			entries, err := os.ReadDir(dir)
			if err != nil {
				return "", err
			}
			for _, e := range entries {
				body, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err == nil && bytes.Contains(body, []byte(mark)) {
					return filepath.Join(dir, e.Name()), nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s is not in %q of the Maildir", mark, box)
}

// fresh is a file name that no file has.
func (m *mutt) fresh() string {
	m.serial++
	return fmt.Sprintf("1770000000.%d_%d.mutt", os.Getpid(), m.serial)
}

func (m *mutt) deliver(box mail.MailboxName, l *letter, flags mail.FlagSet) error {
	dir := m.dir(box)
	letters, err := m.letters(dir, flags)
	if err != nil {
		return err
	}
	text := []byte(l.text)
	if m.crlf() {
		text = sidetest.Canonical(text)
	}
	name := m.fresh()
	path := filepath.Join(dir, "tmp", name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	if err := os.Chtimes(path, l.date, l.date); err != nil {
		return err
	}
	if letters == "" {
		return os.Rename(path, filepath.Join(dir, "new", name))
	}
	return os.Rename(path, filepath.Join(dir, "cur", name+":2,"+letters))
}

// letters are those of flags in a folder; its table is extended if needed.
func (m *mutt) letters(dir string, flags mail.FlagSet) (string, error) {
	var out []byte
	table := readTable(dir)
	for _, f := range flags.Flags() {
		c, ok := letterOf(systemLetters, f)
		if !ok {
			c, ok = letterOf(table, f)
		}
		if !ok {
			if err := extend(dir, f); err != nil {
				return "", err
			}
			table = readTable(dir)
			c, _ = letterOf(table, f)
		}
		out = append(out, c)
	}
	slices.Sort(out)
	return string(out), nil
}

func letterOf(table map[byte]mail.Flag, f mail.Flag) (byte, bool) {
	for c, w := range table {
		if strings.EqualFold(string(w), string(f)) {
			return c, true
		}
	}
	return 0, false
}

// readTable reads Dovecot's table of letters.
func readTable(dir string) map[byte]mail.Flag {
	out := map[byte]mail.Flag{}
	text, err := os.ReadFile(filepath.Join(dir, "dovecot-keywords"))
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(text)) {
		var n int
		var name string
		if _, err := fmt.Sscan(line, &n, &name); err == nil && n < 26 {
			out['a'+byte(n)] = mail.Flag(name)
		}
	}
	return out
}

// errLocked says that somebody else is writing the table.
var errLocked = errors.New("dovecot-keywords is locked")

// extend adds a keyword to the table as Dovecot does: the lock file becomes
// the table.
func extend(dir string, f mail.Flag) error {
	path := filepath.Join(dir, "dovecot-keywords")
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return errLocked
	}
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, lock.Close(), os.Remove(path+".lock"))
	}
	table, n := readTable(dir), 0
	for table['a'+byte(n)] != "" {
		n++
	}
	_, err = fmt.Fprintf(lock, "%s%d %s\n", old, n, f)
	if err := errors.Join(err, lock.Close()); err != nil {
		return err
	}
	return os.Rename(path+".lock", path)
}

// split takes a file name apart.
func split(path string) (dir, key string) {
	key, _, _ = strings.Cut(filepath.Base(path), ":")
	return filepath.Dir(filepath.Dir(path)), key
}

func (m *mutt) setFlags(box mail.MailboxName, mark string, flags mail.FlagSet) error {
	path, err := m.file(box, mark)
	if err != nil {
		return err
	}
	dir, key := split(path)
	letters, err := m.letters(dir, flags)
	if err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(dir, "cur", key+":2,"+letters))
}

// flagsOf are the flags of a file.
func flagsOf(name string, table map[byte]mail.Flag) mail.FlagSet {
	var flags mail.FlagSet
	_, info, _ := strings.Cut(name, ":2,")
	for i := range len(info) {
		if f, ok := systemLetters[info[i]]; ok {
			flags = flags.With(f)
		} else if f, ok := table[info[i]]; ok {
			flags = flags.With(f)
		}
	}
	return flags
}

// move takes the letters of the new folder. Whether the file keeps its name
// depends on the program.
func (m *mutt) move(box mail.MailboxName, mark string, to mail.MailboxName) error {
	path, err := m.file(box, mark)
	if err != nil {
		return err
	}
	dir, key := split(path)
	flags := flagsOf(filepath.Base(path), readTable(dir))
	letters, err := m.letters(m.dir(to), flags)
	if err != nil {
		return err
	}
	keep := m.keepName()
	if !keep {
		key = m.fresh()
	}
	if keep && filepath.Base(filepath.Dir(path)) == "new" && letters == "" {
		return os.Rename(path, filepath.Join(m.dir(to), "new", key))
	}
	return os.Rename(path, filepath.Join(m.dir(to), "cur", key+":2,"+letters))
}

func (m *mutt) copy(box mail.MailboxName, mark string, to mail.MailboxName) error {
	path, err := m.file(box, mark)
	if err != nil {
		return err
	}
	dir, _ := split(path)
	letters, err := m.letters(m.dir(to), flagsOf(filepath.Base(path), readTable(dir)))
	if err != nil {
		return err
	}
	name := m.fresh()
	if err := rewrite(path, filepath.Join(m.dir(to), "tmp", name)); err != nil {
		return err
	}
	return os.Rename(filepath.Join(m.dir(to), "tmp", name), filepath.Join(m.dir(to), "cur", name+":2,"+letters))
}

// rewrite copies a file with its time.
func rewrite(from, to string) error {
	body, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, body, 0o600); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func (m *mutt) remove(box mail.MailboxName, mark string) error {
	path, err := m.file(box, mark)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// rekey gives a file another name.
func (m *mutt) rekey(box mail.MailboxName, mark string) error {
	path, err := m.file(box, mark)
	if err != nil {
		return err
	}
	_, info, _ := strings.Cut(filepath.Base(path), ":")
	dir, _ := split(path)
	if info == "" {
		info = "2,"
	}
	return os.Rename(path, filepath.Join(dir, "cur", m.fresh()+":"+info))
}

// touch writes the same bytes into a new file of the same name.
func (m *mutt) touch(box mail.MailboxName, mark string) error {
	path, err := m.file(box, mark)
	if err != nil {
		return err
	}
	dir, _ := split(path)
	tmp := filepath.Join(dir, "tmp", m.fresh())
	if err := rewrite(path, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// edit puts another letter into the file of a message.
func (m *mutt) edit(box mail.MailboxName, mark string, l *letter) error {
	path, err := m.file(box, mark)
	if err != nil {
		return err
	}
	dir, _ := split(path)
	tmp := filepath.Join(dir, "tmp", m.fresh())
	if err := os.WriteFile(tmp, []byte(l.text), 0o600); err != nil {
		return err
	}
	if err := os.Chtimes(tmp, l.date, l.date); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (m *mutt) create(box mail.MailboxName) error {
	for _, part := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(m.dir(box), part), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// rename takes the mailboxes below along.
func (m *mutt) rename(from, to mail.MailboxName, below []mail.MailboxName) error {
	if m.plusPlus {
		for _, name := range below {
			if err := os.Rename(m.dir(name), m.dir(to+name[len(from):])); err != nil {
				return err
			}
		}
	} else if err := os.MkdirAll(filepath.Dir(m.dir(to)), 0o700); err != nil {
		return err
	}
	return os.Rename(m.dir(from), m.dir(to))
}

func (m *mutt) drop(box mail.MailboxName) error { return os.RemoveAll(m.dir(box)) }

// snapshot reads everything.
func (m *mutt) snapshot() (sidetest.Snapshot, error) {
	snap := sidetest.Snapshot{}
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() || d.Name() != "cur" {
			return nil
		}
		snap[m.name(filepath.Dir(path))], err = readMaildir(filepath.Dir(path))
		if err != nil {
			return err
		}
		return filepath.SkipDir
	})
	return snap, err
}

// name undoes dir.
func (m *mutt) name(dir string) mail.MailboxName {
	name, _ := filepath.Rel(m.root, dir)
	switch {
	case !m.plusPlus:
		return mail.MailboxName(name)
	case name == ".":
		return mail.Inbox
	}
	return mail.MailboxName(unUTF7.Replace(strings.ReplaceAll(strings.TrimPrefix(name, "."), ".", "/")))
}

func readMaildir(dir string) ([]sidetest.Message, error) {
	table := readTable(dir)
	var out []sidetest.Message
	for _, part := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, part))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			body, err := os.ReadFile(filepath.Join(dir, part, e.Name()))
			if err != nil {
				return nil, err
			}
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			out = append(out, sidetest.Message{Ref: mail.Ref(e.Name()), Body: body, Flags: flagsOf(e.Name(), table), Date: info.ModTime()})
		}
	}
	return out, nil
}

// fingerprint describes every file with its times: it changes with any write,
// with renames too.
func (m *mutt) fingerprint() (string, error) {
	var out strings.Builder
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&out, "%s %d %d %d.%d\n", path, st.Ino, st.Size, st.Ctim.Sec, st.Ctim.Nsec)
		return nil
	})
	return out.String(), err
}
