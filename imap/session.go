package imap

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// A session is a connection that is logged in.
type session struct {
	*link
	caps goimap.CapSet
	ear  *ear
	// dead: killed on purpose, to be replaced without counting as lost.
	dead bool
	// named: how names are built was learned over this connection.
	named bool
	at    *selection // the selected mailbox, nil if none
	used  time.Time  // when it was last used
	// base is what it had cost before this Account had it.
	base wire.Stats
	// parked: it was kept by a Pool, and has not proved yet that it is alive.
	parked *parking
	// uncompressed tells why compression was asked for in vain.
	uncompressed string
	// inbox is where the bodies come that were asked for.
	inbox *inbox
	// errands are what was sent before it was asked for, in this order.
	errands []errand

	queue      []*flight // sent ahead, not asked for yet
	last       *flight   // the last that was sent
	doubtQuick bool      // what it answers with QRESYNC is of no use
	hidesNext  bool      // EXAMINE does not tell UIDNEXT
}

// A selection is what SELECT or EXAMINE told of a mailbox.
type selection struct {
	name           string
	validity, next uint32
	modseq         uint64 // 0: not known, or NOMODSEQ (RFC 7162, section 3.1.2)
	exists         uint32
	writable       bool // it was selected, not examined, and is not READ-ONLY
	perm           *permanent
}

// permanent are the flags that a mailbox stores (PERMANENTFLAGS).
type permanent struct {
	all  bool // the server did not say: all can be (RFC 3501, section 7.1)
	any  bool // \*: new keywords can be made
	set  mail.FlagSet
	none bool // READ-ONLY
}

// storable gives those of flags that the mailbox can keep.
func (p *permanent) storable(flags mail.FlagSet) mail.FlagSet {
	switch {
	case p == nil:
		return flags
	case p.none:
		return mail.FlagSet{}
	case p.all, p.any:
		// Some servers that say \* list only the flags that are in use.
		return flags
	}
	return flags.Intersect(p.set)
}

// login makes a session and learns what it can do.
func (a *Account) login(ctx context.Context) (*session, error) {
	e := &ear{trace: a.opt.Trace}
	l, err := dial(ctx, a.opt.Endpoint, wire.Options{Trace: e.hear, IdleTimeout: a.opt.IdleTimeout, Meter: a.opt.Meter}, &imapclient.Options{})
	if err != nil {
		return nil, err
	}
	password, err := a.opt.Password(ctx)
	if err != nil {
		l.close()
		return nil, accountFault(mail.ClassAuth, fmt.Errorf("no password for %s: %w", a.opt.Username, err), "")
	}
	if err := l.login(ctx, a.opt.Endpoint.Host, a.opt.Username, password); err != nil {
		l.close()
		return nil, err
	}
	s := &session{link: l, ear: e, inbox: newInbox()}
	if err := l.await(ctx, func() error { return a.greet(s) }); err != nil {
		err = l.explain(ctx, a.opt.Endpoint.Host, err)
		l.close()
		return nil, err
	}
	return s, nil
}

// greet takes over the capabilities, and compresses.
func (a *Account) greet(s *session) error {
	if s.caps = s.client.Caps(); s.caps == nil {
		return errors.New("the server does not tell its capabilities")
	}
	if _, rev2 := s.caps[goimap.CapIMAP4rev2]; rev2 {
		// The library takes its syntax for granted where it is offered; it must
		// be asked for (RFC 9051, appendix A).
		if _, err := s.client.Enable(goimap.CapIMAP4rev2).Wait(); err != nil {
			return err
		}
	}
	switch {
	case s.caps.Has("OBJECTID"):
		s.wire.AskGlobalID("EMAILID")
	case s.caps.Has("X-GM-EXT-1"):
		s.wire.AskGlobalID("X-GM-MSGID")
	}
	if err := a.compress(s); err != nil {
		return err
	}
	if s.has(goimap.CapQResync) && s.has(goimap.CapEnable) {
		// It goes along with what is asked first; if it is refused, nothing is lost.
		return s.wire.Send(true, &wire.Call{Command: "ENABLE QRESYNC"})
	}
	return nil
}

// compress begins compression, if that is wanted and the server has it.
func (a *Account) compress(s *session) error {
	switch {
	case !a.opt.Compress:
		return nil
	case !s.has("COMPRESS=DEFLATE"):
		s.uncompressed = "the server does not offer COMPRESS=DEFLATE"
		return nil
	}
	refused, err := s.wire.Compress()
	if refused != "" {
		s.uncompressed = fmt.Sprintf("the server declines COMPRESS=DEFLATE: %s", refused)
	}
	return err
}

// has tells whether the server offers an extension.
func (s *session) has(c goimap.Cap) bool { return s.caps.Has(c) }

// open selects a mailbox, anew even if it is selected already: its UIDNEXT
// and HIGHESTMODSEQ are told by SELECT only.
func (s *session) open(name string, write bool) (*selection, error) {
	return s.sendOpen(name, write).wait()
}

// An opening is a SELECT or EXAMINE that was sent.
type opening struct {
	s     *session
	name  string
	write bool
	cmd   *imapclient.SelectCommand
}

// sendOpen is open without waiting for the answer.
func (s *session) sendOpen(name string, write bool) *opening {
	s.at, s.last = nil, nil
	s.ear.reset()
	cmd := s.client.Select(name, &goimap.SelectOptions{ReadOnly: !write, CondStore: s.has(goimap.CapCondStore)})
	return &opening{s, name, write, cmd}
}

