//go:build amd64 || arm64

package wire

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen returns a listener that answers by itself what Config says, and hands everything else to
// whoever calls Accept. It owns inner from then on, and closes it if it fails. What is not a TCP listener is
// returned as it is.
func Listen(inner net.Listener, c Config) (net.Listener, error) {
	tcp, ok := inner.(*net.TCPListener)
	if !ok {
		return inner, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reaching the listening socket: %w", err), inner.Close())
	}
	f := newFront(inner, c)
	var loops []*loop
	var loopErr error
	// The descriptor stays valid outside of Control, because only Close closes the listener, and it
	// waits for the loops.
	err = raw.Control(func(fd uintptr) {
		if loopErr = inherit(int(fd)); loopErr != nil {
			return
		}
		for range f.config.Loops {
			l, err := newLoop(f, int(fd))
			if err != nil {
				loopErr = err
				return
			}
			loops = append(loops, l)
		}
	})
	if err := errors.Join(err, loopErr); err != nil {
		for _, l := range loops {
			_ = l.poll.Close()
		}
		return nil, errors.Join(fmt.Errorf("watching the listening socket: %w", err), inner.Close())
	}
	for _, l := range loops {
		f.wake = append(f.wake, l.wake)
		f.running.Go(l.run)
	}
	return f, nil
}

// inherit sets options of the listening socket. Its connections have the first from it, as net would give
// it to them: what is written is sent at once. With the second a connection wakes nobody before it has sent
// something, or a second has passed. Connections of peers that are gone end with Config.Idle.
func inherit(fd int) error {
	for _, o := range [...]struct{ name, value int }{
		{syscall.TCP_NODELAY, 1},
		{syscall.TCP_DEFER_ACCEPT, 1},
	} {
		if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, o.name, o.value); err != nil {
			return fmt.Errorf("setting socket option %d: %w", o.name, err)
		}
	}
	return nil
}
