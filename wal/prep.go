package wal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"chronik/wal/mutant"
	"chronik/wal/vfs"
)

const (
	// smallFile is the size of a file that has to be made while somebody waits: zeros for it are written in a few
	// milliseconds. It has room for more than the group that waits, or the next one would have to wait as well.
	smallFile   = 4 << 20
	smallGroups = 4
	// minSpares is how many files are kept for their blocks when they are not needed any more, in any case.
	minSpares = 8
	fillChunk = 256 << 10 // at least
	fillMost  = 1 << 20
)

// prep is the files to come. A file is zero-filled or was part of the log before, since overwriting is twice as fast
// as growing a file, or allocated where there is no time for zeros; it gets its header and its name ahead of time, so that
// the writer can go on to it at no cost.
type prep struct {
	mu     sync.Mutex // held while a file is named
	next   *file      // or nil
	spares []spare
	serial int // of names

	want chan struct{} // asks for next

	allocates bool // files can be; set before anybody uses it

	asked   time.Time     // when the last file was begun; only the preparer knows
	filling atomic.Bool   // a file is being filled while groups are written
	grown   chan struct{} // has a value when one was written since
}

// spare is a file of Options.FileSize without a part in the log.
type spare struct {
	f    vfs.File
	name string
}

// ask wakes the preparer, without waiting.
func (p *prep) ask() {
	select {
	case p.want <- struct{}{}:
	default: // it is asked already
	}
}

// prepare is the goroutine that keeps a next file ready, and packs what the one before has.
func (l *Log) prepare() {
	defer l.tasks.Done()
	for {
		select {
		case <-l.prep.want: // a file has just become full
			l.files.pack()
			l.prepared(l.ready())
		case <-l.stop:
			return
		}
	}
}

// prepared takes what came of the preparation. Without room there is no next file for now: the writer tries itself when
// it needs one.
func (l *Log) prepared(err error) {
	switch {
	case err == nil, errors.Is(err, errStopped):
	case outOfSpace(err):
		l.opt.Logger.Warn("the disk is full: the write-ahead log could not prepare its next file, and ends if there is "+
			"still no room for it when this one is used up", "error", err)
	default:
		l.fail(&failure{fmt.Errorf("prepare a file: %w", err)})
	}
}

// ready makes the next file, unless there is one. The writer may name one itself meanwhile.
func (l *Log) ready() error {
	l.prep.mu.Lock()
	enough := l.prep.next != nil || len(l.prep.spares) > 0
	name := l.prep.newName("tmp")
	l.prep.mu.Unlock()
	if !enough {
		f, err := l.fill(name, l.opt.FileSize, l.pace())
		if err != nil {
			return err
		}
		l.prep.mu.Lock()
		l.prep.spares = append(l.prep.spares, spare{f, name})
		l.prep.mu.Unlock()
	}
	l.prep.mu.Lock()
	defer l.prep.mu.Unlock()
	if l.prep.next != nil || len(l.prep.spares) == 0 {
		return nil
	}
	next, err := l.name(l.prep.pop(), l.files.active(), l.opt.FileSize)
	l.prep.next = next
	return err
}

func (p *prep) newName(ext string) string {
	p.serial++
	return fmt.Sprintf("%d.%s", p.serial, ext)
}

func (p *prep) pop() spare {
	s := p.spares[len(p.spares)-1]
	p.spares = p.spares[:len(p.spares)-1]
	return s
}

var errStopped = errors.New("wal: stopped")

// quick is how long a file must last for the next one to be worth filling: its zeros take as much of the disk's time as
// its groups will, and large ones save less by them.
const quick = 500 * time.Millisecond

// pace says how much of a file may be filled by now: twice the share of the active one that is used, so that it is done
// in time, and groups seldom find the disk busy with zeros. It is atOnce when there is no time for that.
func (l *Log) pace() func() int64 {
	active, before := l.files.active(), l.prep.asked
	l.prep.asked = time.Now()
	if l.prep.asked.Sub(before) < quick {
		return atOnce
	}
	return func() int64 {
		now, used := l.files.reached()
		if now != active {
			return atOnce()
		}
		return fillChunk + 2*int64(float64(used-page)/float64(active.size)*float64(l.opt.FileSize))
	}
}

// atOnce has the rest of a file allocated.
func atOnce() int64 { return math.MaxInt64 }

