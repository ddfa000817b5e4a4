package partlog

import (
	"chronik/kafka/batch"
	"chronik/wal/arena"
)

// sendfileFrom is the size from which an entry that is no more in memory is sent from its file. Smaller ones are read
// into a buffer together: a system call for each, and each checked every time, costs less than an extent for each.
const sendfileFrom = 64 << 10

// coldBuffer is how much small entries share a buffer.
const coldBuffer = 256 << 10

// cold is the memory of one Read for entries that come from a file. The zero cold is ready.
type cold struct {
	buf  *arena.Buf
	used int
}

// read fills memory with the file's bytes that x stands for; take makes them an extent.
func (c *cold) read(pool *arena.Pool, x *batch.Extent) ([]byte, error) {
	n := int(x.Len)
	if c.buf == nil || len(c.buf.Bytes())-c.used < n {
		c.release()
		c.buf, c.used = pool.Overdraw(max(n, coldBuffer)), 0
	}
	data := c.buf.Bytes()[c.used : c.used+n]
	_, err := x.File.ReadAt(data, x.Off)
	return data, err
}

// take returns the extent of what read returned last, in place of x.
func (c *cold) take(x *batch.Extent, data []byte) batch.Extent {
	x.Release()
	c.used += len(data)
	c.buf.Retain()
	return batch.Extent{Mem: data, Ref: c.buf}
}

// joins makes x part of before when x's bytes follow before's in the buffer.
func (c *cold) joins(before, x *batch.Extent) bool {
	if c.buf == nil || before.Ref != batch.Ref(c.buf) || x.Ref != batch.Ref(c.buf) {
		return false
	}
	all := c.buf.Bytes()
	middle := c.used - len(x.Mem)
	begin := middle - len(before.Mem)
	if begin < 0 || &all[begin] != &before.Mem[0] || &all[middle] != &x.Mem[0] {
		return false
	}
	before.Mem = all[begin:c.used]
	return true
}

func (c *cold) release() {
	if c.buf != nil {
		c.buf.Release()
		c.buf = nil
	}
}
