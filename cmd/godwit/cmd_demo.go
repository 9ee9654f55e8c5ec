package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/cmd/godwit/demo"
)

// demoMarker is the file by which a folder of an earlier demo is known.
const demoMarker = ".godwit-demo"

func (a *app) demoCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "show a sync both ways with sample mail: no account and no server needed",
		Long: "Starts a small IMAP server on this machine with sample mail, syncs it with a new Maildir, changes mail on\n" +
			"both sides, syncs again and shows what happened. The Maildir is left for you to look at.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), dir) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "put everything into `DIR`, replacing an earlier demo there (default: a new temporary folder)")
	return cmd
}

// A story is one demo as it goes on.
type story struct {
	*app
	server *demo.Server
	dir    string // absolute
	shown  string // the same, as the user would write it
	mail   demo.MailProgram
}

func (a *app) demo(ctx context.Context, given string) error {
	dir, err := demoDir(given)
	if err != nil {
		return err
	}
	server, err := demo.Start()
	if err != nil {
		return err
	}
	defer server.Close()
	if given = filepath.Clean(given); given == "." {
		given = dir
	}
	s := &story{app: a, server: server, dir: dir, shown: given, mail: demo.MailProgram{Root: filepath.Join(dir, "Mail")}}
	return s.tell(ctx)
}

// demoDir makes the folder, empty but for the marker. It removes nothing that
// is not an earlier demo.
func demoDir(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "godwit-demo-")
		if err != nil {
			return "", err
		}
		return made, os.WriteFile(filepath.Join(made, demoMarker), nil, 0o600)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, demoMarker)); err != nil {
			return "", &usageError{fmt.Errorf("%s is not empty and not from an earlier demo: name another folder with --dir", dir)}
		}
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, demoMarker), nil, 0o600)
}

func (s *story) tell(ctx context.Context) error {
	if err := s.configure(); err != nil {
		return err
	}
	s.out.line("An IMAP server with sample mail now listens on %s port %d, for this demo only.", s.server.Host, s.server.Port)
	s.out.line("")
	s.out.line("1. The first sync fetches everything.")
	if err := s.sync(ctx, false); err != nil {
		return err
	}
	if err := s.tree(); err != nil {
		return err
	}
	s.out.line("")
	s.out.line("2. Both sides change. In the Maildir, as a mail program does it:")
	if err := s.each(s.localChanges()); err != nil {
		return err
	}
	s.out.line("   On the server, from another device:")
	if err := s.each(s.remoteChanges()); err != nil {
		return err
	}
	s.out.line("")
	s.out.line("3. The next sync carries each change to the other side.")
	if err := s.sync(ctx, true); err != nil {
		return err
	}
	if err := s.tree(); err != nil {
		return err
	}
	s.out.line("")
	s.out.line("4. One more sync has nothing to do.")
	if err := s.sync(ctx, false); err != nil {
		return err
	}
	if err := s.verify(); err != nil {
		return fmt.Errorf("the demo did not end as it should: %w", err)
	}
	s.out.line("")
	s.out.line("Both sides agree: %s, each in its place on both sides.", count(len(s.expected()), "message"))
	s.out.line("What was deleted is kept for 90 days in %s.", filepath.Join(s.shown, "state", "demo", "deleted"))
	s.out.line("The Maildir is yours to look at: %s", filepath.Join(s.shown, "Mail"))
	s.out.line("To see what was remembered: godwit --config %s status", filepath.Join(s.shown, "config.toml"))
	return nil
}

func (s *story) configure() error {
	text := fmt.Sprintf("state_dir = %q\n\n[accounts.demo]\nhost = %q\nport = %d\ntls = \"none\"          # the server is on this machine\nusername = %q\npassword = %q\nmaildir = %q\n",
		filepath.Join(s.dir, "state"), s.server.Host, s.server.Port, demo.User, demo.Password, s.mail.Root)
	return os.WriteFile(filepath.Join(s.dir, "config.toml"), []byte(text), 0o600)
}

// sync runs godwit's own sync on the demo's configuration, indented.
func (s *story) sync(ctx context.Context, verbose bool) error {
	inner := &app{
		stdin: s.stdin, stdout: s.stdout, stderr: s.stderr, env: s.env, now: s.now,
		configFile: filepath.Join(s.dir, "config.toml"), json: s.json, quiet: s.quiet, verbose: verbose,
	}
	inner.out = &printer{app: inner}
	if !s.json {
		inner.stdout = &indented{w: s.stdout, prefix: "   "}
		flag := ""
		if verbose {
			flag = " -v"
		}
		s.out.line("   $ godwit --config %s sync%s", filepath.Join(s.shown, "config.toml"), flag)
	}
	err := inner.sync(ctx, nil, nil, syncOptions{})
	if err == nil && inner.code != exitOK {
		s.code = worse(s.code, inner.code)
		return fmt.Errorf("the sync of the demo ended with exit code %d", inner.code)
	}
	return err
}

// A change is one step of the story.
type change struct {
	text string
	do   func() error
}

