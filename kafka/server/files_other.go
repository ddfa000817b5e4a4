//go:build !unix

package server

import "net"

// openFiles is how many files this process may have open, 0 when that is not known.
func openFiles() int { return 0 }

// hungUp says whether the peer is known to have closed the connection; here nobody knows.
func hungUp(net.Conn) bool { return false }
