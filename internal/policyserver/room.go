package policyserver

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver/crowd"
)

// What is reckoned to be taken by what net/http keeps. Measured in a control group, which counts the kernel's
// sockets too, were 25 KB for each of a thousand idle connections of HTTP/1.1 and 39 KB for HTTP/2; 24 bytes
// for each byte of a header of many short fields that does not end; and for a request of HTTP/2 whose answer nobody
// takes 13 KB, or 57 KB if it has a header of 300 fields, with 500 at most.
const (
	connectionBytes = 48 << 10
	headerFactor    = 24
	freeHeaderBytes = 1 << 10 // are in connectionBytes
	streamBytes     = 96 << 10
)

// HeapPercent is how much of the memory limit the garbage collector may let the heap take. The rest is for the
// kernel's part of connections: 25 KB for one whose client does not read, 2 048 of them and more.
const HeapPercent = 65

// rooms are the memory that connections may take, in bytes: those that package wire answers, those that
// net/http has, and those of the admin listener. None takes the room of another, so that strangers neither
// keep senders from being answered nor the kubelet.
type rooms struct {
	usual, general, admin int64
}

// roomsWithin shares out not quite half of the memory limit; 0 stands for that of the chart. The rest is for policies,
// for garbage, and for what clients do not read. With 128 MiB that is 2 048 connections that package wire answers, 853
// of net/http, and 85 on the admin listener.
func roomsWithin(limit int64) rooms {
	if limit <= 0 {
		limit = 128 << 20
	}
	return rooms{usual: limit / 8, general: limit * 5 / 16, admin: limit / 32}
}

// Buffers of the kernel for one connection, half of what it takes at most. A policy is small, and so is a request.
// The answer to /instances is up to 1 MB, but few ask.
const (
	receiveBuffer   = 16 << 10
	sendBuffer      = 8 << 10
	adminSendBuffer = 32 << 10
)

// guarded is a listener whose connections are in a crowd.
type guarded struct {
	net.Listener

	crowd       *crowd.Crowd
	headerBytes int64
}

// Accept turns connections away for which there is no room: all others are being answered then.
func (l *guarded) Accept() (net.Conn, error) {
	for {
		l.crowd.Settle()
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // http.Server looks at it
		}
		g := &guest{Conn: conn, crowd: l.crowd, headerBytes: l.headerBytes}
		g.Idle(l.crowd.Now())
		if l.crowd.Join(&g.Member, g, connectionBytes) {
			return g, nil
		}
		_ = conn.Close()
	}
}

// guest is a connection in a crowd.
type guest struct {
	net.Conn
	crowd.Member

	crowd       *crowd.Crowd
	headerBytes int64
	read        atomic.Int64 // since the last answer
}

var errNoRoom = errors.New("no room for what the client sends")

// Read makes room for the header of a request before net/http keeps it: it consists of maps and strings that
// take many times what was sent, and a client may withhold its end.
func (g *guest) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if before := g.read.Load(); n > 0 && g.Since() >= 0 && before < g.headerBytes {
		now := min(before+int64(n), g.headerBytes)
		g.read.Store(now)
		if !g.crowd.Resize(&g.Member, connectionBytes+headerFactor*max(now-freeHeaderBytes, 0)) {
			return 0, errNoRoom
		}
	}
	return n, err //nolint:wrapcheck // net/http looks at it
}

// Close gives the room back.
func (g *guest) Close() error {
	g.crowd.Leave(&g.Member)
	return g.Conn.Close() //nolint:wrapcheck // net/http looks at it
}

// CloseWrite is for clients that are still sending when they are answered for the last time.
func (g *guest) CloseWrite() error {
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite() //nolint:wrapcheck // net/http looks at it
	}
	return errors.ErrUnsupported
}

// End is called for the one that is idle longest.
func (g *guest) End() bool {
	_ = g.Conn.Close()
	return true
}

// follow tells the crowd what net/http is doing for a connection. Until its first request is complete one is
// as idle as between two: whoever sends byte by byte goes first.
func follow(conn net.Conn, state http.ConnState) {
	g, ok := conn.(*guest)
	if !ok {
		return
	}
	switch state {
	case http.StateActive:
		g.Busy()
	case http.StateIdle:
		g.read.Store(0)
		g.crowd.Resize(&g.Member, connectionBytes)
		g.Idle(g.crowd.Now())
	case http.StateNew, http.StateHijacked, http.StateClosed:
	}
}

// roomForStreams counts requests of HTTP/2, of which one connection has many: each is kept until its client takes the
// answer. Those for which there is no room are reset.
func roomForStreams(c *crowd.Crowd, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			next.ServeHTTP(w, r)
			return
		}
		var m crowd.Member
		m.Busy()
		if !c.Join(&m, nil, streamBytes) {
			panic(http.ErrAbortHandler)
		}
		defer c.Leave(&m)
		next.ServeHTTP(w, r)
		_ = http.NewResponseController(w).Flush() // else it would wait where nobody counts it
	})
}
