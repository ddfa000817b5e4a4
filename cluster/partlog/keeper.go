package partlog

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// keep is the store's background work: it expires records, removes what deleted partitions left, and cuts the oldest
// files of the write-ahead log into segments when they hold more than the budget. It writes beside the commit path, in
// large runs and at a bounded rate.
func (s *Store) keep() {
	retention := time.NewTicker(s.options.RetentionCheckInterval)
	defer retention.Stop()
	for {
		due := false
		select {
		case <-s.stop:
			return
		case <-s.failed:
			return
		case <-s.wal.Failed():
			_ = s.fail(s.wal.Err()) // told by Failed
			return
		case <-retention.C:
			due = true
		case <-s.wake:
		}
		if err := s.tend(s.reread.Swap(false) || due || s.overBudget()); err != nil {
			s.options.Logger.Error("storage failed", "error", s.fail(err))
			return
		}
	}
}

// tend is one round of the background work. Records are expired before anything is cut, so that none is copied that
// would go at once.
func (s *Store) tend(retention bool) error {
	s.tending.Lock()
	defer s.tending.Unlock()
	if err := s.bury(); err != nil {
		return err
	}
	if retention {
		if err := s.retain(); err != nil {
			return err
		}
	}
	s.shed()
	return s.cut()
}

// grown notes that the write-ahead log reaches to pos.
func (s *Store) grown(pos int64) {
	s.newest.Store(pos)
	if pos > s.cutAt.Load() || s.held() > s.cutOver.Load() {
		s.nudge()
	}
}

// held is how many entries of the index take the memory that the write-ahead log's has: beside the index it is what each file
// knows of its streams, half as much for each.
func (s *Store) held() int64 { return s.indexed.Load() + s.wal.Needing()/2 }

// budget is how large the write-ahead log may be: what was asked for, or the disk has, or what so many entries take if they are
// so small, or so many partitions', that what is known of them takes the memory.
func (s *Store) budget() int64 {
	budget, most, n := s.limit(), s.options.entries, s.held()
	if n <= most {
		return budget
	}
	return min(budget, int64(float64(s.newest.Load()-s.oldest.Load())*float64(most)/float64(n)))
}

// measure looks up where the write-ahead log begins and sets when to cut next: when the budget is used up, or, as long as
// it is and files cannot be given up because they are being read, when a little more has been written.
func (s *Store) measure() {
	files := s.wal.Files()
	if len(files) == 0 {
		return // it is closed
	}
	s.look()
	s.pacer.freed()
	first, last := files[0], files[len(files)-1]
	s.oldest.Store(first.Pos)
	if last.Pos > s.newest.Load() {
		s.newest.Store(last.Pos)
	}
	budget, most := s.budget(), s.options.entries
	s.cutAt.Store(max(first.Pos+budget, s.newest.Load()+budget/8))
	s.cutOver.Store(max(most, s.held()+most/8))
	room := first.Pos + budget + budget/2
	if len(files) == 1 { // the file being written cannot be cut
		room = max(room, last.Pos+last.Size)
	}
	s.room.set(room, !s.overBudget())
}

func (s *Store) overBudget() bool { return s.excess() > 0 }

// excess is by how many bytes the write-ahead log is larger than the budget.
func (s *Store) excess() int64 { return s.newest.Load() - s.oldest.Load() - s.budget() }

// bury removes what deleted partitions left on disk. A partition leaves the checkpoint only when its directory is
// durably gone, so that none is found at a later start that nobody knows.
func (s *Store) bury() error {
	s.mu.RLock()
	graves := slices.Collect(maps.Values(s.dying))
	s.mu.RUnlock()
	if len(graves) == 0 {
		return nil
	}
	for _, g := range graves {
		if err := s.dig(g); err != nil {
			return fmt.Errorf("delete %s: %w", g.id.name(), err)
		}
	}
	if err := s.syncSegmentsDir(); err != nil {
		return err
	}
	s.mu.Lock()
	for _, g := range graves {
		delete(s.dying, g.id.Stream)
	}
	s.mu.Unlock()
	if s.recyclable() {
		return s.checkpoint()
	}
	return nil
}

func (s *Store) dig(g grave) error {
	s.wal.Trim(g.id.Stream, everything)
	if g.log != nil {
		if err := g.log.closeSegments(); err != nil {
			return err
		}
	}
	return s.removeDir(g.id.dir())
}

// recyclable says whether a checkpoint would free a file of the write-ahead log.
func (s *Store) recyclable() bool {
	files := s.wal.Files()
	for _, f := range files[:max(len(files)-1, 0)] {
		if f.Streams == 0 {
			return true
		}
	}
	return false
}

// shed forgets producers that have been silent for long.
func (s *Store) shed() {
	now, age := s.clock.read(), s.options.ProducerExpiration.Milliseconds()
	if now < s.shedAt {
		return
	}
	s.shedAt = now + age/24
	for _, l := range s.all() {
		l.mu.Lock()
		l.producers.expire(now - age)
		l.mu.Unlock()
	}
}
