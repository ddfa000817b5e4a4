package server

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// nearBuffer is what a near peer's socket holds of what is sent; the kernel takes as much again for its own needs. Over such a
// trip it is gigabytes a second. The system would give megabytes, which leave the processor's cache between one side's
// copy and the other's. net.core.wmem_max bounds it too, which older kernels have at 208 KiB: 416 KiB in all then, not 800,000 bytes.
const nearBuffer = 400_000

// boundBuffer gives a connection whose round trip is less than near a send buffer of the size that it needs. Where the trip is longer
// or not known the system goes on to size it.
func boundBuffer(tcp *net.TCPConn, near time.Duration) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// An error is one of a connection that is gone, which sending finds out.
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && isLess(info.Min_rtt, near) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, nearBuffer)
		}
	})
}

// isLess takes the kernel's least round trip in microseconds, of which 0 and the greatest value mean that there was none.
func isLess(trip uint32, near time.Duration) bool {
	return trip > 0 && time.Duration(trip)*time.Microsecond < near
}
