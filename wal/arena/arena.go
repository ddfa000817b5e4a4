// Package arena hands out page-aligned, counted buffers of memory that the garbage collector does not see. A request
// is read into one, the write-ahead log writes that very buffer to disk, and readers are served from it until its last
// holder lets go. The total is bounded by the pool's limit; buffers are recycled because the first touch of fresh
// memory is dear. It does not know what the bytes mean.
package arena

import "context"

// Page is the alignment of every buffer's address and capacity, as O_DIRECT wants it.
const Page = 4096

// Pool is a bounded source of buffers. All methods may be called concurrently.
type Pool struct{ pool }

// New returns a pool that holds at most limit bytes in buffers, used and kept for reuse together.
func New(limit int64) *Pool { panic("unwritten") }

// OnPressure registers fn, which is called (without locks held) when a Get finds the limit reached: it should release
// about need bytes of buffers that can be had again from elsewhere (the log's memory tail) and must not block.
func (p *Pool) OnPressure(fn func(need int64)) { panic("unwritten") }

// Get returns a buffer of n bytes with one reference. While the limit is reached it calls the pressure hook and then
// waits, first come first served, until memory is released or ctx ends. A request larger than the whole limit is let
// through alone.
func (p *Pool) Get(ctx context.Context, n int) (*Buf, error) { panic("unwritten") }

// Overdraw is Get that never waits: it may exceed the limit. For holders that must not block and whose own number is bounded.
func (p *Pool) Overdraw(n int) *Buf { panic("unwritten") }

// InUse is the number of bytes in buffers that somebody holds; Limit the bound.
func (p *Pool) InUse() int64 { panic("unwritten") }
func (p *Pool) Limit() int64 { panic("unwritten") }

// Buf is a counted buffer. The zero Buf is not usable.
type Buf struct{ buf }

// Bytes is the n bytes asked for; its capacity reaches to the end of the last page, so whole pages can be written.
func (b *Buf) Bytes() []byte { panic("unwritten") }

// Retain adds a reference; Release drops one, and with the last the memory goes back to the pool. Releasing more often
// than retained panics.
func (b *Buf) Retain()  { panic("unwritten") }
func (b *Buf) Release() { panic("unwritten") }

type pool struct{}
type buf struct{}
