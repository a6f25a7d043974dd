package wire

import (
	"cmp"
	"errors"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver/crowd"
)

// Config says what a Listener answers, and how long it waits.
type Config struct {
	// Path is the only path that is answered.
	Path string
	// Answer appends the whole response to a request to b. It is called by several goroutines.
	Answer func(b []byte, r Request) []byte
	// Draining, once set, makes every answer the last one of its connection.
	Draining *atomic.Bool
	// First is how long a connection may stay silent before its first request, Idle between two, and
	// Write how long a client may take to accept an answer.
	First, Idle, Write time.Duration
	// Crowd bounds the connections that are answered here, and Handed those that Accept has not returned
	// yet, with what they are owed. Nil sets no bound.
	Crowd, Handed *crowd.Crowd
	// Loops is how many connections may be worked on at the same time: 1 if less.
	Loops int
}

// front is a Listener in front of another one. Accept returns what is left to its caller.
type front struct {
	inner  net.Listener
	config Config

	handed  chan net.Conn
	failed  chan error
	closing atomic.Bool
	closed  chan struct{}
	once    sync.Once
	running sync.WaitGroup
	wake    []func()
}

func newFront(inner net.Listener, c Config) *front {
	c.Loops = max(c.Loops, 1)
	c.Crowd = cmp.Or(c.Crowd, crowd.New(math.MaxInt64))
	c.Handed = cmp.Or(c.Handed, crowd.New(math.MaxInt64))
	return &front{
		inner: inner, config: c,
		handed: make(chan net.Conn), failed: make(chan error, c.Loops), closed: make(chan struct{}),
	}
}

func (f *front) Addr() net.Addr { return f.inner.Addr() }

// Accept returns the next connection that is not, or no longer, ours to answer.
func (f *front) Accept() (net.Conn, error) {
	select {
	case conn := <-f.handed:
		return conn, nil
	case err := <-f.failed:
		return nil, err
	case <-f.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: f.Addr(), Err: net.ErrClosed}
	}
}

// Close stops accepting, answers what has arrived, and closes every connection that was not handed over.
func (f *front) Close() error {
	err := net.ErrClosed
	f.once.Do(func() {
		f.closing.Store(true)
		for _, wake := range f.wake {
			wake()
		}
		f.running.Wait()
		close(f.closed)
		err = f.inner.Close()
	})
	return err
}

// connectionBytes is what a connection that is answered here takes of a Crowd's room. For each of a thousand idle
// ones 3.9 KB were measured, nearly all of it the kernel's; the rest is for answers that a client is slow to read.
const connectionBytes = 8 << 10

// handedBytes is what a connection takes until Accept has returned it, besides what it is owed: a goroutine.
const handedBytes = 16 << 10

// handOver sends what a connection is still owed, and then leaves it to Accept, with what was read from it.
func (f *front) handOver(conn net.Conn, owed, read []byte, last bool) {
	var m crowd.Member
	m.Busy()
	if !f.config.Handed.Join(&m, nil, handedBytes+int64(cap(owed)+cap(read))) {
		_ = conn.Close()
		return
	}
	defer f.config.Handed.Leave(&m)
	if len(owed) > 0 {
		err := conn.SetWriteDeadline(time.Now().Add(f.config.Write))
		if err == nil {
			_, err = conn.Write(owed)
		}
		if err == nil {
			err = conn.SetWriteDeadline(time.Time{})
		}
		if err != nil || last {
			_ = conn.Close()
			return
		}
	}
	select {
	case f.handed <- &replayed{Conn: conn, read: read}:
	case <-f.closed:
		_ = conn.Close()
	}
}

// replayed is a connection from which something was read already.
type replayed struct {
	net.Conn

	read []byte
}

func (c *replayed) Read(p []byte) (int, error) {
	if len(c.read) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.read)
	if c.read = c.read[n:]; len(c.read) == 0 {
		c.read = nil // the connection may live for long
	}
	return n, nil
}

// CloseWrite lets a server tell its client that nothing more will come, and still read.
func (c *replayed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
