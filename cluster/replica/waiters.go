package replica

import (
	"slices"
	"sync"
)

// Waiter is a fetch that waits on several partitions. Wake is called, possibly often and from a committing goroutine,
// when one of them has new records below its mark, lost its leader or was deleted: it must not block, nor call the
// partition.
type Waiter interface{ Wake() }

// waiters are those of one partition.
type waiters struct {
	mu  sync.Mutex
	all []Waiter // in no order
}

// Await registers w until Forget. Every Await needs its Forget. Look at the partition after Await: what came before it
// wakes nobody.
func (p *Partition) Await(w Waiter) {
	p.waiting.mu.Lock()
	defer p.waiting.mu.Unlock()
	p.waiting.all = append(p.waiting.all, w)
}

// Forget ends one Await of w.
func (p *Partition) Forget(w Waiter) {
	p.waiting.mu.Lock()
	defer p.waiting.mu.Unlock()
	all := p.waiting.all
	if i := slices.Index(all, w); i >= 0 {
		last := len(all) - 1
		all[i], all[last] = all[last], nil
		p.waiting.all = all[:last]
	}
}

func (ws *waiters) wake() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.all {
		w.Wake()
	}
}
