package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/cmd/godwit/restore"
	"github.com/godwit-mail/godwit/cmd/godwit/when"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A restoring is one restore on its way.
type restoring struct {
	app  *app
	conf *config.Config
	acc  *config.Account // whose mail it is
	restoreOptions
	to destination

	lock     *store.FileLock // while the archive is read
	archive  *archive.Archive
	views    map[int64]*archive.View
	newest   int64                           // the generation whose mail is restored, 0 for several
	subjects map[mail.Digest]string          // of single messages, by what names them
	written  []plan.Event                    // what is to be told in the log of an account that is synchronised
	silent   bool                            // tell of no single message
	placed   map[mail.MailboxName][]plan.Row // on a server that is synchronised: what is there now of what was to be
}

// fromArchive restores mail of the archive.
func (x *restoring) fromArchive(ctx context.Context) error {
	if x.exact {
		return x.exactly(ctx)
	}
	err := x.openArchive(ctx)
	var selection *restore.Selection
	if err == nil {
		selection, err = x.choose(ctx)
	}
	if err == nil {
		err = x.bring(ctx, selection)
	}
	return errors.Join(err, x.closeArchive())
}

// openArchive begins the reading. It takes the lock of restores, so that
// nobody gives up meanwhile what is being read.
func (x *restoring) openArchive(ctx context.Context) (err error) {
	if x.lock, err = x.lockRestores(); err != nil {
		return err
	}
	x.views = map[int64]*archive.View{}
	if x.archive, err = archive.OpenReadOnly(ctx, x.acc.Archive); errors.Is(err, archive.ErrNone) {
		err = x.noArchive()
	}
	return err
}

// closeArchive ends the reading. A process that has a catalogue open for
// reading alone cannot write to it, as a backup does.
func (x *restoring) closeArchive() (err error) {
	if x.archive != nil {
		err = x.archive.Close()
	}
	if x.lock != nil {
		err = errors.Join(err, x.lock.Unlock())
	}
	x.archive, x.lock = nil, nil
	return err
}

func (x *restoring) noArchive() error {
	if there := filepath.Join(x.acc.Archive, archive.CopyFile); exists(there) {
		return fmt.Errorf("%w in %s, but one was copied there: cp %s %s", archive.ErrNone, x.acc.Archive, there, filepath.Join(x.acc.Archive, archive.CatalogueFile))
	}
	if x.acc.Backup || x.acc.Mode == config.ModeBackup {
		return fmt.Errorf("there is no archive in %s yet: the next run of sync makes it", x.acc.Archive)
	}
	return &usageError{errors.New("there is no archive to restore from: backup = true keeps one from now on. What godwit deleted is shown by restore " + x.acc.Name + " --deleted")}
}

// choose says what goes where.
func (x *restoring) choose(ctx context.Context) (*restore.Selection, error) {
	single := len(x.messages) > 0 || x.search != ""
	var generation archive.Generation
	var err error
	if !single || x.at != "" {
		if generation, err = x.generation(ctx); err != nil {
			return nil, err
		}
		x.newest = generation.Number
	}
	if !single {
		return x.mailboxes(ctx, generation)
	}
	found, err := x.find(ctx)
	if err != nil {
		return nil, err
	}
	return x.single(ctx, found)
}

// generation is the one that --at names, or the newest.
func (x *restoring) generation(ctx context.Context) (archive.Generation, error) {
	if x.at == "" {
		g, err := x.archive.Latest(ctx)
		if errors.Is(err, archive.ErrNoGeneration) {
			err = fmt.Errorf("no generation in the archive is complete yet: run sync %s, and see history %s", x.acc.Name, x.acc.Name)
		}
		return g, err
	}
	moment, err := when.Parse(x.at, x.app.now().Local())
	if err != nil {
		return archive.Generation{}, &usageError{fmt.Errorf("--at %w", err)}
	}
	if moment.Generation == 0 {
		g, err := x.archive.AsOf(ctx, moment.Time)
		if errors.Is(err, archive.ErrNoGeneration) {
			err = x.tooEarly(ctx, moment.Time)
		}
		return g, err
	}
	g, err := x.archive.Generation(ctx, moment.Generation)
	switch {
	case errors.Is(err, archive.ErrNoGeneration):
		err = fmt.Errorf("there is no generation #%d: see history %s", moment.Generation, x.acc.Name)
	case err == nil && !g.Retired.IsZero():
		err = fmt.Errorf("generation #%d was given up on %s, as keep says: see history %s", g.Number, stamp(g.Retired), x.acc.Name)
	case err == nil && !g.Complete:
		why := g.Why
		if why == "" {
			why = "it was interrupted, or is under way"
		}
		err = fmt.Errorf("generation #%d is not complete (%s): choose another one from history %s", g.Number, why, x.acc.Name)
	}
	return g, err
}

