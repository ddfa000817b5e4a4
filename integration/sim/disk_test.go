package sim

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"chronik/wal/vfs"
)

// disk is a machine's, with the time that it takes. What a process does to it after the machine has lost its power, or the
// process was killed, is not on the disk that the next one finds.
type disk struct {
	mem *vfs.Mem
	fs  *vfs.Fault

	mu   sync.Mutex // guards what follows
	r    *rand.Rand
	slow time.Duration // of a sync, at most, beyond what is usual
	hung chan struct{} // nil, or closed when it works again
	had  bool          // it has hung
}

// usualSync is how long a sync takes, at most.
const usualSync = 2 * time.Millisecond

func newDisk(seed uint64) *disk { return diskOf(vfs.NewMem(), rand.New(rand.NewPCG(seed, 3))) }

func diskOf(mem *vfs.Mem, r *rand.Rand) *disk {
	d := &disk{mem: mem, fs: vfs.NewFault(mem), r: r}
	d.fs.Script(d.takes)
	return d
}

// takes has the operation take its time. Only the writes of the log's groups do: other operations are made with a mutex
// held, and in a bubble time stands still while anyone waits for a mutex.
func (d *disk) takes(op vfs.Op) vfs.Outcome {
	if op.Kind != vfs.OpWriteSync || op.Off == 0 || !strings.HasPrefix(op.Name, "wal/") {
		return vfs.Outcome{}
	}
	d.mu.Lock()
	hung, wait := d.hung, time.Duration(1+d.r.Int64N(int64(usualSync)))
	if d.slow > 0 {
		wait += time.Duration(d.r.Int64N(int64(d.slow)))
	}
	d.mu.Unlock()
	<-time.After(wait)
	return vfs.Outcome{Until: hung}
}

func (d *disk) setSlow(most time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = most
}

func (d *disk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.had = true
	if d.hung == nil {
		d.hung = make(chan struct{})
	}
}

func (d *disk) hasHung() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.had
}

func (d *disk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hung != nil {
		close(d.hung)
		d.hung = nil
	}
}

// killed is what the next process finds when this one is killed now.
func (d *disk) killed() *disk { return d.succeed(d.mem.Kill()) }

// crashed is what is there after a power cut now.
func (d *disk) crashed(pick vfs.Pick) *disk { return d.succeed(d.mem.Crash(pick)) }

func (d *disk) succeed(left *vfs.Mem) *disk {
	d.release() // who waits goes on, to where nobody looks
	d.mu.Lock()
	defer d.mu.Unlock()
	return diskOf(left, rand.New(rand.NewPCG(d.r.Uint64(), 3)))
}
