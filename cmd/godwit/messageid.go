package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
)

// findMessageID gives the digests of all messages of the account that have
// this Message-ID, in the Maildir and in the undo store: several, if the
// messages differ. The log knows the Message-IDs of what was copied; this
// finds those of what was joined.
func (a *app) findMessageID(ctx context.Context, acc *config.Account, id string) ([]mail.Digest, error) {
	var found []mail.Digest
	for _, root := range []string{acc.Maildir, acc.Inbox, acc.DeletedDir()} {
		if root == "" {
			continue
		}
		if real, err := filepath.EvalSymlinks(root); err == nil {
			root = real
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil || !entry.Type().IsRegular() || !isMessageFile(path) {
				return nil // what cannot be read cannot be it; a file may be renamed meanwhile
			}
			digest, err := digestIf(path, id)
			if err == nil && !digest.IsZero() && !slices.Contains(found, digest) {
				found = append(found, digest)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return found, nil
}

// isMessageFile tells whether a path is that of a message in a Maildir or in
// the undo store.
func isMessageFile(path string) bool {
	dir := filepath.Base(filepath.Dir(path))
	return dir == "cur" || dir == "new" || strings.HasSuffix(path, ".eml")
}

// digestIf gives the identity of a message if it has this Message-ID.
func digestIf(path, id string) (mail.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return mail.Digest{}, err
	}
	defer f.Close()
	header, err := textproto.NewReader(bufio.NewReader(io.LimitReader(f, maxHeader))).ReadMIMEHeader()
	if err != nil && len(header) == 0 {
		return mail.Digest{}, err
	}
	if mail.TrimMessageID(header.Get("Message-Id")) != id {
		return mail.Digest{}, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return mail.Digest{}, err
	}
	ident, err := mail.Identify(f)
	return ident.Body, err
}
