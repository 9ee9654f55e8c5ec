package imap

import (
	"context"
	"reflect"
	"slices"
	"time"
)

const (
	// joinAt is how many bytes must still be to be asked for in a mailbox for
	// other connections to take part; joinAfter is how many messages must have
	// come for that to be known.
	joinAt    = 4 << 20
	joinAfter = 16
	// lagTime is how long the others wait for an answer over an extra connection
	// when there is nothing else left to do.
	lagTime = 5 * time.Second
)

// A crew is the connections beside the Account's own that take part in pulls,
// where that measurably helps: see worth. They are given messages that were
// not asked for yet, and have no say in how a fetch ends: what one of them
// does not bring is asked for again over the Account's own connection, which
// alone finds out what is wrong with a message. They are not kept by the Pool.
//
// All is done by the goroutine that uses the Account, but for the logins: one
// goroutine brings those that were called, and round waits for it.
type crew struct {
	a     *Account
	worth worth
	idle  []*session // at rest between fetches

	// Of the fetch under way:
	lanes  []*lane      // of those that take part
	turn   int          // where the next arrival is looked for first
	coming chan recruit // those that were called; nil if none were
	cancel func()       // ends coming
	short  bool         // one that was called did not come
}

// A recruit is a connection that was called, or why it does not come.
type recruit struct {
	s   *session // may be there beside err
	new bool     // it has logged in
	at  *selection
	err error
}

// newCrew gives an Account its crew, nil if it may have none.
func newCrew(a *Account) *crew {
	if a.opt.Connections <= 1 || a.opt.Meter != nil {
		return nil
	}
	return &crew{a: a, worth: worth{most: min(a.opt.Connections, maxCrew), now: 1}}
}

// crewed tells whether other connections may take part.
func (f *fetching) crewed() bool {
	return f.pull && f.most == passes[0] && f.a.crew != nil
}

// sharers is by how many connections what is under way is shared, or will be.
func (f *fetching) sharers() int64 {
	if !f.crewed() {
		return 1
	}
	return int64(max(1+len(f.a.crew.lanes), f.a.crew.worth.now))
}

// ahead is how many bytes each of them has asked for at once. While it is not
// known how large messages are, little is asked for that others could bring.
func (f *fetching) ahead() int64 {
	switch {
	case !f.crewed():
		return maxAsked
	case f.came == 0:
		return 0
	}
	return f.a.crew.worth.ahead() / f.sharers()
}

// portion is how many bytes one command asks for.
func (f *fetching) portion() int64 {
	if !f.crewed() {
		return maxCommand
	}
	return min(maxCommand, f.a.crew.worth.ahead()/3) / f.sharers()
}

// unasked is how many bytes are still to be asked for, by what came so far.
func (f *fetching) unasked() int64 { return int64(f.hi-f.next) * f.size() }

// round takes the answers to what f asks for, over all connections. What an
// extra one left out is open then.
func (c *crew) round(ctx context.Context, f *fetching) error {
	defer c.adjourn()
	c.worth.begin(c.a.opt.Clock(), f.bytes)
	for {
		f.ask(&f.lane)
		c.ask(f)
		f.sendAnnounced(f.via)
		if len(c.owing(f)) == 0 {
			return nil
		}
		c.consider(ctx, f)
		if err := c.step(ctx, f); err != nil {
			return err
		}
	}
}

// ask keeps the extra connections busy, and lets those go that are to leave.
func (c *crew) ask(f *fetching) {
	for _, l := range slices.Clone(c.lanes) {
		if !l.leaving {
			f.ask(l)
		} else if len(l.asks) == 0 {
			c.remove(l)
		}
	}
}

