package wal

import (
	"errors"
	"fmt"
	"runtime"

	"chronik/wal/mutant"
)

// One goroutine at a time is the writer: a caller of Commit that found nobody writing, and when more was queued by the
// time it is done, the log's own goroutine. So a lone caller waits for no other goroutine, and no caller writes for
// ever on behalf of others. While a group is on its way the next one fills: no timer decides when it is full.

// refusal is why nothing can be appended; the caller holds l.mu.
func (l *Log) refusal() error {
	if l.err == nil && l.closed {
		return ErrClosed
	}
	return l.err
}

// begin makes the caller the writer and returns the group to write, or nil when there is a writer or nothing to write.
func (l *Log) begin() *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing || l.queue.empty() {
		return nil
	}
	l.writing = true
	return l.queue.take()
}

// more says whether the writer must go on; if not, there is no writer any more.
func (l *Log) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.queue.empty() {
		return true
	}
	l.writing = false
	l.idle.Broadcast()
	return false
}

// relay is the log's own goroutine: it takes over from callers that have written their share.
func (l *Log) relay() {
	defer l.tasks.Done()
	for {
		select {
		case <-l.wake:
			l.write()
		case <-l.stop:
			return
		}
	}
}

// write commits until nothing is queued; the caller is the writer.
func (l *Log) write() {
	for l.more() {
		l.gather()
		l.mu.Lock()
		g := l.queue.take()
		l.mu.Unlock()
		l.commit(g, true)
	}
}

// gatherUpTo is the size of a group from which on the disk is not kept waiting for more.
const gatherUpTo = 64 << 10

// gather has the goroutines that are ready to run go first while what is queued is small: what they append is written along. Where
// none is, it takes no time; one that computes is given up to a slice of the scheduler (10 ms).
func (l *Log) gather() {
	l.mu.Lock()
	small := len(l.queue.full) == 0 && l.queue.open.size() < gatherUpTo
	l.mu.Unlock()
	if small {
		runtime.Gosched()
	}
}

// commit writes g and tells its sinks; own says that the log's own goroutine does. Only the writer calls it.
func (l *Log) commit(g *group, own bool) {
	err := l.Err()
	if err == nil {
		err = l.store(g, own)
	} else {
		g.release()
	}
	l.mu.Lock()
	if err != nil {
		l.setErr(err)
	}
	err = l.err // another's failure counts too: after it nothing is reported durable
	l.mu.Unlock()
	if mutant.On(mutant.AckAfterError) {
		err = nil
	}
	l.tell(g, err)
	l.mu.Lock()
	l.behind.Add(-g.copied)
	if l.went != nil {
		close(l.went)
		l.went = nil
	}
	l.queue.recycle(g)
	l.mu.Unlock()
}

// Behind returns nil as long as no more than most bytes wait to be written that the log has copied, since they lay in nobody's Buf:
// nothing else bounds them. Else it returns a channel that is closed when some of them were written, or given up; look again then. It
// also returns nil when nobody writes: what others have queued and not yet committed keeps nobody waiting.
func (l *Log) Behind(most int64) <-chan struct{} {
	if l.behind.Load() <= most {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.behind.Load() <= most || !l.writing {
		return nil
	}
	if l.went == nil {
		l.went = make(chan struct{})
	}
	return l.went
}

// store makes g durable, as far as the mode wants it, and readable from memory.
func (l *Log) store(g *group, own bool) error {
	watched := l.opt.Watch.Begin("begin", "wal", "")
	f, off, err := l.place(int64(g.size()))
	l.opt.Watch.End(watched)
	if err != nil {
		g.release()
		return err
	}
	h := groupHeader{salt: l.salt, seq: f.seq, durable: l.durable.Load()}
	always := l.opt.Sync == SyncAlways || g.closing
	to := f.f
	if own {
		to = f.slow
	}
	watched = l.opt.Watch.Begin("write", "wal", f.name)
	err = l.put(to, g, &h, off, always && !mutant.On(mutant.AckBeforeSync))
	l.opt.Watch.End(watched)
	if err != nil {
		g.release()
		return &failure{fmt.Errorf("write %s at %d: %w", f.name, off, err)}
	}
	if l.files.wrote(f, g, off) {
		l.prep.ask()
	}
	l.prep.advanced()
	l.written.Store(g.number)
	if always {
		l.durable.Store(g.number)
	}
	g.base = f.base + off
	l.tail.add(g)
	l.relieve()
	return nil
}

// tell calls the sinks of g in order.
func (l *Log) tell(g *group, err error) {
	for i := range g.frames {
		f := &g.frames[i]
		if f.sink == nil {
			continue
		}
		if err != nil {
			f.sink.Durable(f.end, Loc{}, err)
		} else {
			f.sink.Durable(f.end, Loc{Pos: g.base + g.pos(f), Len: f.len}, nil)
		}
	}
}

// setErr records the failure that ends the log, when it is the first; the caller holds l.mu.
func (l *Log) setErr(err error) {
	if l.err != nil {
		return
	}
	l.err = err
	close(l.failed)
}

// fail ends the log from a goroutine that is not the writer, and tells all that is queued.
func (l *Log) fail(err error) {
	l.mu.Lock()
	l.setErr(err)
	alone := !l.writing
	l.writing = true
	l.mu.Unlock()
	if alone {
		l.write()
	}
}

// drain writes what is queued and waits until nobody writes.
func (l *Log) drain() {
	l.Commit()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing || !l.queue.empty() {
		l.idle.Wait()
	}
}

// closingMark ends the log on disk: a group without entries, after everything else was made durable, and a file that
// knows of it, lest the log's last file goes missing unnoticed.
func (l *Log) closingMark() error {
	if l.written.Load() == l.start {
		return nil
	}
	if err := l.syncDirty(); err != nil {
		return err
	}
	l.mu.Lock()
	l.queue.open = l.queue.begin(&l.log)
	g := l.queue.take()
	l.mu.Unlock()
	g.closing = true
	if err := l.store(g, false); err != nil {
		return err
	}
	f := l.files.active()
	c := checkpoint{incarnation: l.opt.Incarnation, seq: f.seq, base: f.base, number: f.first, durable: g.number}
	if err := writeCheckpoint(l.fs, closedName, &c); err != nil {
		return &failure{fmt.Errorf("close: %w", err)}
	}
	return nil
}

// letGo closes what the log holds. Files that are being read stay open until they are released, and buffers too.
func (l *Log) letGo() error {
	l.checkpointing.Lock() // one may still be on its way
	defer l.checkpointing.Unlock()
	for _, f := range l.files.end() {
		f.Release()
	}
	l.prep.mu.Lock()
	defer l.prep.mu.Unlock()
	var err error
	for _, s := range l.prep.spares {
		err = errors.Join(err, s.f.Close())
	}
	if l.prep.next != nil {
		l.prep.next.Release()
	}
	l.pool.OnPressure(nil)
	for buf := l.tail.pop(); buf != nil; buf = l.tail.pop() {
		buf.Release()
	}
	if l.queue.buf != nil {
		l.queue.buf.Release()
	}
	return errors.Join(err, l.lock.Close())
}
