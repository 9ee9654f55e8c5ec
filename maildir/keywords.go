package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
)

// The file that gives the letters of a mailbox their meaning, and its lock,
// as Dovecot has them: lines of a number (0 is the letter 'a') and a keyword.
const (
	keywordsFile = "dovecot-keywords"
	keywordsLock = "dovecot-keywords.lock"
	maxKeywords  = 26
)

// Dovecot's lock is a file that must not exist before; one that is older than
// lockStale belongs to a process that died.
const (
	lockStale = 2 * time.Minute
	lockWait  = 5 * time.Second
	lockPoll  = 20 * time.Millisecond
)

// A table is the meaning of the keyword letters of one mailbox.
type table struct {
	mark  mark
	words [maxKeywords]mail.Flag // by letter; "" has none
	text  []byte                 // the file as it is
}

// parseKeywords reads dovecot-keywords. Lines that make no sense are passed
// over; the first of two with the same number counts.
func parseKeywords(text []byte) *table {
	t := &table{text: text}
	for line := range strings.Lines(string(text)) {
		number, word, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		i, err := strconv.Atoi(number)
		if !ok || err != nil || i < 0 || i >= maxKeywords || !mail.ValidKeyword(word) || t.words[i] != "" {
			continue
		}
		t.words[i] = mail.Flag(word)
	}
	return t
}

// letter finds the letter of a keyword.
func (t *table) letter(word mail.Flag) (byte, bool) {
	for i, w := range t.words {
		if w != "" && strings.EqualFold(string(w), string(word)) {
			return byte('a' + i), true
		}
	}
	return 0, false
}

// flags are what the letters mean; letters without a meaning are left out.
func (t *table) flags(flagLetters string) mail.FlagSet {
	var flags []mail.Flag
	for i := 0; i < len(flagLetters); i++ {
		c := flagLetters[i]
		if c >= 'a' && c <= 'z' {
			if w := t.words[c-'a']; w != "" {
				flags = append(flags, w)
			}
			continue
		}
		for _, s := range systemLetters {
			if s.letter == c {
				flags = append(flags, s.flag)
			}
		}
	}
	return mail.NewFlagSet(flags...)
}

// encode gives the letters of flags, and the flags that have one. $Forwarded
// has 'P' and also the letter that Dovecot gave it, if it did.
func (t *table) encode(flags mail.FlagSet) (flagLetters string, taken mail.FlagSet) {
	var out []byte
	var have []mail.Flag
	for _, flag := range flags.Flags() {
		found := false
		for _, s := range systemLetters {
			if strings.EqualFold(string(s.flag), string(flag)) {
				out, found = append(out, s.letter), true
			}
		}
		if c, ok := t.letter(flag); ok {
			out, found = append(out, c), true
		}
		if found {
			have = append(have, flag)
		}
	}
	return string(out), mail.NewFlagSet(have...)
}

// apply changes the letters of a file. Letters that mean nothing stay; of a
// keyword that has several letters, as a table can come to have, all go.
func (t *table) apply(flagLetters string, add, remove mail.FlagSet) string {
	drop, _ := t.encode(remove)
	put, _ := t.encode(add)
	var kept []byte
	for i := 0; i < len(flagLetters); i++ {
		c := flagLetters[i]
		word := c >= 'a' && c <= 'z' && t.words[c-'a'] != "" && remove.Has(t.words[c-'a'])
		if !word && strings.IndexByte(drop, c) < 0 {
			kept = append(kept, c)
		}
	}
	return sortLetters(string(kept) + put)
}

// lacks lists the keywords of flags that have no letter.
func (t *table) lacks(flags mail.FlagSet) []mail.Flag {
	var out []mail.Flag
	for _, w := range flags.Keywords() {
		if _, ok := t.letter(w); !ok && !strings.EqualFold(string(w), string(mail.Forwarded)) {
			out = append(out, w)
		}
	}
	return out
}

// readKeywords reads the table of the mailbox in top.
func readKeywords(top *dir) (*table, error) {
	f, st, err := top.read(keywordsFile)
	if gone(err) {
		return parseKeywords(nil), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, err
	}
	t := parseKeywords(text)
	t.mark = newMark(st)
	return t, nil
}

