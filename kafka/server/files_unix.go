//go:build unix

package server

import (
	"net"

	"golang.org/x/sys/unix"
)

// openFiles is how many files this process may have open, 0 when that is not known.
func openFiles() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}

// hungUp says whether the peer is known to have closed the connection, also when there are bytes of it to be read.
func hungUp(nc net.Conn) (gone bool) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: closedByPeer}}
		n, err := unix.Poll(p, 0)
		gone = n > 0 && err == nil
	})
	return gone || err != nil
}
