package vfs

import "sync"

// Watch knows which operations that somebody waits for are under way on a disk: one that does not answer shows by nothing
// else. A nil Watch watches nothing. It has no clock: whoever looks at it does.
type Watch struct {
	mu      sync.Mutex // guards what follows
	begun   uint64
	running []Operation // oldest first
}

// Operation is one that is under way.
type Operation struct {
	ID   uint64 // counted from 1 on
	Op   string // what it does, "write"
	Dir  string // in the data directory, and
	Name string // of a file in it, if it is about one
}

// Begin notes that an operation begins. End takes what it returns.
func (w *Watch) Begin(op, dir, name string) (id uint64) {
	if w == nil {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun++
	w.running = append(w.running, Operation{w.begun, op, dir, name})
	return w.begun
}

// End notes that it has ended.
func (w *Watch) End(id uint64) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.running {
		if w.running[i].ID == id {
			w.running = append(w.running[:i], w.running[i+1:]...)
			return
		}
	}
}

// Oldest is the operation that has been under way for longest; false when there is none.
func (w *Watch) Oldest() (Operation, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.running) == 0 {
		return Operation{}, false
	}
	return w.running[0], true
}
