//go:build amd64 || arm64

package wire

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"time"
)

const (
	// readBytes is more than any request of a proxy that can be answered here.
	readBytes = 16 << 10
	// acceptAtOnce is how many connections are accepted before others get their turn.
	acceptAtOnce = 64
	// yieldAfter is after how many rounds without a pause other goroutines get theirs.
	yieldAfter = 16
	// epollExclusive wakes one of several loops for a new connection.
	epollExclusive = 1 << 28
)

// loop answers connections that it accepts itself. All its fields belong to the goroutine in run.
type loop struct {
	front    *front
	listener int

	// poll is an epoll descriptor that the runtime watches in turn, so that a loop that waits is a
	// parked goroutine and holds no thread.
	poll   *os.File
	epoll  int
	raw    syscall.RawConn
	gather func(uintptr) bool // fills events; made once

	events []syscall.EpollEvent
	ready  int
	err    error

	connections []*connection
	in, out     []byte

	started   time.Time
	now       time.Duration // after started
	nextSweep time.Duration
	second    time.Duration
	date      []byte
}

func newLoop(f *front, listener int) (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating an epoll descriptor: %w", err)
	}
	if err := syscall.SetNonblock(epoll, true); err != nil { // else os would not let the runtime watch it
		return nil, errors.Join(fmt.Errorf("preparing an epoll descriptor: %w", err), syscall.Close(epoll))
	}
	l := &loop{
		front: f, listener: listener, epoll: epoll, poll: os.NewFile(uintptr(epoll), "epoll"),
		events: make([]syscall.EpollEvent, 256), in: make([]byte, readBytes), started: f.config.Crowd.Started(), second: -1,
	}
	l.gather = func(uintptr) bool {
		l.ready, l.err = syscall.EpollWait(l.epoll, l.events, 0)
		return l.ready != 0 || l.err != nil
	}
	if l.raw, err = l.poll.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watching an epoll descriptor: %w", err), l.poll.Close())
	}
	l.tick()
	if err := l.sweepLater(); err != nil { // fails if the runtime does not watch it
		return nil, errors.Join(err, l.poll.Close())
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | epollExclusive, Fd: int32(listener)} //nolint:gosec // a descriptor
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, listener, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for connections: %w", err), l.poll.Close())
	}
	return l, nil
}

// wake ends the wait of a loop, from any goroutine.
func (l *loop) wake() { _ = l.poll.SetReadDeadline(time.Now()) }

// run works until the listener closes.
func (l *loop) run() {
	for round := 0; !l.front.closing.Load(); round++ {
		l.ready, l.err = 0, nil
		err := l.raw.Read(l.gather)
		l.tick()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(l.err, syscall.EINTR):
		case err != nil, l.err != nil:
			l.front.failed <- fmt.Errorf("waiting for requests: %w", errors.Join(err, l.err))
			l.finish()
			return
		}
		for _, e := range l.events[:max(l.ready, 0)] {
			if fd := int(e.Fd); fd == l.listener {
				l.admit()
			} else {
				l.serve(l.connections[fd])
			}
		}
		if l.now >= l.nextSweep {
			l.sweep()
			if err := l.sweepLater(); err != nil {
				l.front.failed <- err
				l.finish()
				return
			}
		}
		if round%yieldAfter == 0 {
			runtime.Gosched()
		}
	}
	l.finish()
}

// tick reads the clock, once for all that arrived together.
func (l *loop) tick() {
	l.now = time.Since(l.started)
	now := l.started.Add(l.now)
	if second := time.Duration(now.Unix()); second != l.second {
		l.second = second
		l.date = now.UTC().AppendFormat(l.date[:0], http.TimeFormat)
	}
}

// sweepLater sets when silent connections are looked for again.
func (l *loop) sweepLater() error {
	interval := min(max(l.front.config.First/4, 10*time.Millisecond), time.Second)
	l.nextSweep = l.now + interval
	if err := l.poll.SetReadDeadline(l.started.Add(l.nextSweep)); err != nil {
		return fmt.Errorf("setting when to look for silent connections: %w", err)
	}
	if l.front.closing.Load() { // its wake may have come right before
		l.wake()
	}
	return nil
}

// sweep closes connections that were silent for too long.
func (l *loop) sweep() {
	for _, c := range l.connections {
		if c == nil {
			continue
		}
		quiet := l.now - c.Since()
		if c.state == silent && quiet > l.front.config.First || c.state == waiting && quiet > l.front.config.Idle {
			l.close(c)
		}
	}
}

// admit takes what has connected. The first request is often there already, and then it needs no event.
func (l *loop) admit() {
	for range acceptAtOnce {
		fd, err := accept(l.listener)
		switch err {
		case 0:
		case syscall.EAGAIN:
			return
		case syscall.EINTR, syscall.ECONNABORTED:
			continue
		default:
			// Out of descriptors or memory: the connection stays in the queue, and the event comes again.
			time.Sleep(5 * time.Millisecond)
			return
		}
		c := l.connection(fd)
		c.state = silent
		c.Idle(l.now)
		if !l.front.config.Crowd.Join(&c.Member, c, connectionBytes) {
			l.close(c)
			continue
		}
		l.serve(c)
		if c.state == closed {
			continue
		}
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)} //nolint:gosec // a descriptor
		if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
			l.close(c)
		}
	}
}

// connection returns what stands for a descriptor.
func (l *loop) connection(fd int) *connection {
	for fd >= len(l.connections) {
		l.connections = append(l.connections, nil)
	}
	if l.connections[fd] == nil {
		l.connections[fd] = &connection{fd: fd}
	}
	return l.connections[fd]
}

// finish answers what has arrived by now, and closes all connections.
func (l *loop) finish() {
	l.tick()
	for _, c := range l.connections {
		if c == nil || c.state == closed {
			continue
		}
		l.serve(c)
		if c.state != closed {
			l.close(c)
		}
	}
	_ = l.poll.Close()
}
