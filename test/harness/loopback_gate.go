package harness

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
)

// gate is a port on loopback that stays taken while the processes behind it come
// and go. Without a process connections are reset, which is as near to refusing
// them as a port that must not be lost can get.
type gate struct {
	inner net.Listener

	mu      sync.Mutex
	changed *sync.Cond // of everything below
	cut     bool
	refuse  bool          // turn connections away
	process *gateListener // nil: turn connections away
	conns   map[*gateConn]struct{}
	late    []net.Conn // closed by the process while the port was cut
}

func openGate(ctx context.Context) (*gate, error) {
	return openGateAt(ctx, "127.0.0.1:0")
}

func openGateAt(ctx context.Context, address string) (*gate, error) {
	inner, err := new(net.ListenConfig).Listen(ctx, "tcp4", address)
	if err != nil {
		return nil, fmt.Errorf("listening on loopback: %w", err)
	}
	g := &gate{inner: inner, conns: map[*gateConn]struct{}{}}
	g.changed = sync.NewCond(&g.mu)
	go g.acceptAll()
	return g, nil
}

func (g *gate) port() uint16 {
	return uint16(g.inner.Addr().(*net.TCPAddr).Port) //nolint:gosec // a port
}

// attach returns a listener for a new process, which takes the place of the
// previous one.
func (g *gate) attach() net.Listener {
	l := &gateListener{gate: g, accepted: make(chan net.Conn), closed: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.process = l
	return l
}

// setCut takes the port off the network or puts it back. While it is off nothing
// is accepted and open connections hang.
func (g *gate) setCut(cut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = cut
	g.changed.Broadcast()
	if !cut {
		for _, conn := range g.late {
			_ = conn.Close()
		}
		g.late = nil
	}
}

// setRefuse turns all connections away, open ones included, or stops to.
func (g *gate) setRefuse(refuse bool) {
	g.mu.Lock()
	g.refuse = refuse
	g.mu.Unlock()
	if refuse {
		g.resetAll()
	}
}

// drop detaches the process and resets its connections.
func (g *gate) drop() {
	g.mu.Lock()
	process := g.process
	g.mu.Unlock()
	if process != nil {
		_ = process.Close()
	}
	g.resetAll()
}

func (g *gate) resetAll() {
	g.mu.Lock()
	conns := slices.Collect(maps.Keys(g.conns))
	g.mu.Unlock()
	for _, conn := range conns {
		reset(conn.Conn)
		_ = conn.Close()
	}
}

// close gives the port back.
func (g *gate) close() {
	g.setCut(false)
	g.drop()
	_ = g.inner.Close()
}

func (g *gate) acceptAll() {
	for {
		conn, err := g.inner.Accept()
		if err != nil {
			return // closed
		}
		g.hand(conn)
	}
}

// hand gives a connection to the process, as soon as the port is on the network.
func (g *gate) hand(conn net.Conn) {
	g.mu.Lock()
	for g.cut {
		g.changed.Wait()
	}
	process := g.process
	if g.refuse {
		process = nil
	}
	wrapped := &gateConn{Conn: conn, gate: g}
	g.conns[wrapped] = struct{}{}
	g.mu.Unlock()
	if process != nil {
		select {
		case process.accepted <- wrapped:
			return
		case <-process.closed:
		}
	}
	reset(conn)
	_ = wrapped.Close()
}

// reset makes a later Close send RST.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

// gateListener is what a process accepts from.
type gateListener struct {
	gate     *gate
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *gateListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *gateListener) Close() error {
	l.once.Do(func() {
		l.gate.mu.Lock()
		if l.gate.process == l {
			l.gate.process = nil
		}
		l.gate.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *gateListener) Addr() net.Addr { return l.gate.inner.Addr() }

// gateConn is a connection that hangs while the gate is cut.
type gateConn struct {
	net.Conn

	gate   *gate
	closed bool // guarded by gate.mu
}

// Read hands over what arrived before the cut only after it: the peer's
// acknowledgement of it would have got lost as well.
func (c *gateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wait()
	return n, err //nolint:wrapcheck // a net.Conn returns what the socket did
}

func (c *gateConn) Write(b []byte) (int, error) {
	c.wait()
	return c.Conn.Write(b) //nolint:wrapcheck // a net.Conn returns what the socket did
}

func (c *gateConn) wait() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	for c.gate.cut && !c.closed {
		c.gate.changed.Wait()
	}
}

// Close keeps the socket open while the gate is cut, for a FIN would get through.
func (c *gateConn) Close() error {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	delete(c.gate.conns, c)
	c.closed = true
	c.gate.changed.Broadcast()
	if c.gate.cut {
		c.gate.late = append(c.gate.late, c.Conn)
		return nil
	}
	return c.Conn.Close() //nolint:wrapcheck // a net.Conn returns what the socket did
}
