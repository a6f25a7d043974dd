//go:build amd64 || arm64

package wire

import (
	"bytes"
	"net"
	"os"
	"syscall"

	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver/crowd"
)

// flushBytes is how much of pipelined answers is collected before it is sent.
const flushBytes = 64 << 10

// connection is what a loop knows of one connection. They stand in a slice, by descriptor, and serve one after
// the other.
type connection struct {
	crowd.Member // idle since the last activity; in no crowd if closed

	fd    int
	state state
}

// End is called by any loop. The one that the connection belongs to sees its end arrive, and closes it.
func (c *connection) End() bool {
	if arrived(c.fd) {
		return false
	}
	_ = syscall.Shutdown(c.fd, syscall.SHUT_RDWR)
	return true
}

type state uint8

const (
	closed  state = iota // or not ours
	silent               // no request yet
	waiting              // for the next request
)

// serve answers what has arrived on a connection.
func (l *loop) serve(c *connection) {
	n, err := receive(c.fd, l.in)
	switch {
	case err == syscall.EAGAIN, err == syscall.EINTR:
	case err != 0, n == 0:
		l.close(c) // by the client, or broken
	default:
		l.answer(c, l.in[:n])
	}
}

// answer answers all requests in data and hands over what it does not know.
func (l *loop) answer(c *connection, data []byte) {
	out := l.out[:0]
	for len(data) > 0 {
		r, size := parse(data, l.front.config.Path)
		if size == 0 || r.Close && size < len(data) {
			l.handOver(c, out, data, false)
			return
		}
		r.Date = l.date
		r.Close = r.Close || l.front.config.Draining.Load()
		out = l.front.config.Answer(out, r)
		l.out = out
		data = data[size:]
		if len(data) > 0 && !r.Close && len(out) < flushBytes {
			continue
		}
		n, err := send(c.fd, out, r.Close)
		switch {
		case err == 0 && n == len(out):
		case err == 0, err == syscall.EAGAIN, err == syscall.EINTR:
			l.handOver(c, out[max(n, 0):], data, r.Close)
			return
		default:
			l.close(c)
			return
		}
		if r.Close {
			l.close(c)
			return
		}
		out = out[:0]
	}
	c.state = waiting
	c.Idle(l.now)
}

func (l *loop) close(c *connection) {
	c.state = closed
	l.front.config.Crowd.Leave(&c.Member) // first, because it may be ended from elsewhere as long as it is there
	_ = syscall.Close(c.fd)               // ends the watching, too
}

// handOver leaves a connection to net/http: what it is owed, what was read from it, and whether it ends then.
func (l *loop) handOver(c *connection, owed, read []byte, last bool) {
	c.state = closed
	l.front.config.Crowd.Leave(&c.Member)
	// One that was just accepted is not watched yet, and removing it fails.
	_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil)
	file := os.NewFile(uintptr(c.fd), "connection")
	conn, err := net.FileConn(file)
	_ = file.Close() // conn has a descriptor of its own
	if err != nil {
		return // and the client sees its connection closed
	}
	go l.front.handOver(conn, bytes.Clone(owed), bytes.Clone(read), last)
}