// wait waits for the answer. The mailbox is the selected one then, unless
// another was asked for meanwhile.
func (o *opening) wait() (*selection, error) {
	s, name, write := o.s, o.name, o.write
	data, err := o.cmd.Wait()
	if err != nil {
		return nil, fmt.Errorf("opening mailbox %q: %w", name, err)
	}
	if data.UIDValidity == 0 {
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassServer,
			fmt.Errorf("mailbox %q has no UIDVALIDITY", name), "the server cannot be synchronised with")
	}
	at := &selection{name: name, validity: data.UIDValidity, next: uint32(data.UIDNext), modseq: data.HighestModSeq, exists: data.NumMessages}
	at.perm = s.ear.permanent()
	at.writable = write && !at.perm.none
	if len(s.errands) == 0 {
		s.at = at
	}
	return at, nil
}

// enter selects a mailbox unless it is selected well enough already.
func (s *session) enter(name string, write bool) (*selection, error) {
	if s.at != nil && s.at.name == name && (s.at.writable || !write) {
		return s.at, nil
	}
	return s.open(name, write)
}

// leave deselects without expunging (RFC 3691); where that is not offered,
// NOOP brings what the server knows of the mailbox up to date.
func (s *session) leave() error {
	if s.at == nil {
		return nil
	}
	if !s.has(goimap.CapUnselect) {
		return s.client.Noop().Wait()
	}
	s.at = nil
	return s.client.Unselect().Wait()
}

// exists is the number of messages in the selected mailbox now.
func (s *session) exists() uint32 { return s.wire.Tally().Exists }

// kill ends the connection on purpose, to get out of an answer that is no
// longer wanted.
func (s *session) kill() {
	s.dead = true
	s.wire.Kill()
	s.inbox.close()
}

// close ends the connection without waiting for the network.
func (s *session) close() {
	s.parked.stop()
	s.inbox.close()
	s.link.close()
	s.inbox.empty()
}

// maxCopied is how many messages one COPYUID may name.
const maxCopied = 1 << 20

// An ear picks from the lines of a connection what the library does not tell.
type ear struct {
	pleas hearing

	mu       sync.Mutex
	trace    func(dir, line string)
	readOnly bool
	perm     []string
	permTold bool
	copied   []copied
}

// copied says that a message was copied, or moved, to another UID.
type copied struct{ validity, from, to uint32 }

func (e *ear) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readOnly, e.perm, e.permTold = false, nil, false
}

// takeCopied gives what COPYUID told since the last call (RFC 4315, section
// 3). The library sorts the sets, and so loses which belongs to which where a
// server lists them in another order.
func (e *ear) takeCopied() []copied {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.copied
	e.copied = nil
	return c
}

// follow makes trace hear all lines from now on, nil for nobody.
func (e *ear) follow(trace func(dir, line string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trace = trace
}

// hear is wire.Options.Trace.
func (e *ear) hear(dir, line string) {
	e.mu.Lock()
	trace := e.trace
	e.mu.Unlock()
	if trace != nil {
		trace(dir, line)
	}
	if dir != "S" {
		return
	}
	e.pleas.hear(line)
	tag, rest, _ := strings.Cut(line, " ")
	if len(rest) < 4 || !strings.EqualFold(rest[:4], "OK [") {
		return
	}
	code, _, ok := strings.Cut(rest[4:], "]")
	if !ok {
		return
	}
	upper := strings.ToUpper(code)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case upper == "READ-ONLY" && tag != "*":
		e.readOnly = true
	case strings.HasPrefix(upper, "PERMANENTFLAGS (") && strings.HasSuffix(code, ")"):
		e.permTold = true
		e.perm = strings.Fields(code[len("PERMANENTFLAGS (") : len(code)-1])
	case strings.HasPrefix(upper, "COPYUID "):
		e.copied = append(e.copied, parseCopied(strings.Fields(code)[1:])...)
	}
}

// parseCopied reads validity, source set, target set. What is not well-formed,
// or does not agree in number, tells nothing.
func parseCopied(words []string) []copied {
	if len(words) != 3 {
		return nil
	}
	validity, err := strconv.ParseUint(words[0], 10, 32)
	from, ok1 := parseSet(words[1])
	to, ok2 := parseSet(words[2])
	if err != nil || !ok1 || !ok2 || len(from) != len(to) {
		return nil
	}
	pairs := make([]copied, len(from))
	for i := range from {
		pairs[i] = copied{uint32(validity), from[i], to[i]}
	}
	return pairs
}

// parseSet lists a set of UIDs in its own order.
func parseSet(text string) (uids []uint32, ok bool) {
	for part := range strings.SplitSeq(text, ",") {
		lo, hi, isRange := strings.Cut(part, ":")
		if !isRange {
			hi = lo
		}
		a, err := parseUID(mail.Ref(lo))
		b, err2 := parseUID(mail.Ref(hi))
		if err != nil || err2 != nil {
			return nil, false
		}
		a, b = min(a, b), max(a, b)
		if uint64(b-a)+uint64(len(uids)) > maxCopied {
			return nil, false
		}
		for uid := uint64(a); uid <= uint64(b); uid++ {
			uids = append(uids, uint32(uid))
		}
	}
	return uids, true
}

// permanent gives what was heard since reset.
func (e *ear) permanent() *permanent {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := &permanent{all: !e.permTold, none: e.readOnly}
	for _, f := range e.perm {
		if f == `\*` {
			p.any = true
		} else {
			p.set = p.set.With(mail.Flag(f))
		}
	}
	return p
}

func parseUID(ref mail.Ref) (uint32, error) {
	n, err := strconv.ParseUint(string(ref), 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no UID", ref)
	}
	return uint32(n), nil
}

func refOf(uid uint32) mail.Ref { return mail.Ref(strconv.FormatUint(uint64(uid), 10)) }

func epochOf(validity uint32) string {
	if validity == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(validity), 10)
}