// owing are the connections over which something is still to come.
func (c *crew) owing(f *fetching) (lanes []*lane) {
	if len(f.asks) > 0 {
		lanes = append(lanes, &f.lane)
	}
	for _, l := range c.lanes {
		if len(l.asks) > 0 {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// consider calls others, or lets some go, where that is due.
func (c *crew) consider(ctx context.Context, f *fetching) {
	n, left, now := 1+len(c.lanes), f.unasked(), c.a.opt.Clock()
	switch {
	case c.coming != nil:
	case n < c.worth.now && f.came >= joinAfter && left >= joinAt:
		c.call(ctx, f.wire, c.worth.now-n)
	case c.worth.over(now):
		switch c.worth.judge(now, f.bytes, n, left) {
		case addMore:
			c.call(ctx, f.wire, min(n, c.worth.most-n))
		case goBack:
			for _, l := range c.lanes[c.worth.now-1:] {
				l.leaving = true
			}
		}
	}
}

// step waits for one thing to happen and deals with it.
func (c *crew) step(ctx context.Context, f *fetching) error {
	switch h := c.await(f); {
	case ctx.Err() != nil:
		c.decline(h)
		return context.Cause(ctx)
	case h.all:
		c.assembled(f)
	case h.recruit != nil:
		c.join(ctx, f, h.recruit)
	case h.late:
		for _, l := range c.owing(f) {
			if err := c.lose(f, l); err != nil {
				return err
			}
		}
	case h.arrival == nil && h.lane == &f.lane:
		return f.broken()
	case h.arrival == nil:
		return c.lose(f, h.lane)
	default:
		return c.take(f, h.lane, h.arrival)
	}
	return nil
}

// decline lets go of what nobody wants any more.
func (c *crew) decline(h happening) {
	if h.arrival != nil {
		h.lane.via.inbox.done(h.arrival)
	}
	if h.recruit != nil && !h.all && c.arrived(h.recruit) {
		c.rest(h.recruit.s)
	}
}

// take deals with an arrival. What is wrong with an extra connection ends that
// one only.
func (c *crew) take(f *fetching, l *lane, a *arrival) error {
	err := f.take(a)
	switch {
	case err == nil || l == &f.lane:
		return err
	case isLoss(err), refusedByServer(err):
		return c.lose(f, l)
	}
	f.via.kill()
	return err
}

// A happening is what await waited for.
type happening struct {
	lane    *lane    // whose arrival it is; without one, it has ended
	arrival *arrival // to be taken
	recruit *recruit // who was called
	all     bool     // of those that were called, no more come; recruit is none
	late    bool     // nothing happened for lagTime, and only others are waited for
}

// await waits for the next thing to happen, and notes how long it took.
func (c *crew) await(f *fetching) happening {
	select {
	case r, ok := <-c.coming:
		return happening{recruit: &r, all: !ok}
	default:
	}
	lanes := c.owing(f)
	for i := range lanes {
		l := lanes[(c.turn+i)%len(lanes)]
		if a, ok := l.via.inbox.take(); ok {
			c.turn = (c.turn + i + 1) % len(lanes)
			return happening{lane: l, arrival: &a}
		}
	}
	var late <-chan time.Time
	if len(f.asks) == 0 {
		timer := time.NewTimer(lagTime)
		defer timer.Stop()
		late = timer.C
	}
	cases := []reflect.SelectCase{receive(c.coming), receive(late)}
	for _, l := range lanes {
		cases = append(cases, receive(l.via.inbox.arrivals), receive(l.via.client.Closed()))
	}
	begun := c.a.opt.Clock()
	chosen, value, ok := reflect.Select(cases)
	c.worth.waited += c.a.opt.Clock().Sub(begun)
	switch {
	case chosen == 0:
		r := value.Interface().(recruit)
		return happening{recruit: &r, all: !ok}
	case chosen == 1:
		return happening{late: true}
	}
	l := lanes[(chosen-2)/2]
	if chosen%2 == 0 {
		a := value.Interface().(arrival)
		return happening{lane: l, arrival: &a}
	}
	if a, ok := l.via.inbox.take(); ok { // it came before the end
		return happening{lane: l, arrival: &a}
	}
	return happening{lane: l}
}

func receive(from any) reflect.SelectCase {
	return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(from)}
}

// call has n others come: those that are at rest, then new ones.
func (c *crew) call(ctx context.Context, wire string, n int) {
	ctx, c.cancel = context.WithCancel(ctx)
	rested := c.rested(n)
	coming := make(chan recruit, n) // whoever sends never waits
	c.coming, c.short = coming, false
	go func() {
		defer close(coming)
		for i := range n {
			var r recruit
			if i < len(rested) {
				r.s = rested[i]
			}
			c.bring(ctx, wire, &r)
			coming <- r
			if r.err != nil && r.new {
				break
			}
		}
	}()
}

// rested takes up to n that are at rest and of use still.
func (c *crew) rested(n int) (list []*session) {
	for len(c.idle) > 0 && len(list) < n {
		s := c.idle[0]
		c.idle = c.idle[1:]
		if s.wire.Err() != nil || s.wire.Bye() != "" || c.a.opt.Clock().Sub(s.used) >= idleCheck {
			c.end(s)
			continue
		}
		list = append(list, s)
	}
	return list
}

// bring logs in, if need be, and opens the mailbox.
func (c *crew) bring(ctx context.Context, wire string, r *recruit) {
	if r.s == nil {
		if r.new, r.err = true, ctx.Err(); r.err != nil {
			return
		}
		if r.s, r.err = c.a.login(ctx); r.err != nil {
			return
		}
		r.s.inbox.most = maxHeld
	}
	r.err = r.s.await(ctx, func() (err error) {
		r.at, err = r.s.enter(wire, false)
		return err
	})
}

// arrived counts a recruit; it is false for one that does not come.
func (c *crew) arrived(r *recruit) bool {
	if r.new && r.s != nil {
		c.a.stats.Connections++
	}
	if r.err != nil && r.s != nil {
		c.end(r.s)
	}
	return r.err == nil
}

// join has a recruit take part, if it sees the same mailbox.
func (c *crew) join(ctx context.Context, f *fetching, r *recruit) {
	switch {
	case !c.arrived(r):
		c.short = c.short || r.new // one that rested may have died
	case r.at.validity != c.a.view(f.wire).validity:
		c.end(r.s)
		c.short = true
	default:
		kill := r.s.wire.Kill
		c.lanes = append(c.lanes, &lane{via: r.s, stop: context.AfterFunc(ctx, func() { kill() })})
	}
}

// assembled begins to measure those that came.
func (c *crew) assembled(f *fetching) {
	c.cancel()
	c.coming = nil
	now := c.a.opt.Clock()
	if c.short {
		c.worth.refused(now, 1+len(c.lanes))
	}
	c.worth.begin(now, f.bytes)
}

// lose lets go of one that failed. Where the server asked it for what concerns
// the whole account, that is the error.
func (c *crew) lose(f *fetching, l *lane) error {
	c.remove(l)
	c.worth.lost(c.a.opt.Clock(), 1+len(c.lanes))
	plea := l.via.ear.pleas.heard(c.a.opt.Endpoint.Host)
	if plea == nil || plea.After == afterConnections {
		return nil // fewer connections are what it gets
	}
	c.a.unwelcome = plea
	f.via.kill()
	return plea
}

// remove ends one that takes part.
func (c *crew) remove(l *lane) {
	c.lanes = slices.DeleteFunc(c.lanes, func(other *lane) bool { return other == l })
	l.stop()
	c.end(l.via)
}

// adjourn ends a round: those that owe nothing rest until the next.
func (c *crew) adjourn() {
	if c.coming != nil {
		c.cancel()
		for r := range c.coming {
			if c.arrived(&r) {
				c.rest(r.s)
			}
		}
		c.coming = nil
	}
	for _, l := range slices.Clone(c.lanes) {
		if !l.stop() || len(l.asks) > 0 || l.leaving {
			c.remove(l)
		} else {
			c.rest(l.via)
		}
	}
	c.lanes, c.worth.tried = nil, 0
}

func (c *crew) rest(s *session) {
	s.used = c.a.opt.Clock()
	c.idle = append(c.idle, s)
}

// end ends a connection without waiting for the network.
func (c *crew) end(s *session) {
	s.close()
	c.a.stats.add(s.cost())
}

// close ends all connections.
func (c *crew) close() {
	if c == nil {
		return
	}
	for _, s := range c.idle {
		c.end(s)
	}
	c.idle = nil
}

// cost adds what those cost that are there now.
func (c *crew) cost(sum *Stats) {
	if c == nil {
		return
	}
	for _, s := range c.idle {
		sum.add(s.cost())
	}
	for _, l := range c.lanes {
		sum.add(l.via.cost())
	}
}
