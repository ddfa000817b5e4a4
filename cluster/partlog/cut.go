package partlog

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"chronik/wal"
	"chronik/wal/arena"
)

// cut copies the records of the write-ahead log's oldest files into their partitions' segments when the files hold more
// than the budget, and has the files recycled, until half of the budget is free.
func (s *Store) cut() error {
	for before := int64(-1); s.overBudget() && !s.stopping(); {
		ends := s.rounds(s.wal.Files())
		if len(ends) == 0 || ends[len(ends)-1] <= before {
			break // what is left is being read, or written
		}
		before = ends[len(ends)-1]
		for _, end := range ends {
			if err := s.cutTo(end); err != nil || s.stopping() {
				return err
			}
			if err := s.checkpoint(); err != nil {
				return err
			}
		}
	}
	s.measure()
	return nil
}

// rounds are the positions up to which to cut the files, one after the other, for half of the budget to be free. The last
// file, which is being written, stays.
func (s *Store) rounds(files []wal.File) (ends []int64) {
	excess, round, streams := s.budget()/2, int64(0), 0
	for _, f := range files[:max(len(files)-1, 0)] {
		if excess <= 0 {
			break
		}
		excess, round, streams = excess-f.Size, round+f.Size, max(streams, f.Streams)
		if excess <= 0 || round >= s.roundSize(streams) {
			ends, round, streams = append(ends, f.Pos+f.Size), 0, 0
		}
	}
	if round > 0 {
		last := files[len(files)-2]
		ends = append(ends, last.Pos+last.Size)
	}
	return ends
}

// roundSize is how much is cut at once when it is of so many streams. The more a partition has in one round, the larger its
// writes and the fewer its syncs; the less there is in one, the sooner there is room again (room.go), and the less of the
// files has to be in the page cache (pieces.go), which a machine with little memory does not have.
func (s *Store) roundSize(streams int) int64 {
	return max(s.options.round, min(int64(streams)*streamShare, roundMost))
}

const (
	streamShare = 4 << 20   // as much of a round as is large for one partition
	roundMost   = 512 << 20 // bytes, however large the log may be
)

// round is a copying of everything below pos. Several logs are cut at once: while one waits for the disk to read, another
// one is being checked, and a third one written or synced.
type round struct {
	store   *Store
	pos     int64
	streams []wal.StreamID
	pieces  pieces
	next    atomic.Int64 // of streams
	broken  atomic.Bool  // one failed
}

func newRound(s *Store, pos int64, streams []wal.StreamID) *round {
	return &round{store: s, pos: pos, streams: streams, pieces: pieces{store: s, end: pos, have: map[int64]struct{}{}}}
}

