package server

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
)

// reservedFiles stay when clients open all the connections that they may: for 512 segments that are read, three times 32 that are
// being cut, with up to three files each, a write-ahead log of twice 8 GiB, with two for each of its files, and peers.
const reservedFiles = 1536

// guard counts connections and says which are too many.
type guard struct {
	limits func() Limits
	files  int          // connections that leave enough files for the rest of the process
	logged atomic.Int64 // when a refusal was logged last
	open   atomic.Int64 // total, for who must not wait

	mu    sync.Mutex
	total int                // guarded by mu
	ips   map[netip.Addr]int // guarded by mu
}

func newGuard(limits func() Limits) *guard {
	if limits == nil {
		limits = func() Limits { return Limits{math.MaxInt, math.MaxInt} }
	}
	return &guard{limits: limits, files: spareFiles(openFiles()), ips: map[netip.Addr]int{}}
}

// spareFiles is how many of that many files are for connections; 0 is an unknown number.
func spareFiles(files int) int {
	switch {
	case files == 0:
		return math.MaxInt
	case files > 4*reservedFiles:
		return files - reservedFiles
	}
	return files / 2
}

// FewFiles says what is wrong with the limit of open files of this process, where it leaves too few for the log and its segments
// beside connections; "" is nothing. One that cannot be opened then ends the node.
func FewFiles() string { return fewFiles(openFiles()) }

func fewFiles(files int) string {
	if files == 0 || files-spareFiles(files) >= reservedFiles {
		return ""
	}
	return fmt.Sprintf("this process may have %d files open, half of them connections; a large write-ahead log and its segments may need %d beside these, "+
		"and one that cannot be opened ends the process: raise the hard limit (ulimit -Hn, LimitNOFILE) to %d or more, or set wal-size to less",
		files, reservedFiles, 2*reservedFiles)
}

// enter counts a connection, or says why it must not be: "" is yes.
func (g *guard) enter(ip netip.Addr) (why string) {
	limits := g.limits()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= min(limits.Connections, g.files) {
		return fmt.Sprintf("there are %d connections already", g.total)
	}
	if g.ips[ip] >= limits.ConnectionsPerIP {
		return fmt.Sprintf("there are %d connections from that address already", g.ips[ip])
	}
	g.total++
	g.open.Store(int64(g.total))
	g.ips[ip]++
	return ""
}

func (g *guard) leave(ip netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	g.open.Store(int64(g.total))
	if g.ips[ip]--; g.ips[ip] == 0 {
		delete(g.ips, ip)
	}
}
