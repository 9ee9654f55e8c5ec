package engine

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// How much goes into a packet. Two packets are held in memory at once: one
// that is sent, and one that is read.
const (
	packetBytes = 1 << 20
	// largeBytes is the size from which on a message is not held: it is
	// digested first, and read again as it is sent.
	largeBytes = 512 << 10
	// packets is how many packets make a chunk, by their messages.
	packets = 4
)

// A packet is what is sent behind one transaction: the intents of all its
// messages. What is in it was read once, and digested as it lies in memory: what
// is sent is what the intents tell of. A large message is a packet of its own,
// and digested once more as it is sent.
type packet struct {
	letters []letter
	bytes   []byte
	spare   chan<- *packet
	read    chan struct{} // closed when a body that is not held was read
}

// A letter is a message in a packet.
type letter struct {
	gain  *plan.Gain
	seen  mail.Item
	ident mail.Identity // LevelNone if it was not read
	shape *shape
	// held are its bytes, line ends as CRLF; nil if they are not held or not
	// canonical. body gives them otherwise.
	held []byte
	body io.Reader
}

func (p *packet) box() mail.BoxID  { return p.letters[0].gain.Box }
func (p *packet) from() mail.BoxID { return p.letters[0].gain.From.Box }

// sent gives a packet back to the loader: its messages are read no more.
func (p *packet) sent() {
	switch {
	case p == nil:
	case p.read != nil:
		close(p.read)
	default:
		p.spare <- p
	}
}

// apart makes pairs of their own of messages that go to the server and are too
// large to be held, so that each can be digested before it is asked for. What
// is copied here need not be: it will be found by its name.
func apart(pairs []pair) (out []pair) {
	for _, p := range pairs {
		if p.to != plan.Remote {
			out = append(out, p)
			continue
		}
		rest := p.gains
		for i, g := range p.gains {
			if g.Ident().Size <= largeBytes {
				continue
			}
			at := len(rest) - (len(p.gains) - i)
			if at > 0 {
				small := p
				small.gains = rest[:at]
				out = append(out, small)
			}
			one := p
			one.gains, one.large = rest[at:at+1], true
			out = append(out, one)
			rest = rest[at+1:]
		}
		if p.gains = rest; len(rest) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// packing fills packets.
type packing struct {
	*loader
	open  *packet      // being filled, nil if none
	spare chan *packet // that are not in use
	hash  *mail.Hasher
	known *pair // large, whose message has this identity
	ident mail.Identity
}

func newPacking(l *loader) *packing {
	p := &packing{loader: l, spare: make(chan *packet, 2), hash: mail.NewHasher()}
	for range cap(p.spare) {
		p.spare <- &packet{spare: p.spare}
	}
	return p
}

// begin makes sure that there is a packet to fill. A large message needs none,
// but is digested before it is fetched, so that it will be recognised should the
// answer never come.
func (l *packing) begin(ctx context.Context) error {
	switch {
	case l.open != nil || l.known == l.pair:
	case !l.pair.large:
		l.open = <-l.spare // the sender gives back what it has sent
		l.open.letters, l.open.bytes = l.open.letters[:0], l.open.bytes[:0]
	default:
		l.known, l.ident = l.pair, mail.Identity{}
		return l.identify(ctx, l.pair.gains[0])
	}
	return nil
}

func (l *packing) identify(ctx context.Context, g *plan.Gain) error {
	err := l.from.Identify(ctx, g.From.Box, []mail.Ref{g.From.Ref}, mail.LevelBody, func(_ mail.Ref, id mail.Identity, err error) error {
		if err == nil {
			l.ident = id
		}
		return nil // the copy itself will meet and tell any error
	})
	if err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount) {
		return err
	}
	return nil
}

// add reads a message into the packet.
func (l *packing) add(ctx context.Context, g *plan.Gain, seen mail.Item, body io.Reader) error {
	size := seen.Ident.Size
	switch {
	case l.pair.large:
		l.pass(letter{gain: g, seen: seen, ident: l.ident}, body)
		return nil
	case size > largeBytes && l.pair.to != plan.Remote:
		l.hand()
		l.pass(letter{gain: g, seen: seen}, body)
		return nil
	case size > 2*largeBytes: // the scan told another size
		p := *l.pair
		p.gains, p.large = []*plan.Gain{g}, true
		l.pairs = append(l.pairs, p)
		return nil
	case int64(len(l.open.bytes))+size > packetBytes:
		l.hand()
		_ = l.begin(ctx) // of a large message alone it fails
	}
	l.open.letters = append(l.open.letters, l.open.hold(l.hash, g, seen, body))
	if len(l.open.letters) >= max(1, l.run.chunk()/packets) {
		l.hand()
	}
	return nil
}

// hold reads a message into the packet, and learns what is to be known of it
// before it is sent. That it cannot be read is found when it is to be sent.
func (p *packet) hold(hash *mail.Hasher, g *plan.Gain, seen mail.Item, body io.Reader) letter {
	if p.bytes == nil {
		p.bytes = make([]byte, 0, packetBytes)
	}
	one, from := letter{gain: g, seen: seen, shape: &shape{}}, len(p.bytes)
	held, err := readAll(p.bytes[from:from:cap(p.bytes)], body)
	if err != nil {
		one.body = broken{err}
		return one
	}
	if from+len(held) <= cap(p.bytes) { // else it has memory of its own
		p.bytes = p.bytes[:from+len(held)]
	}
	hash.Reset()
	_, _ = hash.Write(held)
	one.ident, one.body = hash.Sum(), bytes.NewReader(held)
	one.shape.look(held)
	if !one.shape.bareLF {
		one.held = held
	}
	return one
}

// readAll reads a message to its end into room, or into more if that is not enough.
func readAll(room []byte, body io.Reader) ([]byte, error) {
	for {
		if len(room) == cap(room) {
			if len(room) > packetBytes {
				return nil, errors.New("the message is larger than was told")
			}
			room = append(room, 0)[:len(room)]
		}
		n, err := body.Read(room[len(room):cap(room)])
		room = room[:len(room)+n]
		switch {
		case err == io.EOF:
			return room, nil
		case err != nil:
			return nil, err
		}
	}
}

// pass sends a large message, which is read as it is sent, and waits for that.
func (l *packing) pass(one letter, body io.Reader) {
	one.shape = &shape{r: body}
	one.body = one.shape
	p := &packet{letters: []letter{one}, read: make(chan struct{})}
	l.out <- step{packet: p}
	<-p.read
}

// hand passes the packet on, if there is anything in it.
func (l *packing) hand() {
	p := l.open
	l.open = nil
	switch {
	case p == nil:
	case len(p.letters) == 0:
		l.spare <- p
	default:
		l.out <- step{packet: p}
	}
}

// broken is a body that could not be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
