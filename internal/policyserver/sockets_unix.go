//go:build unix

package policyserver

import (
	"fmt"
	"net"
	"syscall"
)

// boundBuffers bounds what the kernel keeps for each connection of l: without that it is up to 4 MB of answers that
// a client asks for and does not read. Connections have the sizes from their listener; the kernel doubles them.
func boundBuffers(l net.Listener, send int) error {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("reaching the listening socket: %w", err)
	}
	var setErr error
	err = raw.Control(func(fd uintptr) {
		if setErr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, send); setErr == nil {
			setErr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
		}
	})
	if err == nil {
		err = setErr
	}
	if err != nil {
		return fmt.Errorf("bounding the buffers of connections: %w", err)
	}
	return nil
}
