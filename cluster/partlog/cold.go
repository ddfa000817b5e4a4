package partlog

import (
	"errors"
	"os"

	"chronik/kafka/batch"
	"chronik/wal/arena"
)

const (
	// sendfileFrom is the size from which an entry that is no more in memory is sent from its file. Smaller ones are
	// read into a buffer together, and checked every time: that costs less than a system call for each to send it.
	sendfileFrom = 16 << 10
	// coldBuffer is how much small entries share a buffer, and how much is read from the file in one go.
	coldBuffer = 256 << 10
	// nearby is how far apart small entries may lie in the file and still be read in one go: reading the bytes between
	// costs less than another system call, and they are probably read ahead anyway.
	nearby = 64 << 10
)

// cold is the memory of one Read for entries that come from a file. The zero cold is ready.
type cold struct {
	all    bool // the entries ahead of each call of read are all that will be read
	modest bool // read gives up with errScarce when there is little memory

	buf  *arena.Buf // what becomes extents: small entries, one behind the other
	used int

	window *arena.Buf // size bytes of file, from the log's position pos on
	file   *os.File
	pos    int64
	size   int64
}

// errScarce says that readers hold far more memory than there should be.
var errScarce = errors.New("partlog: memory is scarce")

// read fills memory with the file's bytes that x stands for; take makes them an extent. x is the first of the entries
// ahead, the others are going to be read after it. (They are not kept here: that would move each Read to the heap.)
func (c *cold) read(pool *arena.Pool, x *batch.Extent, ahead []located) ([]byte, error) {
	if c.modest && scarce(pool) {
		return nil, errScarce
	}
	data := c.room(pool, int(x.Len), ahead)
	if c.has(x, ahead[0].pos) || c.look(pool, x, ahead) {
		copy(data, c.window.Bytes()[ahead[0].pos-c.pos:])
		return data, nil
	}
	_, err := x.File.ReadAt(data, x.Off)
	return data, err
}

// alone is read for bytes that nothing near them is read after.
func (c *cold) alone(pool *arena.Pool, x *batch.Extent) ([]byte, error) {
	data := c.room(pool, int(x.Len), nil)
	_, err := x.File.ReadAt(data, x.Off)
	return data, err
}

// scarce says that far more memory is in use than there should be. The memory tail is given up long before that, so it is
// slow readers who hold it.
func scarce(pool *arena.Pool) bool { return pool.InUse() > pool.Limit()/2*3 }

// room returns n bytes of the buffer, or of a new one.
func (c *cold) room(pool *arena.Pool, n int, ahead []located) []byte {
	if c.buf == nil || len(c.buf.Bytes())-c.used < n {
		if c.buf != nil {
			c.buf.Release()
		}
		c.buf, c.used = pool.Overdraw(max(n, c.wanted(ahead))), 0
	}
	return c.buf.Bytes()[c.used : c.used+n]
}

// wanted is how large a buffer is of use: a fetch of many partitions holds one for each.
func (c *cold) wanted(ahead []located) int {
	n := 0
	for _, e := range ahead {
		if e.size < sendfileFrom {
			n += int(e.size)
		}
	}
	if !c.all && len(ahead) > 1 {
		return coldBuffer
	}
	return min(n, coldBuffer)
}

// has says whether the window has what x stands for, at pos. Positions tell: a recycled file has new ones.
func (c *cold) has(x *batch.Extent, pos int64) bool {
	at := pos - c.pos
	return c.file == x.File && at >= 0 && at+x.Len <= c.size
}

// look reads x and the entries behind it that lie nearby, and says whether it did. What cannot be read in one go may
// still be read by itself.
func (c *cold) look(pool *arena.Pool, x *batch.Extent, ahead []located) bool {
	span := span(ahead)
	if span <= x.Len {
		return false
	}
	if c.window == nil {
		c.window = pool.Overdraw(coldBuffer)
	}
	// The run may reach into the next file, where this one ends early.
	n, _ := x.File.ReadAt(c.window.Bytes()[:span], x.Off)
	c.file, c.pos, c.size = x.File, ahead[0].pos, int64(n)
	return c.has(x, c.pos)
}

// span is the number of bytes from the first entry to the end of the last one that lies nearby.
func span(ahead []located) int64 {
	first, end := ahead[0].pos, ahead[0].pos
	for _, e := range ahead {
		if e.size >= sendfileFrom || e.pos-end > nearby || e.pos+int64(e.size)-first > coldBuffer {
			break
		}
		end = e.pos + int64(e.size)
	}
	return end - first
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
	}
	if c.window != nil {
		c.window.Release()
	}
	*c = cold{}
}
