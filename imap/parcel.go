package imap

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// How much is sent at once. What is unanswered is kept, so that it can be sent
// again where the server refused it together with something else.
const (
	maxUnanswered = 2 << 20   // bytes of messages that are unanswered
	groupBytes    = 256 << 10 // in one APPEND of several messages
	groupMessages = 100
	maxSpare      = 16 // buffers that are kept for what comes next
)

// parcels are the messages of a batch on their way to the server: APPENDs are
// pipelined, and where the server offers MULTIAPPEND (RFC 3502) and LITERAL+
// (RFC 7888) one of them carries several messages. It then stores all of them
// or none. Those that are refused together are sent again one by one, when all
// else is answered, so that only those which are to blame are refused.
//
// A lost connection leaves three kinds: what was answered is known; what was
// sent whole and not answered may be there, and is looked for; what was not
// sent whole is not there, for the server had no whole command.
type parcels struct {
	open    *shipment   // being filled, nil if none
	flight  []*shipment // sent and not answered, in this order
	ahead   int64       // bytes in flight
	refused []*parcel   // to be sent again in another way
	waiting int64       // bytes in refused
}

// A parcel is one message on its way.
type parcel struct {
	at    int          // of placed
	flags mail.FlagSet // that it is sent with
	date  time.Time
	size  int64
	from  int    // where it begins in the shipment's bytes
	file  *spool // where it lies if it is large: then it is sent alone
	// Why it is in refused: in company, or alone with keywords.
	data []byte
	why  error
	bare bool // it is sent without keywords the next time
}

// A shipment is what one APPEND carries.
type shipment struct {
	parcels []*parcel
	bytes   []byte // all behind the announcement of the first message
	size    int64

	s     *session
	cmd   *imapclient.AppendCommand
	more  *wire.Append // nil if there is one message
	told  *appended    // what the answer told of several
	whole bool         // the server may have got all of it
	done  bool         // it was answered: by data or err
	data  *goimap.AppendData
	err   error
}

// load sends a message, or adds it to those that are sent together. It lies in
// file, or else is body, which is not needed after.
func (b *batch) load(ctx context.Context, at int, item mail.Item, body []byte, file *spool) {
	p := &parcel{at: at, flags: b.v.perm.storable(item.Flags), date: item.Date, size: int64(len(body))}
	if file != nil {
		p.file, p.size = file, file.size
		b.dispatch(ctx)
		b.ship(ctx, &shipment{parcels: []*parcel{p}, size: p.size})
		return
	}
	if b.open != nil && b.open.size+p.size > groupBytes {
		b.dispatch(ctx)
	}
	if b.open == nil {
		b.open = &shipment{bytes: b.room(len(body))}
	}
	b.open.add(p, body)
	if !b.multi || len(b.open.parcels) == groupMessages {
		b.dispatch(ctx)
	}
}

// add puts a message behind those that are there.
func (sh *shipment) add(p *parcel, body []byte) {
	if len(sh.parcels) > 0 {
		sh.bytes = append(sh.bytes, ' ')
		if flags := p.flags.String(); flags != "" {
			sh.bytes = fmt.Appendf(sh.bytes, "(%s) ", flags)
		}
		if !p.date.IsZero() {
			sh.bytes = p.date.AppendFormat(sh.bytes, `"_2-Jan-2006 15:04:05 -0700" `)
		}
		sh.bytes = fmt.Appendf(sh.bytes, "{%d+}\r\n", p.size)
	}
	p.from = len(sh.bytes)
	sh.bytes = append(sh.bytes, body...)
	sh.parcels, sh.size = append(sh.parcels, p), sh.size+p.size
}

// room is an empty buffer for a message of that size and what goes with it,
// used before if there is one: by this batch, or by one that is over.
func (b *batch) room(size int) []byte {
	n := len(b.a.spare)
	switch {
	case size > groupBytes || !b.multi && n == 0:
		return make([]byte, 0, size)
	case n > 0:
		buf := b.a.spare[n-1]
		b.a.spare = b.a.spare[:n-1]
		return buf
	}
	return make([]byte, 0, groupBytes+groupBytes/8)
}