// tooEarly says when the archive begins.
func (x *restoring) tooEarly(ctx context.Context, t time.Time) error {
	list, err := x.archive.Generations(ctx)
	if err != nil {
		return err
	}
	for _, g := range list {
		if g.Complete && g.Retired.IsZero() {
			return fmt.Errorf("the archive has nothing as of %s: its first generation is #%d of %s", stamp(t), g.Number, stamp(g.Ended))
		}
	}
	return fmt.Errorf("the archive has nothing as of %s: no generation is complete yet", stamp(t))
}

// stamp is a moment for people.
func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (x *restoring) view(n int64) *archive.View {
	if x.views[n] == nil {
		x.views[n] = x.archive.View(n)
	}
	return x.views[n]
}

// namesAt lists the mailboxes of a generation.
func (x *restoring) namesAt(ctx context.Context, n int64) ([]mail.MailboxName, error) {
	boxes, err := x.view(n).Survey(ctx, nil)
	var names []mail.MailboxName
	for _, b := range boxes {
		if !b.Container {
			names = append(names, b.Name)
		}
	}
	return names, err
}

// mailboxes are whole mailboxes of a generation.
func (x *restoring) mailboxes(ctx context.Context, g archive.Generation) (*restore.Selection, error) {
	x.app.out.info("%s: generation #%d of %s", x.acc.Name, g.Number, stamp(g.Ended))
	names, err := x.namesAt(ctx, g.Number)
	if err != nil {
		return nil, err
	}
	if x.folder != "" && !slices.Contains(names, x.folder) {
		return nil, fmt.Errorf("there was no mailbox %s in generation #%d: it has %s", x.folder, g.Number, nameList(names))
	}
	var parts []restore.Part
	for _, name := range names {
		if x.folder == "" || x.folder == name {
			parts = append(parts, x.part(g.Number, name, nil))
		}
	}
	return restore.Select(parts, x.asIs()), nil
}

// asIs tells whether \Deleted is restored, too: into files it is no more than
// a note.
func (x *restoring) asIs() bool { return x.exact || x.to.kind == toEML || x.to.kind == toMbox }

func (x *restoring) part(n int64, name mail.MailboxName, wanted func(mail.Identity) bool) restore.Part {
	return restore.Part{From: x.view(n), Label: strconv.FormatInt(n, 10), Mailbox: name, To: x.target(name), Wanted: wanted}
}

// mostNames is how many mailboxes an error names.
const mostNames = 20

func nameList(names []mail.MailboxName) string {
	if len(names) == 0 {
		return "none"
	}
	var texts []string
	for _, n := range names[:min(len(names), mostNames)] {
		texts = append(texts, string(n))
	}
	if len(names) > mostNames {
		texts = append(texts, "…")
	}
	return strings.Join(texts, ", ")
}

// find looks for single messages in all of the archive.
func (x *restoring) find(ctx context.Context) (list []archive.Found, err error) {
	for _, prefix := range x.messages {
		prefix = strings.ToLower(prefix)
		if prefix == "" || strings.Trim(prefix, "0123456789abcdef") != "" {
			return nil, &usageError{fmt.Errorf("--message %q: give a digest as history --find shows it, or the beginning of one", prefix)}
		}
		found, err := x.archive.Message(ctx, prefix)
		switch {
		case errors.Is(err, archive.ErrNoMessage):
			return nil, fmt.Errorf("the archive has no message whose digest begins with %s: see history %s --find", prefix, x.acc.Name)
		case errors.Is(err, archive.ErrAmbiguous):
			return nil, &usageError{fmt.Errorf("--message %s: several messages have a digest that begins so: give more of it", prefix)}
		case err != nil:
			return nil, err
		}
		list = append(list, found)
	}
	if x.search == "" {
		return list, nil
	}
	asked := len(x.messages) > 0
	named := map[mail.Digest]bool{}
	for _, f := range list {
		named[f.Message.Digest] = true
	}
	var matching []archive.Found
	err = x.archive.Find(ctx, x.search, func(f archive.Found) error {
		if !asked || named[f.Message.Digest] {
			matching = append(matching, f)
		}
		return nil
	})
	return matching, err
}