// keywords is the table of the mailbox, read again if the file changed.
func (f *folder) keywords() (*table, error) {
	st, err := f.top.stat(keywordsFile)
	if err != nil && !gone(err) {
		return nil, localFault(mail.GradeMailbox, err)
	}
	var now mark
	if err == nil {
		now = newMark(st)
	}
	if f.box.table != nil && f.box.table.mark == now {
		return f.box.table, nil
	}
	t, err := readKeywords(f.top)
	if err != nil {
		return nil, localFault(mail.GradeMailbox, err)
	}
	f.box.table = t
	return t, nil
}

// wordsFor is the table of the mailbox, with a letter for every keyword of
// flags as long as there are letters. It is durable when wordsFor returns.
func (f *folder) wordsFor(ctx context.Context, flags mail.FlagSet) (*table, error) {
	t, err := f.keywords()
	if err != nil || len(t.lacks(flags)) == 0 {
		return t, err
	}
	used, err := f.usedLetters(ctx)
	if err != nil {
		return nil, err
	}
	if !t.room(used) {
		return t, nil
	}
	account, err := f.m.usage(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.lockKeywords(ctx); err != nil {
		return nil, localFault(mail.GradeMailbox, err)
	}
	err = f.extend(account, used, flags)
	if uerr := f.top.unlink(keywordsLock); err == nil && !gone(uerr) {
		err = uerr
	}
	if err != nil {
		return nil, localFault(mail.GradeMailbox, err)
	}
	return f.keywords()
}

// extend makes the table longer: it writes all of it anew and renames it into place.
func (f *folder) extend(account *usage, used [maxKeywords]bool, flags mail.FlagSet) error {
	t, err := readKeywords(f.top) // under the lock
	if err != nil {
		return err
	}
	var text bytes.Buffer
	text.Write(t.text)
	if n := len(t.text); n > 0 && t.text[n-1] != '\n' {
		text.WriteByte('\n')
	}
	for _, word := range t.lacks(flags) {
		i, ok := t.choose(word, account, used)
		if !ok {
			break
		}
		t.words[i] = word
		fmt.Fprintf(&text, "%d %s\n", i, word)
	}
	mode := os.FileMode(0o600)
	if st, err := f.top.stat(keywordsFile); err == nil {
		mode = os.FileMode(st.mode & 0o777)
	}
	tmp, err := f.m.ensure(f.top, "tmp")
	if err != nil {
		return err
	}
	defer tmp.close()
	name, err := f.m.writeNew(tmp, text.Bytes(), mode)
	if err != nil {
		return err
	}
	if err := tmp.replace(name, f.top, keywordsFile); err != nil {
		return errors.Join(err, tmp.unlink(name))
	}
	return f.m.syncDir(f.top)
}

// writeNew writes a new file into tmp, durably.
func (m *Maildir) writeNew(tmp *dir, text []byte, mode os.FileMode) (name string, err error) {
	name = uniqueKey(m.opt.Clock())
	f, err := tmp.create(name)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err == nil && mode != 0o600 {
		err = f.chmod(mode)
	}
	if err == nil && m.opt.FSync {
		err = f.sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = tmp.unlink(name)
		return "", err
	}
	return name, nil
}

// room tells whether any letter is left.
func (t *table) room(used [maxKeywords]bool) bool {
	for i, w := range t.words {
		if w == "" && !used[i] {
			return true
		}
	}
	return false
}

// choose finds a letter for a new keyword: the one it has elsewhere in the
// account; else one that nothing has in any mailbox; else any that is free here.
func (t *table) choose(word mail.Flag, account *usage, used [maxKeywords]bool) (int, bool) {
	free := func(i int) bool { return t.words[i] == "" && !used[i] }
	if i, ok := account.letter(word); ok && free(i) {
		return i, true
	}
	for i := range maxKeywords {
		if free(i) && !account.taken[i] {
			return i, true
		}
	}
	for i := range maxKeywords {
		if free(i) {
			return i, true
		}
	}
	return 0, false
}

// usedLetters are the letters that files of this mailbox bear: one without a
// meaning must not get one by our doing.
func (f *folder) usedLetters(ctx context.Context) (used [maxKeywords]bool, err error) {
	l, err := f.fresh(ctx)
	if err != nil {
		return used, err
	}
	for _, e := range l.entries {
		flags, _ := letters(e.info())
		for i := 0; i < len(flags); i++ {
			if c := flags[i]; c >= 'a' && c <= 'z' {
				used[c-'a'] = true
			}
		}
	}
	return used, nil
}

// A usage is how the tables of all mailboxes together use letters.
type usage struct {
	taken [maxKeywords]bool
	votes map[string]*[maxKeywords]int // by keyword in lower case
}

// letter is the letter that a keyword has in most mailboxes.
func (u *usage) letter(word mail.Flag) (best int, ok bool) {
	votes := u.votes[strings.ToLower(string(word))]
	if votes == nil {
		return 0, false
	}
	for i, n := range votes {
		if n > votes[best] {
			best = i
		}
	}
	return best, true
}

func (u *usage) add(t *table) {
	for i, w := range t.words {
		if w == "" {
			continue
		}
		word := strings.ToLower(string(w))
		if u.votes[word] == nil {
			u.votes[word] = new([maxKeywords]int)
		}
		u.votes[word][i]++
		u.taken[i] = true
	}
}

// usage reads the tables of all mailboxes. One that cannot be read has no say.
func (m *Maildir) usage(ctx context.Context) (*usage, error) {
	if err := m.look(ctx); err != nil {
		return nil, err
	}
	u := &usage{votes: map[string]*[maxKeywords]int{}}
	for _, b := range m.tree {
		if b.container || b.fault != nil {
			continue
		}
		top, err := m.openTop(b)
		if err != nil {
			continue
		}
		if t, err := readKeywords(top); err == nil {
			u.add(t)
		}
		top.close()
	}
	return u, nil
}

// lockSign is what our lock holds. One run at a time is at work on a Maildir:
// a lock with this sign was left by a run that died.
const lockSign = "godwit\n"

// lockKeywords makes the lock file, waiting for another program to let go of
// it. It appears with our sign in it, in one step. A mailbox whose lock could
// not be had is not waited for again in this run.
func (f *folder) lockKeywords(ctx context.Context) error {
	if f.box.locked != nil {
		return f.box.locked
	}
	tmp, err := f.m.ensure(f.top, "tmp")
	if err != nil {
		return err
	}
	defer tmp.close()
	name, err := f.m.writeNew(tmp, []byte(lockSign), 0o600)
	if err != nil {
		return err
	}
	if err := f.placeLock(ctx, tmp, name); err != nil {
		_ = tmp.unlink(name)
		return err
	}
	return nil
}

func (f *folder) placeLock(ctx context.Context, tmp *dir, name string) error {
	limit := time.NewTimer(lockWait)
	defer limit.Stop()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		err := tmp.rename(name, f.top, keywordsLock)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		if f.lockIsLeft() {
			if err := f.top.unlink(keywordsLock); err != nil && !gone(err) {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			f.box.locked = mail.NewFault(mail.GradeMailbox, mail.ClassLocal,
				fmt.Errorf("%s/%s is held by another program", f.top.path, keywordsLock),
				"run again when that is done, or remove the file if nothing holds it")
			return f.box.locked
		case <-poll.C:
		}
	}
}

// lockIsLeft tells whether the lock belongs to a process that died.
func (f *folder) lockIsLeft() bool {
	lock, st, err := f.top.read(keywordsLock)
	if err != nil {
		return false
	}
	defer lock.Close()
	sign := make([]byte, len(lockSign)+1)
	n, err := io.ReadFull(lock, sign)
	if errors.Is(err, io.ErrUnexpectedEOF) && string(sign[:n]) == lockSign {
		return true
	}
	return f.m.opt.Clock().Sub(st.ctime) > lockStale
}

// replace renames over an existing file. It serves our own files and
// dovecot-keywords, never a message.
func (d *dir) replace(name string, to *dir, target string) error {
	return d.toward("rename", name, arrow+to.path+"/"+target, func() error { return unix.Renameat(d.fd, name, to.fd, target) })
}
