package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/godwit-mail/godwit/mail"
)

// indexFile tells of every message what its bytes do not.
const indexFile = "index.jsonl"

// An entry is one line of indexFile.
type entry struct {
	File    string   `json:"file"` // below the directory, with "/"
	Mailbox string   `json:"mailbox"`
	Digest  string   `json:"digest"` // SHA-256 with every line end as CRLF
	Wire    string   `json:"wire"`   // SHA-256 of the bytes
	Size    int64    `json:"size"`
	Flags   []string `json:"flags"`
	Date    string   `json:"date,omitempty"`    // of arrival, RFC 3339
	Deleted string   `json:"deleted,omitempty"` // RFC 3339
}

// eml writes DIR/FOLDER/DIGEST.eml and DIR/index.jsonl.
type eml struct {
	dir   string
	root  *os.Root // no way leads out of it, by a name or by a link
	index *os.File
	told  copies
	made  map[string]bool // directories to be synced
}

// copies tell the messages of a mailbox apart that are the same, each with
// flags and a date of its own: the index has a line for each, of one file.
type copies struct {
	had map[string]int // lines for a file from an earlier time
	met map[string]int // messages of that file since
}

// readCopies reads an index, and tells where its last whole line ends.
func readCopies(index io.Reader) (c copies, end int64, err error) {
	c = copies{map[string]int{}, map[string]int{}}
	lines := bufio.NewReader(index)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return c, end, nil // what is left of a line was never told
		}
		if err != nil {
			return c, end, err
		}
		end += int64(len(line))
		var old entry
		if json.Unmarshal(line, &old) == nil {
			c.had[old.File]++
		}
	}
}

// next tells whether the index has a line for one more message of a file.
func (c copies) next(file string) bool {
	c.met[file]++
	return c.met[file] <= c.had[file]
}

// EML writes into a directory, which is made if it is missing. What it holds
// from an earlier time is completed, never overwritten.
func EML(dir string) (Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	e := &eml{dir: dir, root: root, made: map[string]bool{".": true}}
	if e.index, err = root.OpenFile(indexFile, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		root.Close()
		return nil, err
	}
	var end int64
	if e.told, end, err = readCopies(e.index); err == nil {
		err = e.index.Truncate(end) // a line that a dying process left half
	}
	if err != nil {
		e.Abort()
		return nil, err
	}
	return e, nil
}

func (e *eml) Put(m Message) (string, bool, error) {
	folder := folderPath(m.Mailbox)
	name := path.Join(folder, m.Ident.Body.String()+".eml")
	where := path.Join(e.dir, name)
	if err := e.root.MkdirAll(folder, 0o700); err != nil {
		return "", false, err
	}
	for p := folder; p != "." && p != "/"; p = path.Dir(p) {
		e.made[p] = true
	}
	there, err := e.there(name, m.Ident)
	if err != nil {
		return "", false, err
	}
	if !there {
		if err := e.write(name, m); err != nil {
			return "", false, err
		}
	}
	if e.told.next(name) {
		return where, !there, nil
	}
	return where, true, e.note(name, m)
}

// there tells whether the file holds the message already. One that holds
// something else is an error.
func (e *eml) there(name string, want mail.Identity) (bool, error) {
	f, err := e.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	got, err := mail.Identify(f)
	if err == nil && got.Body != want.Body {
		err = fmt.Errorf("%s holds something else and is not overwritten: move it away", path.Join(e.dir, name))
	}
	return err == nil, err
}

// write makes the file whole before it has its name.
func (e *eml) write(name string, m Message) (err error) {
	r, err := m.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	tmp := path.Join(path.Dir(name), fmt.Sprintf(".part-%d", os.Getpid()))
	f, err := e.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = e.root.Link(tmp, name) // refuses a file that exists
	}
	return errors.Join(err, e.root.Remove(tmp))
}

func (e *eml) note(name string, m Message) error {
	line := entry{File: name, Mailbox: string(m.Mailbox), Digest: m.Ident.Body.String(), Wire: m.Ident.Wire.String(), Size: m.Ident.Size, Flags: []string{}}
	for _, f := range m.Flags.Flags() {
		line.Flags = append(line.Flags, string(f))
	}
	if !m.Date.IsZero() {
		line.Date = m.Date.Format(time.RFC3339)
	}
	if !m.Deleted.IsZero() {
		line.Deleted = m.Deleted.Format(time.RFC3339)
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = e.index.Write(append(text, '\n'))
	return err
}

func (e *eml) Commit() error {
	if e.root == nil {
		return nil
	}
	errs := []error{e.index.Sync()}
	for p := range e.made {
		d, err := e.root.Open(p)
		if err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
		errs = append(errs, err)
	}
	e.Abort()
	return errors.Join(errs...)
}

// Abort closes; the files that were written are whole, and stay.
func (e *eml) Abort() {
	if e.root != nil {
		e.index.Close()
		e.root.Close()
		e.root = nil
	}
}

// maxLevel is how long a level may be as a file name, in bytes.
const maxLevel = 200

// folderPath is a mailbox name as a path that leads nowhere else: what cannot
// stand in a file name is written %XX.
func folderPath(name mail.MailboxName) string {
	if name == "" {
		return "unknown"
	}
	levels := name.Levels()
	for i, level := range levels {
		levels[i] = fileName(level)
	}
	return path.Join(levels...)
}

func fileName(level string) string {
	if level == "" {
		return "%-"
	}
	var out strings.Builder
	for i := 0; i < len(level); {
		r, size := utf8.DecodeRuneInString(level[i:])
		if r == utf8.RuneError && size == 1 || r < 0x20 || r == 0x7f || r == '%' || r == '\\' || r == '.' && i == 0 {
			fmt.Fprintf(&out, "%%%02X", level[i])
		} else {
			out.WriteString(level[i : i+size])
		}
		i += size
	}
	text := out.String()
	if len(text) <= maxLevel {
		return text
	}
	cut := maxLevel
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	sum := sha256.Sum256([]byte(level))
	return fmt.Sprintf("%s%%~%x", text[:cut], sum[:8])
}