// A pick is which messages of which mailboxes of a generation are meant.
type pick map[mail.MailboxName]map[mail.Digest]bool

func (p pick) add(name mail.MailboxName, d mail.Digest) {
	if p[name] == nil {
		p[name] = map[mail.Digest]bool{}
	}
	p[name][d] = true
}

// single are single messages: as of the generation that --at names, or else
// each as it was last.
func (x *restoring) single(ctx context.Context, list []archive.Found) (*restore.Selection, error) {
	picks, err := x.picks(ctx, list)
	if err != nil {
		return nil, err
	}
	var parts []restore.Part
	for n, p := range picks {
		for name, set := range p {
			parts = append(parts, x.part(n, name, func(id mail.Identity) bool { return set[id.Wire] }))
		}
	}
	if len(parts) == 0 {
		return nil, x.nothingFound()
	}
	slices.SortFunc(parts, func(a, b restore.Part) int {
		return cmp.Or(strings.Compare(a.Label, b.Label), strings.Compare(string(a.Mailbox), string(b.Mailbox)))
	})
	selection, err := restore.Select(parts, x.asIs()).Filled(ctx)
	if err == nil && len(selection.Mailboxes()) == 0 {
		err = x.nothingFound()
	}
	return selection, err
}

// picks are the messages by generation. Within one that was asked for a
// mailbox has the name that it had then; else the last one.
func (x *restoring) picks(ctx context.Context, list []archive.Found) (map[int64]pick, error) {
	latest, err := x.archive.Latest(ctx)
	if err != nil && !errors.Is(err, archive.ErrNoGeneration) {
		return nil, err
	}
	names := []mail.MailboxName{x.folder}
	if x.newest != 0 && x.folder == "" {
		if names, err = x.namesAt(ctx, x.newest); err != nil {
			return nil, err
		}
	}
	picks := map[int64]pick{}
	x.subjects = map[mail.Digest]string{}
	for _, f := range list {
		d, n, chosen := f.Message.Digest, x.newest, false
		if n == 0 {
			n = x.lastOf(f, latest.Number)
		}
		if picks[n] == nil {
			picks[n] = pick{}
		}
		for _, p := range f.Places {
			switch {
			case p.From > n || p.To != 0 && p.To < n:
				continue
			case x.newest != 0:
				for _, name := range names {
					picks[n].add(name, d)
				}
			case x.folder == "" || p.Mailbox == x.folder:
				picks[n].add(p.Mailbox, d)
			default:
				continue
			}
			chosen = true
		}
		if !chosen && len(x.messages) > 0 {
			return nil, x.notThere(f)
		}
		x.subjects[d], x.subjects[f.Message.Ident.Body] = f.Message.Subject, f.Message.Subject
	}
	return picks, nil
}

// lastOf is the last generation that has a message where it is looked for.
func (x *restoring) lastOf(f archive.Found, latest int64) (n int64) {
	for _, p := range f.Places {
		switch {
		case x.folder != "" && p.Mailbox != x.folder:
		case p.To != 0:
			n = max(n, p.To)
		default:
			n = max(n, p.From, latest)
		}
	}
	return n
}

// notThere says where a message is that was asked for where it is not.
func (x *restoring) notThere(f archive.Found) error {
	var where []string
	for _, p := range f.Places {
		to := "now"
		if p.To != 0 {
			to = fmt.Sprintf("#%d", p.To)
		}
		where = append(where, fmt.Sprintf("in %s from #%d to %s", p.Mailbox, p.From, to))
	}
	text := "it is in no mailbox"
	if len(where) > 0 {
		text = "it lies " + strings.Join(where, ", ")
	}
	asked := ""
	if x.folder != "" {
		asked = " in " + string(x.folder)
	}
	if x.newest != 0 {
		asked += fmt.Sprintf(" in generation #%d", x.newest)
	}
	return fmt.Errorf("message %s is not%s: %s", f.Message.Digest.String()[:12], asked, text)
}

func (x *restoring) nothingFound() error {
	where := "the archive"
	if x.newest != 0 {
		where = fmt.Sprintf("generation #%d", x.newest)
	}
	if x.folder != "" {
		where = fmt.Sprintf("%s in %s", x.folder, where)
	}
	if x.search == "" {
		return fmt.Errorf("none of these messages is in %s", where)
	}
	return fmt.Errorf("no message in %s has %q in its subject, sender or Message-ID", where, x.search)
}
