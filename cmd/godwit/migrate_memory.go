package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/godwit-mail/godwit/cmd/godwit/migrate"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
)

// A pairFile keeps, beside the index of a migration, where its mailboxes go and
// which two servers it is about.
type pairFile struct {
	dir  string
	text pairText
}

type pairText struct {
	// Bound names both servers and users.
	Bound     string                            `json:"bound"`
	Mailboxes map[mail.MailboxName]migrate.Used `json:"mailboxes"`
}

const pairName = "pair.json"

// readPair reads the file of a migration; one that is not there is empty.
func readPair(dir, bound string) (*pairFile, error) {
	p := &pairFile{dir: dir}
	path := filepath.Join(dir, pairName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		p.text.Bound = bound
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p.text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: to begin again, remove %s; what the target has already is not copied twice", path, err, dir)
	}
	return p, nil
}

// Used implements migrate.Memory.
func (p *pairFile) Used() (map[mail.MailboxName]migrate.Used, error) { return p.text.Mailboxes, nil }

// Keep implements migrate.Memory.
func (p *pairFile) Keep(used map[mail.MailboxName]migrate.Used) error {
	p.text.Mailboxes = used
	return store.WriteJSON(p.dir, pairName, p.text)
}