// await waits until more than size, which is filled, is due, and returns that. The writer does not wait: it must not touch
// what wakes the preparer.
func (l *Log) await(size int64, due func() int64) (int64, error) {
	if n := due(); n > size && !l.stopped() {
		return n, nil
	}
	l.prep.filling.Store(true)
	defer l.prep.filling.Store(false)
	for {
		if l.stopped() {
			return 0, errStopped
		}
		if n := due(); n > size {
			return n, nil
		}
		select {
		case <-l.prep.grown:
		case <-l.stop:
		}
	}
}

func (l *Log) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// advanced tells who fills a file that a group was written.
func (p *prep) advanced() {
	if !p.filling.Load() {
		return
	}
	select {
	case p.grown <- struct{}{}:
	default:
	}
}

// fill makes a file of size zeros, no faster than it is due; see pace.
func (l *Log) fill(name string, size int64, due func() int64) (vfs.File, error) {
	f, err := l.fs.Open(name, vfs.Create|vfs.Truncate|vfs.Direct)
	if err != nil {
		return nil, err
	}
	if err = l.zero(f, size, due); err == nil {
		return f, nil
	}
	l.abandon(spare{f, name})
	return nil, err
}

// abandon lets go of a file without a part in the log whose write or sync failed. It must not be synced again.
func (l *Log) abandon(s spare) {
	_ = s.f.Close()
	_ = l.fs.Remove(s.name)
}

func (l *Log) zero(f vfs.File, size int64, due func() int64) error {
	buf := l.pool.Overdraw(int(min(size, fillMost)))
	defer buf.Release()
	b := buf.Bytes()
	clear(b)
	iov := make([][]byte, 1)
	for off := int64(0); off < size; off += int64(len(iov[0])) {
		n, err := l.await(off, due)
		if err != nil {
			return err
		}
		if n == atOnce() && l.prep.allocates {
			if err := f.Allocate(size); err != nil {
				return err
			}
			break
		}
		iov[0] = b[:min(size-off, max(whole(n-off), fillChunk), int64(len(b)))]
		if err := f.WriteSync(iov, off, false); err != nil {
			return err
		}
	}
	return f.Sync()
}

// name makes s the file of the log after prev: header, name, directory, each durable before the next, so that a file
// with a log's name always has a whole header. The caller holds l.prep.mu.
func (l *Log) name(s spare, prev *file, size int64) (*file, error) {
	return l.nameAt(s, prev.seq+1, prev.base+prev.size, size)
}

func (l *Log) nameAt(s spare, seq uint64, base, size int64) (*file, error) {
	buf := l.pool.Overdraw(page)
	defer buf.Release()
	h := fileHeader{l.opt.Incarnation, seq, l.salt, base, size, l.durable.Load(), size > l.opt.FileSize}
	h.encode(buf.Bytes())
	n := &file{f: s.f, slow: vfs.Park(s.f), name: fileName(seq), seq: seq, base: base, size: size, used: page}
	n.refs.Store(1)
	err := s.f.WriteSync([][]byte{buf.Bytes()}, 0, true)
	if err == nil {
		err = l.fs.Rename(s.name, n.name)
	}
	if err != nil {
		l.abandon(s)
		return nil, fmt.Errorf("make %s of %s: %w", n.name, s.name, err) // the file itself knows its first name only
	}
	if mutant.On(mutant.SkipDirSync) {
		return n, nil
	}
	if err := l.fs.SyncDir("."); err != nil {
		n.Release()
		return nil, err // and no n: the writer would go on to it before it has heard of the error
	}
	return n, nil
}

// turn goes on to the next file, one with room for a group of n bytes. Only the writer calls it.
func (l *Log) turn(active *file, n int64) (*file, error) {
	l.prep.mu.Lock()
	defer l.prep.mu.Unlock()
	f, err := l.following(active, n+page)
	if err != nil {
		return nil, &failure{fmt.Errorf("next file after %s: %w", active.name, err)}
	}
	return f, nil
}

// following adds the next file to the log, or two: when the one that was prepared is too small, it stays empty.
func (l *Log) following(active *file, size int64) (*file, error) {
	if next := l.prep.next; next != nil {
		l.prep.next = nil
		l.files.add(next)
		if size <= next.size {
			return next, nil
		}
		active = next
	}
	f, err := l.make(active.seq+1, active.base+active.size, size)
	if err == nil {
		l.files.add(f)
	}
	return f, err
}