// cutTo copies what lies below pos.
func (s *Store) cutTo(pos int64) error {
	r := newRound(s, pos, s.wal.Streams(pos))
	if err := s.house(r.streams); err != nil {
		return err
	}
	errs := make([]error, min(s.options.cutters, len(r.streams)))
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = r.some() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// some cuts one log after the other, as long as there are any.
func (r *round) some() error {
	t := r.tools()
	defer t.release()
	for {
		copied, err := r.several(&t)
		for _, c := range copied {
			if err == nil {
				err = c.named(c.finish())
			}
		}
		if err != nil {
			r.broken.Store(true)
			return err
		}
		if len(copied) == 0 {
			return nil
		}
	}
}

// syncTogether is how many logs are copied before the first of them is synced (see segment.Flush). Their files are open
// meanwhile.
const syncTogether = 32

// several copies the next few logs.
func (r *round) several(t *tools) (copied []*cutting, err error) {
	for len(copied) < syncTogether && !r.store.stopping() && !r.broken.Load() {
		i := int(r.next.Add(1)) - 1
		if i >= len(r.streams) {
			break
		}
		c := r.cutting(r.streams[i], t)
		if c == nil {
			continue
		}
		if err := c.named(c.all()); err != nil {
			return copied, err
		}
		copied = append(copied, c)
	}
	return copied, nil
}

// cutting is that of a log, or nil where the stream has none.
func (r *round) cutting(stream wal.StreamID, t *tools) *cutting {
	l := r.store.log(stream)
	if l == nil {
		if stream != factStream {
			r.store.wal.Trim(stream, everything)
		}
		return nil
	}
	return &cutting{log: l, pos: r.pos, tools: t}
}

// tools is memory that serves one log after the other.
type tools struct {
	pages   *arena.Buf // for segments to collect in
	entries []located
	ahead   ahead
}

// cutRun is the size of a write into a segment.
const cutRun = 1 << 20

func (r *round) tools() tools {
	o := &r.store.options
	return tools{pages: o.Pool.Overdraw(int(min(cutRun, o.WALFileSize))), ahead: ahead{pieces: &r.pieces}}
}

func (t *tools) release() {
	t.pages.Release()
	t.ahead.release()
}

// pacer counts what is copied; those who cut share it.
type pacer struct {
	mu    sync.Mutex
	fresh int64     // bytes since the last step
	round int64     // bytes that no checkpoint has freed yet
	free  time.Time // when the disk may be used again

	rate    int64     // bytes a second, as of
	seen    time.Time // then, when the write-ahead log
	written int64     // reached to here
}

// paceStep is how much is copied between two looks at the clock.
const paceStep = 1 << 20

// add counts n bytes more and returns how many there are that were not accounted for: none, or a step.
func (p *pacer) add(n int) (step int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fresh += int64(n)
	if p.fresh < paceStep {
		return 0
	}
	step, p.fresh = p.fresh, 0
	p.round += step
	return step
}

// turn is how long to wait, when all who cut copy rate bytes a second.
func (p *pacer) turn(step, rate int64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(step) * time.Second / time.Duration(rate))
	return p.free.Sub(now)
}

const (
	cutSlowest = 8                      // as much slower than CutRate cutting may become
	cutLook    = 250 * time.Millisecond // how long what producers write is watched
	cutStale   = time.Second            // after which it says nothing of now
)

// follow is how fast to copy while the write-ahead log reaches to newest: twice as fast as producers write, most at most. A burst
// takes the processors that they need, small entries above all.
func (p *pacer) follow(newest, most int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch since := now.Sub(p.seen); {
	case since > cutStale:
		p.rate = most
	case since < cutLook:
		return p.rate
	default:
		p.rate = min(most, max(most/cutSlowest, int64(2*float64(newest-p.written)/since.Seconds())))
	}
	p.seen, p.written = now, newest
	return p.rate
}

func (p *pacer) copied() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.round
}

func (p *pacer) freed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.round = 0
}

// pace counts n bytes that were copied, and yields.
func (s *Store) pace(n int) {
	if step := s.pacer.add(n); step > 0 {
		s.room.copied(step)
		s.yield(step, s.cutRate())
	}
}

func (s *Store) cutRate() int64 { return s.pacer.follow(s.newest.Load(), s.options.CutRate) }

// yield waits, after n bytes of rate a second, so that cutting does not take the disk from producers, the less the further it
// falls behind them: what is above the budget is more than this round has copied. It goes at that rate up to an eighth of the
// budget, then faster, and without waiting from three eighths on. (From one half on producers wait.)
func (s *Store) yield(n, rate int64) {
	behind, budget := s.excess()-s.pacer.copied(), s.budget()
	if behind >= budget/8*3 {
		return
	}
	if behind > budget/8 {
		rate += int64(float64(rate) * hurry * float64(behind-budget/8) / float64(budget/4))
	}
	select {
	case <-time.After(s.pacer.turn(n, rate)):
	case <-s.stop:
	case <-s.failed:
	}
}

// hurry is how much faster than at its rate cutting becomes before it does not wait any more: faster than disks are.
const hurry = 16

func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	case <-s.failed:
		return true
	default:
		return false
	}
}
