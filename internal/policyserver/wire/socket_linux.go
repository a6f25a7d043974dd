//go:build amd64 || arm64

package wire

import (
	"syscall"
	"unsafe"
)

// The calls below never wait, because the sockets do not block, so they do without telling the
// scheduler. They are what package syscall does, without the path through the file system, without an
// address that nobody reads, and without a signal for a client that has gone.

// accept returns a connection that does not block, and EAGAIN if there is none.
func accept(listener int) (int, syscall.Errno) {
	fd, _, err := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(listener), 0, 0,
		syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	return int(fd), err
}

// receive reads what has arrived into b, which is not empty.
func receive(fd int, b []byte) (int, syscall.Errno) {
	n, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0) //nolint:gosec // the kernel writes into b, and keeps nothing
	return int(n), err
}

// send writes as much of b, which is not empty, as fits. With more set it waits for what follows, at the
// latest until the connection is closed: the end of the stream then travels in the same packet.
func send(fd int, b []byte, more bool) (int, syscall.Errno) {
	const msgMore = 0x8000 // MSG_MORE, which package syscall does not name
	flags := syscall.MSG_NOSIGNAL
	if more {
		flags |= msgMore
	}
	n, _, err := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(flags), 0, 0) //nolint:gosec // the kernel reads b, and keeps nothing
	return int(n), err
}

// arrived tells whether there is something to receive, the end included.
func arrived(fd int) bool {
	var b [1]byte
	_, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1, //nolint:gosec // likewise
		syscall.MSG_PEEK, 0, 0)
	return err == 0
}
