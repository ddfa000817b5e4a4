package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// nemesis does something to the cluster now and then, by chance, and undoes it later. Several things may be wrong at once.
type nemesis struct {
	w     *world
	r     *rand.Rand // of the goroutine that chooses
	ctx   context.Context
	under sync.WaitGroup

	mu     sync.Mutex // guards what follows
	busy   map[image.BrokerID]bool
	paths  map[int]map[route]path // by fault: what it does to the network
	faults int
}

// A fault begins at once and returns what ends it; nil when there is nothing to be done at the moment.
type fault struct {
	name   string
	weight int
	begin  func(*nemesis) (end func())
}

var faults = []fault{
	{"kills", 4, (*nemesis).kill},
	{"power cuts", 4, (*nemesis).cutPower},
	{"power cuts of all", 1, (*nemesis).cutAll},
	{"orderly stops", 2, (*nemesis).stop},
	{"isolated nodes", 3, (*nemesis).isolate},
	{"one-way cuts", 3, (*nemesis).oneWay},
	{"broken links", 3, (*nemesis).breakLink},
	{"slow networks", 2, (*nemesis).slowNetwork},
	{"slow disks", 2, (*nemesis).slowDisk},
	{"hung disks", 2, (*nemesis).hangDisk},
	{"pauses", 2, (*nemesis).pause},
	{"handovers", 1, (*nemesis).handOver},
	{"snapshots", 1, (*nemesis).snapshot},
}

// run ends with ctx, when nothing is wrong any more. Between two faults there is about every.
func (n *nemesis) run(ctx context.Context, every time.Duration) {
	n.ctx = ctx
	n.busy, n.paths = map[image.BrokerID]bool{}, map[int]map[route]path{}
	for {
		select {
		case <-time.After(time.Duration(1 + n.r.Int64N(int64(2*every)))):
			n.strike()
		case <-ctx.Done():
			n.under.Wait()
			return
		}
	}
}

func (n *nemesis) strike() {
	f := n.choose()
	lasts := time.Duration(n.r.Int64N(int64([]time.Duration{time.Second, 5 * time.Second, 40 * time.Second}[n.r.IntN(3)])))
	end := f.begin(n)
	if end == nil {
		return
	}
	n.w.count(f.name)
	n.under.Go(func() {
		select {
		case <-time.After(lasts):
		case <-n.ctx.Done():
		}
		end()
	})
}

func (n *nemesis) choose() fault {
	sum := 0
	for _, f := range faults {
		sum += f.weight
	}
	at := n.r.IntN(sum)
	for _, f := range faults {
		if at -= f.weight; at < 0 {
			return f
		}
	}
	panic("the weights are not their sum")
}

// claim takes a machine for a fault of its process, so that no two do that at once.
func (n *nemesis) claim() (*machine, bool) {
	m := n.any()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy[m.id] {
		return nil, false
	}
	n.busy[m.id] = true
	return m, true
}

func (n *nemesis) letGo(m *machine) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.busy, m.id)
}

// any is a machine, often the one that leads the metadata log.
func (n *nemesis) any() *machine {
	m := n.w.machines[n.r.IntN(len(n.w.machines))]
	if node := m.node(); node != nil && n.r.IntN(3) == 0 {
		if leader := node.Meta.Leader(); leader != image.NoBroker {
			return n.w.machines[leader-1]
		}
	}
	return m
}

// ends has the process end in the background, as how does it, and another one start when the fault is over.
func (n *nemesis) ends(how func(*machine) bool) (end func()) {
	m, ok := n.claim()
	if !ok {
		return nil
	}
	done := make(chan struct{})
	n.under.Go(func() {
		defer close(done)
		how(m)
	})
	return func() {
		<-done
		m.start()
		n.letGo(m)
	}
}

func (n *nemesis) kill() func() { return n.ends((*machine).kill) }
func (n *nemesis) stop() func() { return n.ends((*machine).stop) }

func (n *nemesis) cutPower() func() {
	pick := n.pick()
	return n.ends(func(m *machine) bool { return m.cutPower(pick) })
}

func (n *nemesis) pick() vfs.Pick {
	return []vfs.Pick{vfs.Oldest, vfs.Newest, vfs.Random(n.r.Uint64())}[n.r.IntN(3)]
}

