package e2e

import (
	"net"
	"sync"
	"testing"
)

// A cable is a network between godwit and a server that can be cut, and can
// swallow what is sent over it.
type cable struct {
	port   int
	server string

	mu       sync.Mutex
	cut      bool // nothing gets through, and everybody is told
	swallows bool // nothing gets through, and nobody is told
	calls    int  // connections that godwit wanted
	age      int  // how often connections were forgotten
	ends     map[net.Conn]bool
	wait     sync.WaitGroup
	changed  *sync.Cond // of swallows and cut
	listener net.Listener
}

// cable puts a cable between the account and its server. It must be called
// again after configure.
func (a *account) cable() *cable {
	a.t.Helper()
	c := newCable(a.t, a.server.Addr())
	a.through(&wiretap{port: c.port})
	return c
}

func newCable(t *testing.T, server string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{port: l.Addr().(*net.TCPAddr).Port, server: server, ends: map[net.Conn]bool{}, listener: l}
	c.changed = sync.NewCond(&c.mu)
	c.wait.Go(c.accept)
	t.Cleanup(func() {
		l.Close()
		c.set(func() { c.cut = true })
		c.wait.Wait()
	})
	return c
}

// set changes the cable. One that is cut loses its connections.
func (c *cable) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	if c.cut {
		for end := range c.ends {
			end.Close()
		}
		clear(c.ends)
	}
	c.changed.Broadcast()
}

// forget makes the connections that there are swallow what is sent from now on,
// as when an address is another, or NAT has forgotten them. New ones work.
func (c *cable) forget() { c.set(func() { c.age++ }) }

// called is how many connections godwit wanted so far.
func (c *cable) called() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

func (c *cable) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.wait.Go(func() { c.join(client) })
	}
}

// join connects a client with the server.
func (c *cable) join(client net.Conn) {
	c.mu.Lock()
	c.calls++
	cut := c.cut
	if !cut {
		c.ends[client] = true
	}
	c.mu.Unlock()
	defer client.Close()
	if cut {
		return
	}
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	c.mu.Lock()
	cut = c.cut
	c.ends[server] = true
	age := c.age
	c.mu.Unlock()
	if cut {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.pump(server, client, age) })
	both.Go(func() { c.pump(client, server, age) })
	both.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ends, client)
	delete(c.ends, server)
}

// pump passes one direction on. What comes while the cable swallows, or once
// the connection is forgotten, is lost, and so is its end.
func (c *cable) pump(to, from net.Conn, age int) {
	buf := make([]byte, 16<<10)
	lost := false
	for {
		n, err := from.Read(buf)
		c.mu.Lock()
		lost = lost || c.swallows || c.age > age // TCP would not pass what follows a hole
		for (c.swallows || c.age > age) && err != nil && !c.cut {
			c.changed.Wait()
		}
		c.mu.Unlock()
		if err == nil && !lost {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			to.Close()
			return
		}
	}
}
