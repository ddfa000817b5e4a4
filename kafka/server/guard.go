package server

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
)

// reservedFiles stay for the log, segments and peers when clients open all the connections that they may.
const reservedFiles = 512

// guard counts connections and says which are too many.
type guard struct {
	max, perIP int
	logged     atomic.Int64 // when a refusal was logged last

	mu    sync.Mutex
	total int                // guarded by mu
	ips   map[netip.Addr]int // guarded by mu
}

// newGuard allows max connections, but never so many that no files are left for the rest of the process; 0 is as many
// as that.
func newGuard(max, perIP int) *guard {
	if files := openFiles(); files > 0 {
		spare := files/2 + files/4
		if files > 4*reservedFiles {
			spare = files - reservedFiles
		}
		if max == 0 || max > spare {
			max = spare
		}
	}
	return &guard{max: max, perIP: perIP, ips: map[netip.Addr]int{}}
}

// enter counts a connection, or says why it must not be: "" is yes.
func (g *guard) enter(ip netip.Addr) (why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.max > 0 && g.total >= g.max {
		return fmt.Sprintf("there are %d connections already", g.total)
	}
	if g.perIP > 0 && g.ips[ip] >= g.perIP {
		return fmt.Sprintf("there are %d connections from that address already", g.ips[ip])
	}
	g.total++
	g.ips[ip]++
	return ""
}

func (g *guard) leave(ip netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.ips[ip]--; g.ips[ip] == 0 {
		delete(g.ips, ip)
	}
}