// make makes a file of at least size bytes at once: a spare, or an allocated one, or a small one, or one for a group that
// is larger than files are, which grows as it is written.
func (l *Log) make(seq uint64, base, size int64) (*file, error) {
	if size <= l.opt.FileSize && len(l.prep.spares) > 0 {
		return l.nameAt(l.prep.pop(), seq, base, l.opt.FileSize)
	}
	name := l.prep.newName("tmp")
	if size > l.opt.FileSize {
		f, err := l.fs.Open(name, vfs.Create|vfs.Truncate|vfs.Direct)
		if err != nil {
			return nil, err
		}
		return l.nameAt(spare{f, name}, seq, base, size)
	}
	small := min(max(smallGroups*size, smallFile), l.opt.FileSize)
	if l.prep.allocates {
		f, err := l.fill(name, l.opt.FileSize, atOnce)
		if err == nil {
			return l.nameAt(spare{f, name}, seq, base, l.opt.FileSize)
		}
		if !outOfSpace(err) {
			return nil, err
		}
	}
	f, err := l.fill(name, small, atOnce)
	if err != nil {
		return nil, err
	}
	return l.nameAt(spare{f, name}, seq, base, small)
}

// first makes the file that a log begins with, and finds out whether files can be allocated. A file system may want room for
// what is there already: then it can, and there is none.
func (l *Log) first(seq uint64, base int64) (*file, error) {
	f, err := l.make(seq, base, 0)
	if err != nil {
		return nil, err
	}
	err = f.f.Allocate(f.size)
	if err == nil || errors.Is(err, errors.ErrUnsupported) || outOfSpace(err) {
		l.prep.allocates = !errors.Is(err, errors.ErrUnsupported)
		return f, nil
	}
	f.Release()
	return nil, fmt.Errorf("allocate %s: %w", f.name, err)
}

// recycle keeps f's blocks for a file to come, when nobody reads f any more and there are fewer than most, or removes it.
// f is not part of the log; it must not be written before the directory was synced.
func (l *Log) recycle(f *file, kept []spare, most int) ([]spare, error) {
	size, err := f.f.Size()
	if err != nil {
		return kept, err
	}
	if !f.inUse() {
		vfs.Uncache(f.f) // direct writes would have to, piece by piece
	}
	l.prep.mu.Lock()
	defer l.prep.mu.Unlock()
	if f.inUse() || f.size != l.opt.FileSize || size != f.size || len(l.prep.spares)+len(kept) >= most {
		err = l.fs.Remove(f.name)
		f.Release()
		return kept, err
	}
	s := spare{f.f, l.prep.newName("spare")}
	if err := l.fs.Rename(f.name, s.name); err != nil {
		return kept, err
	}
	return append(kept, s), nil
}

// Taken is how many bytes the log's files take, those to come and those kept for their blocks among them.
func (l *Log) Taken() int64 {
	l.prep.mu.Lock()
	defer l.prep.mu.Unlock()
	return l.taken()
}

// taken is Taken for who holds l.prep.mu.
func (l *Log) taken() int64 {
	n := int64(len(l.prep.spares)) * l.opt.FileSize
	if l.prep.next != nil {
		n += l.prep.next.size
	}
	for _, f := range l.Files() {
		n += f.Size
	}
	return n
}

// Bound removes files that are kept for their blocks, but for a few, until the log's files take most bytes.
func (l *Log) Bound(most int64) {
	for _, s := range l.excess(most) {
		l.abandon(s) // it has no part in the log: at worst it comes back
	}
}

func (l *Log) excess(most int64) []spare {
	l.prep.mu.Lock()
	defer l.prep.mu.Unlock()
	over := int((l.taken() - most + l.opt.FileSize - 1) / l.opt.FileSize)
	n := max(0, min(over, len(l.prep.spares)-minSpares))
	gone := slices.Clone(l.prep.spares[:n])
	l.prep.spares = slices.Delete(l.prep.spares, 0, n)
	return gone
}

// inUse says whether f's bytes may be needed where they are: by a reader, or by a socket that sendfile gave its pages
// to. A write past the page cache leaves such pages alone; one through it would change what is still to be sent.
func (f *file) inUse() bool {
	return f.refs.Load() > 1 || f.sent.Load() && !vfs.Unshares(f.f)
}

// outOfSpace says whether err comes from a full disk and may be lived through.
func outOfSpace(err error) bool {
	if _, final := errors.AsType[*unsynced](err); final {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
