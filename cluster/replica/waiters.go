package replica

import (
	"slices"
	"sync"
)

// Waiter is a fetch that waits on several partitions. Wake is called, possibly often and from a committing goroutine,
// when one of them has new records below its mark, lost its leader or was deleted: it must not block, nor call the
// partition, nor a Feed.
type Waiter interface{ Wake() }

// waiters are those of one partition.
type waiters struct {
	mu  sync.Mutex
	all []Waiter // in no order
}

// Await registers w until Forget. Every Await needs its Forget. Look at the partition after Await: what came before it
// wakes nobody.
func (p *Partition) Await(w Waiter) { p.waiting.add(w) }

// Forget ends one Await of w.
func (p *Partition) Forget(w Waiter) { p.waiting.remove(w) }

func (ws *waiters) add(w Waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.all = append(ws.all, w)
}

func (ws *waiters) remove(w Waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	all := ws.all
	if i := slices.Index(all, w); i >= 0 {
		last := len(all) - 1
		all[i], all[last] = all[last], nil
		ws.all = all[:last]
	}
}

func (ws *waiters) wake() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.all {
		w.Wake()
	}
}
