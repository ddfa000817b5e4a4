// Package ports finds ports for servers that tests and benchmarks start.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

var claims sync.Map // port to net.Listener, which would be closed if nobody knew of it

// Take is a free port outside of the range that the system takes ports of outgoing connections from (ip_local_port_range): a
// client that looks for a stopped server on a port of that range can end up connected to itself, or have it when the server is
// to start. Until giveBack is called or the process ends it is nobody else's who asks here, in this process or another, also
// while nothing listens on it.
func Take() (port int, giveBack func() error, err error) {
	for range 100 {
		port := 10000 + rand.IntN(20000)
		claim, err := net.Listen("unix", fmt.Sprintf("@chronik-test-port-%d", port)) // of the abstract names, which end with who has them
		if err != nil {
			continue
		}
		socket, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			claims.Store(port, claim)
			return port, func() error { claims.Delete(port); return claim.Close() }, socket.Close()
		}
		_ = claim.Close()
	}
	return 0, nil, errors.New("no free port")
}
