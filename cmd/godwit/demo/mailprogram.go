package demo

import (
	"bufio"
	"fmt"
	"io/fs"
	"mime"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A MailProgram changes a tree of Maildirs (layout fs) as any program that
// knows the format does: by renaming, placing and removing files.
type MailProgram struct {
	Root string
}

// A File is a message in a Maildir.
type File struct {
	Path string // absolute
	Name string // of the file, with its info
	ID   string // Message-ID

	Subject string
}

// Letters are the flags of the file, as Maildir writes them.
func (f File) Letters() string {
	_, letters, _ := strings.Cut(f.Name, ":2,")
	return letters
}

// Mailboxes lists the mailboxes of the tree by their directories, sorted.
func (p MailProgram) Mailboxes() ([]string, error) {
	var names []string
	err := filepath.WalkDir(p.Root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || entry.Name() != "cur" {
			return err
		}
		name, err := filepath.Rel(p.Root, filepath.Dir(path))
		if err != nil {
			return err
		}
		names = append(names, filepath.ToSlash(name))
		return fs.SkipDir
	})
	slices.Sort(names)
	return names, err
}

// Files lists the messages of a mailbox, sorted by name.
func (p MailProgram) Files(mailbox string) ([]File, error) {
	var files []File
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(p.Root, filepath.FromSlash(mailbox), sub)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			f := File{Path: filepath.Join(dir, e.Name()), Name: e.Name()}
			if err := f.readHeader(); err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// Find finds a message by its Message-ID.
func (p MailProgram) Find(mailbox, messageID string) (File, error) {
	files, err := p.Files(mailbox)
	if err != nil {
		return File{}, err
	}
	for _, f := range files {
		if f.ID == messageID {
			return f, nil
		}
	}
	return File{}, fmt.Errorf("%s is not in %s", messageID, mailbox)
}

// Flag gives a message these letters, by renaming its file.
func (p MailProgram) Flag(mailbox, messageID, letters string) error {
	f, err := p.Find(mailbox, messageID)
	if err != nil {
		return err
	}
	return os.Rename(f.Path, p.path(mailbox, withLetters(f.Name, letters)))
}

// Move moves a message to another mailbox, by renaming its file.
func (p MailProgram) Move(mailbox, messageID, to string) error {
	f, err := p.Find(mailbox, messageID)
	if err != nil {
		return err
	}
	return os.Rename(f.Path, p.path(to, withLetters(f.Name, f.Letters())))
}

// Delete removes the file of a message.
func (p MailProgram) Delete(mailbox, messageID string) error {
	f, err := p.Find(mailbox, messageID)
	if err != nil {
		return err
	}
	return os.Remove(f.Path)
}

// Deliver places a message in its mailbox, by way of tmp. Line ends are LF, as
// programs on this kind of system write them.
func (p MailProgram) Deliver(m Message, name, letters string) error {
	text := strings.ReplaceAll(string(m.Bytes()), "\r\n", "\n")
	tmp := filepath.Join(p.Root, filepath.FromSlash(m.Mailbox), "tmp", name)
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, p.path(m.Mailbox, withLetters(name, letters)))
}

func (p MailProgram) path(mailbox, name string) string {
	return filepath.Join(p.Root, filepath.FromSlash(mailbox), "cur", name)
}

func withLetters(name, letters string) string {
	base, _, _ := strings.Cut(name, ":")
	return base + ":2," + letters
}

func (f *File) readHeader() error {
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	header, err := textproto.NewReader(bufio.NewReader(file)).ReadMIMEHeader()
	if err != nil {
		return fmt.Errorf("read the header of %s: %w", f.Path, err)
	}
	f.ID = header.Get("Message-Id")
	f.Subject, err = new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	return err
}