// spent keeps a buffer for what comes next.
func (b *batch) spent(buf []byte) {
	if n := cap(buf); n > 0 && n <= 2*groupBytes && len(b.a.spare) < maxSpare {
		b.a.spare = append(b.a.spare, buf[:0])
	}
}

// dispatch sends what is being filled.
func (b *batch) dispatch(ctx context.Context) {
	if sh := b.open; sh != nil {
		b.open = nil
		b.ship(ctx, sh)
	}
}

// ship sends a shipment, and takes answers first where too much is unanswered.
// What was not sent whole is sent again, once.
func (b *batch) ship(ctx context.Context, sh *shipment) {
	for len(b.flight) > 0 && b.ahead+sh.size > maxUnanswered {
		b.receive(ctx)
	}
	for try := 1; ; try++ {
		err := b.a.use(ctx, func(s *session) error { return s.append(b.wire, sh) })
		if err == nil {
			b.flight, b.ahead = append(b.flight, sh), b.ahead+sh.size
			break
		}
		if !isLost(err) || sh.whole || try > 1 {
			sh.done, sh.err = true, err
			b.answered(sh)
			break
		}
	}
	if b.waiting > maxUnanswered {
		b.receiveAll(ctx)
		b.sendAgain(ctx)
	}
}

// append sends one APPEND and does not wait for its answer, unless it comes
// before all was sent. The body cannot be broken off: if it cannot be read to
// its end, the connection is ended.
func (s *session) append(name string, sh *shipment) error {
	first := sh.parcels[0]
	sh.s, sh.whole, sh.more = s, false, nil
	var body io.Reader
	if first.file != nil {
		var err error
		if body, err = first.file.open(); err != nil {
			return err
		}
	}
	size := first.size
	if len(sh.parcels) > 1 {
		size, sh.more = int64(len(sh.bytes)), &wire.Append{First: first.size}
		s.wire.Gather(sh.more)
	}
	sh.cmd = s.client.Append(name, size, &goimap.AppendOptions{Flags: wireFlags(first.flags), Time: first.date})
	var copyErr error
	if body == nil {
		_, copyErr = sh.cmd.Write(sh.bytes)
	} else {
		src := &exact{r: body, left: size}
		if _, copyErr = io.Copy(sh.cmd, src); src.err != nil {
			s.kill()
			_ = sh.cmd.Close()
			_, _ = sh.cmd.Wait()
			return localFault(src.err)
		}
	}
	closeErr := sh.cmd.Close()
	if copyErr == nil && closeErr == nil {
		sh.whole = true
		return nil
	}
	_, err := sh.cmd.Wait()
	if refusedByServer(err) {
		// The library takes its connection for lost when an APPEND is refused
		// before its literal was sent. The selection it forgets.
		s.at = nil
		if s.client.Noop().Wait() != nil {
			s.dead = true
		}
	}
	return err
}

// wait waits for the answer.
func (sh *shipment) wait() error {
	if !sh.done {
		sh.data, sh.err = sh.cmd.Wait()
		sh.done = true
	}
	return sh.err
}

// receive takes the oldest answer that is due.
func (b *batch) receive(ctx context.Context) {
	sh := b.flight[0]
	b.flight, b.ahead = b.flight[1:], b.ahead-sh.size
	stop := context.AfterFunc(ctx, func() { sh.s.wire.Kill() })
	if err := sh.wait(); err != nil && isLoss(err) {
		sh.err = b.a.ended(sh.s, err)
	} else {
		sh.s.used = b.a.opt.Clock()
	}
	stop()
	b.answered(sh)
}

func (b *batch) receiveAll(ctx context.Context) {
	for len(b.flight) > 0 {
		b.receive(ctx)
	}
}