// cutAll has all machines lose their power at once.
func (n *nemesis) cutAll() func() {
	var ends []func()
	n.mu.Lock()
	free := len(n.busy) == 0
	for _, m := range n.w.machines {
		n.busy[m.id] = n.busy[m.id] || free
	}
	n.mu.Unlock()
	if !free {
		return nil
	}
	for _, m := range n.w.machines {
		pick, done := n.pick(), make(chan struct{})
		n.under.Go(func() {
			defer close(done)
			m.cutPower(pick)
		})
		ends = append(ends, func() {
			<-done
			m.start()
			n.letGo(m)
		})
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// reroute has the network be so until the fault ends.
func (n *nemesis) reroute(paths map[route]path) (end func()) {
	n.mu.Lock()
	id := n.faults
	n.faults++
	n.paths[id] = paths
	n.mu.Unlock()
	n.apply(paths)
	return func() {
		n.mu.Lock()
		delete(n.paths, id)
		n.mu.Unlock()
		n.apply(paths)
	}
}

// apply makes these paths what all faults together want them to be.
func (n *nemesis) apply(some map[route]path) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k := range some {
		var all path
		for _, of := range n.paths {
			all.cut = all.cut || of[k].cut
			all.slow = max(all.slow, of[k].slow)
		}
		n.w.net.set(k.from, k.to, all)
	}
}

// others is every node but m.
func (n *nemesis) others(m *machine, fn func(other *machine)) {
	for _, o := range n.w.machines {
		if o != m {
			fn(o)
		}
	}
}

// isolate cuts a node from the others; clients reach it.
func (n *nemesis) isolate() func() {
	paths, m := map[route]path{}, n.any()
	n.others(m, func(o *machine) {
		paths[route{m.host.addr, o.host.addr}], paths[route{o.host.addr, m.host.addr}] = path{cut: true}, path{cut: true}
	})
	return n.reroute(paths)
}

func (n *nemesis) oneWay() func() {
	paths, m, out := map[route]path{}, n.any(), n.r.IntN(2) == 0
	n.others(m, func(o *machine) {
		if k := (route{m.host.addr, o.host.addr}); out {
			paths[k] = path{cut: true}
		} else {
			paths[route{k.to, k.from}] = path{cut: true}
		}
	})
	return n.reroute(paths)
}

// breakLink has two nodes not reach each other, while all reach the rest.
func (n *nemesis) breakLink() func() {
	m := n.any()
	o := n.w.machines[(int(m.id)+n.r.IntN(len(n.w.machines)-1))%len(n.w.machines)]
	return n.reroute(map[route]path{{m.host.addr, o.host.addr}: {cut: true}, {o.host.addr, m.host.addr}: {cut: true}})
}

func (n *nemesis) slowNetwork() func() {
	paths, m, most := map[route]path{}, n.any(), time.Duration(n.r.Int64N(int64(500*time.Millisecond)))
	n.others(m, func(o *machine) {
		paths[route{m.host.addr, o.host.addr}], paths[route{o.host.addr, m.host.addr}] = path{slow: most}, path{slow: most}
	})
	return n.reroute(paths)
}

func (n *nemesis) slowDisk() func() {
	d := n.any().now()
	d.setSlow(time.Duration(n.r.Int64N(int64(400 * time.Millisecond))))
	return func() { d.setSlow(0) }
}

func (n *nemesis) hangDisk() func() {
	d := n.any().now()
	d.hang()
	return d.release
}

// pause has nothing come from a node and nothing reach it, its disk neither. Its clock goes on.
func (n *nemesis) pause() func() {
	m := n.any()
	paths := map[route]path{}
	for addr := range n.w.net.hosts {
		if addr != m.host.addr {
			paths[route{m.host.addr, addr}], paths[route{addr, m.host.addr}] = path{cut: true}, path{cut: true}
		}
	}
	d, mended := m.now(), n.reroute(paths)
	d.hang()
	return func() {
		d.release()
		mended()
	}
}

func (n *nemesis) handOver() func() {
	node := n.any().node()
	if node == nil {
		return nil
	}
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(n.ctx, time.Second)
	n.under.Go(func() {
		defer close(done)
		defer cancel()
		_ = node.Meta.Handover(ctx) // it may not succeed
	})
	return func() { <-done }
}

func (n *nemesis) snapshot() func() {
	node := n.any().node()
	if node == nil {
		return nil
	}
	done := make(chan struct{})
	n.under.Go(func() {
		defer close(done)
		_ = node.Meta.Snapshot() // there may be nothing new
	})
	return func() { <-done }
}