func (s *story) each(changes []change) error {
	for _, c := range changes {
		s.out.line("   - %s", c.text)
		if err := c.do(); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) localChanges() []change {
	return []change{
		{`read "Lunch on Friday?" (its file is renamed)`, func() error { return s.mail.Flag("INBOX", "<lunch@demo.godwit>", "S") }},
		{`move "Minutes of Monday" from INBOX to Archive`, func() error { return s.mail.Move("INBOX", "<minutes@demo.godwit>", "Archive") }},
		{`delete "Only today"`, func() error { return s.mail.Delete("INBOX", "<offer@demo.godwit>") }},
		{`write a draft, "Written offline"`, func() error { return s.mail.Deliver(demo.LocalDraft, "1788861600.M1P1.laptop", "DS") }},
	}
}

func (s *story) remoteChanges() []change {
	return []change{
		{`"News" arrives in INBOX`, func() error { return s.server.Append(demo.NewMail) }},
		{`"Welcome" gets a star and the keyword $Work`, func() error { return s.server.Flag("INBOX", "<welcome@demo.godwit>", `\Flagged`, "$Work") }},
		{`"The plan for autumn" moves from Work to Archive`, func() error { return s.server.Move("Work", "<plan@demo.godwit>", "Archive") }},
		{`a mailbox Work/Übersicht is created, with a message in it`, func() error {
			return errors.Join(s.server.Create(demo.ProjectMail.Mailbox), s.server.Append(demo.ProjectMail))
		}},
	}
}

// A fate is where a message must be in the end, on both sides.
type fate struct {
	mailbox, id string
	flags       []string
	letters     string
}

// expected is how the story must end.
func (s *story) expected() []fate {
	changed := map[string]*fate{
		"<lunch@demo.godwit>":   {"INBOX", "", []string{`\Seen`}, "S"},
		"<minutes@demo.godwit>": {"Archive", "", []string{`\Seen`, `\Answered`}, "RS"},
		"<offer@demo.godwit>":   nil,
		"<welcome@demo.godwit>": {"INBOX", "", []string{`\Seen`, `\Flagged`, "$Work"}, "FS"},
		"<plan@demo.godwit>":    {"Archive", "", []string{`\Seen`, "$Forwarded"}, "PS"},
	}
	var all []fate
	for _, m := range append(append([]demo.Message{}, demo.Sample...), demo.LocalDraft, demo.NewMail, demo.ProjectMail) {
		f, isChanged := changed[m.ID]
		if !isChanged {
			f = &fate{mailbox: m.Mailbox, flags: m.Flags, letters: systemLetters(m.Flags)}
		}
		if f != nil {
			f.id = m.ID
			all = append(all, *f)
		}
	}
	return all
}

// systemLetters are the letters that Maildir has for these flags.
func systemLetters(flags []string) string {
	letters := ""
	for _, l := range []struct{ letter, flag string }{{"D", `\Draft`}, {"F", `\Flagged`}, {"P", "$Forwarded"}, {"R", `\Answered`}, {"S", `\Seen`}} {
		for _, f := range flags {
			if f == l.flag {
				letters += l.letter
			}
		}
	}
	return letters
}

// verify compares both sides with how the story must end.
func (s *story) verify() error {
	var errs []error
	counts := map[string]int{}
	for _, f := range s.expected() {
		counts[f.mailbox]++
		if !s.server.Find(f.mailbox, f.id, f.flags...) {
			errs = append(errs, fmt.Errorf("%s with %v is not in %s on the server", f.id, f.flags, f.mailbox))
		}
		file, err := s.mail.Find(f.mailbox, f.id)
		if err != nil {
			errs = append(errs, err)
		} else if got := strings.TrimRight(file.Letters(), "abcdefghijklmnopqrstuvwxyz"); got != f.letters {
			errs = append(errs, fmt.Errorf("%s has the letters %q in the Maildir, not %q", f.id, got, f.letters))
		}
	}
	for mailbox, n := range counts {
		files, err := s.mail.Files(mailbox)
		if err != nil {
			errs = append(errs, err)
		}
		if len(files) != n || s.server.Count(mailbox) != n {
			errs = append(errs, fmt.Errorf("%s must have %d messages, and has %d in the Maildir and %d on the server", mailbox, n, len(files), s.server.Count(mailbox)))
		}
	}
	return errors.Join(errs...)
}

// tree shows the Maildir.
func (s *story) tree() error {
	names, err := s.mail.Mailboxes()
	if err != nil {
		return err
	}
	s.out.line("   The Maildir (S read, F flagged, R answered, D draft, P forwarded, a-z keywords):")
	for _, name := range names {
		files, err := s.mail.Files(name)
		if err != nil {
			return err
		}
		s.out.line("     %-16s %s", name, count(len(files), "message"))
		slices.SortFunc(files, func(a, b demo.File) int { return strings.Compare(a.Subject, b.Subject) })
		for _, f := range files {
			s.out.line("%s", strings.TrimRight(fmt.Sprintf("       %-26s %s", f.Subject, f.Letters()), " "))
		}
	}
	return nil
}

// indented writes lines with a prefix.
type indented struct {
	w      io.Writer
	prefix string
}

func (i *indented) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if _, err := io.WriteString(i.w, i.prefix+string(line)); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