// answered notes what became of a shipment.
func (b *batch) answered(sh *shipment) {
	again := len(b.refused)
	for i, p := range sh.parcels {
		switch err := sh.err; {
		case err == nil:
			b.placed[p.at].Flags = p.flags
			validity, uid := sh.uid(i)
			b.record(p.at, validity, uid)
		case refusedByServer(err) && len(sh.parcels) > 1:
			b.putAside(sh, p)
			continue
		case mayBeKeywords(err) && len(p.flags.Keywords()) > 0:
			p.bare = true
			b.putAside(sh, p)
			continue
		case sh.whole && !refusedByServer(err):
			b.placed[p.at].Flags, b.placed[p.at].Unknown = p.flags, true
			b.lost = append(b.lost, p.at)
		default:
			b.fail(p, err)
		}
		p.close()
	}
	if len(b.refused) == again {
		b.spent(sh.bytes)
	}
	sh.bytes = nil
}

// uid is where message i was stored, 0 if that was not told.
func (sh *shipment) uid(i int) (validity, uid uint32) {
	if sh.more == nil {
		if sh.data == nil {
			return 0, 0
		}
		return sh.data.UIDValidity, uint32(sh.data.UID)
	}
	if sh.told == nil {
		sh.told = parseAppended(sh.more.UIDs, len(sh.parcels))
	}
	return sh.told.validity, sh.told.uids[i]
}

// putAside keeps a message that is to be sent again.
func (b *batch) putAside(sh *shipment, p *parcel) {
	if p.file == nil {
		p.data = sh.bytes[p.from : p.from+int(p.size) : p.from+int(p.size)]
	}
	p.why = sh.err
	b.refused, b.waiting = append(b.refused, p), b.waiting+p.size
}

// fail gives up a message.
func (b *batch) fail(p *parcel, err error) {
	if refusedByServer(err) && codeOf(err) == goimap.ResponseCodeNoPerm { // RFC 5530, section 3
		err = fmt.Errorf("%w: %w", mail.ErrDenied, err)
	}
	b.placed[p.at].Err = refusal(mail.GradeMessage, fmt.Errorf("storing in mailbox %q: %w", b.wire, err))
	p.close()
}

func (p *parcel) close() {
	if p.file != nil {
		p.file.close()
	}
}

// sendAgain sends what was refused in another way: first alone, then without
// keywords. Nothing may be in flight.
func (b *batch) sendAgain(ctx context.Context) {
	for len(b.refused) > 0 {
		list := b.refused
		b.refused, b.waiting = nil, 0
		if !b.nothingCame(ctx) {
			list = b.notKept(ctx, list)
		}
		for _, p := range list {
			if p.bare {
				b.without[p.at] = mail.NewFlagSet(p.flags.Keywords()...)
				p.flags = p.flags.Minus(b.without[p.at])
			}
			sh := &shipment{parcels: []*parcel{p}, bytes: p.data, size: p.size}
			p.from, p.data = 0, nil
			b.ship(ctx, sh)
		}
		b.receiveAll(ctx)
	}
}

// notKept gives those of list that the server did not store though it refused
// them; those that it did store are known then.
func (b *batch) notKept(ctx context.Context, list []*parcel) (rest []*parcel) {
	which := make([]int, len(list))
	for i, p := range list {
		which[i] = p.at
		b.placed[p.at].Flags = p.flags
	}
	err := b.find(ctx, which)
	for _, p := range list {
		switch {
		case b.placed[p.at].Ref != "":
			b.stored++
			p.close()
		case err != nil:
			b.fail(p, p.why)
		default:
			rest = append(rest, p)
		}
	}
	return rest
}

// discard lets go of what was not sent and not answered.
func (b *batch) discard() {
	list := b.refused
	for _, sh := range b.flight {
		list = append(list, sh.parcels...)
	}
	for _, p := range list {
		p.close()
	}
	b.parcels = parcels{}
}

// appended is what APPENDUID told of several messages.
type appended struct {
	validity uint32
	uids     []uint32
}

// parseAppended reads the arguments of APPENDUID (RFC 4315, section 3) for n
// messages, in the order in which they were sent. What is not well-formed
// tells nothing.
func parseAppended(text string, n int) *appended {
	none := &appended{uids: make([]uint32, n)}
	first, set, _ := strings.Cut(text, " ")
	validity, err := parseUID(mail.Ref(first))
	uids, ok := parseSet(set)
	if err != nil || !ok || len(uids) != n {
		return none
	}
	return &appended{validity, uids}
}
