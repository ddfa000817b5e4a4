package partlog

import "chronik/wal/vfs"

// Where nobody says how large the write-ahead log may be (Options.WALBudget), the disk does: a small part of it, and of what
// would be free without the log, which may take twice its budget. See DESIGN.md.
const (
	leastBudget  = 1 << 30 // of a disk of four times that, or more
	mostBudget   = 8 << 30
	ofTheDisk    = 20 // a twentieth
	ofWhatIsLeft = 4
)

func budgetFor(total, free, taken int64) int64 {
	least := int64(leastBudget)
	if total > 0 { // else the file system does not say
		least = min(least, total/ofWhatIsLeft)
	}
	return max(least, min(mostBudget, total/ofTheDisk, free/ofWhatIsLeft+taken/ofWhatIsLeft)) // not their sum: a file system may say that it has no end
}

// limit is how large the write-ahead log may be as far as the disk goes.
func (s *Store) limit() int64 {
	if s.options.WALBudget > 0 {
		return s.options.WALBudget
	}
	return s.byDisk.Load()
}

// look has the limit follow the disk that the write-ahead log lies on.
func (s *Store) look() {
	if s.options.WALBudget == 0 {
		s.limitBy(vfs.Space(s.options.FS, walDir))
	}
	s.wal.Bound(2 * s.limit())
}

// limitBy keeps the limit that there was where the disk cannot be asked: a small one would have producers wait until the log is as small.
func (s *Store) limitBy(total, free int64, err error) {
	budget := int64(leastBudget)
	switch {
	case err == nil:
		budget = budgetFor(total, free, s.wal.Taken())
	case s.byDisk.Load() > 0:
		return
	}
	s.byDisk.Store(max(budget, 2*s.options.WALFileSize))
}

// tellLimit says once how large the write-ahead log may be, and whether the disk has room for it.
func (s *Store) tellLimit() {
	logger, size := s.options.Logger, s.limit()
	by := "wal-size"
	if s.options.WALBudget == 0 {
		by = "the disk"
	}
	logger.Info("the write-ahead log may become so large before segments are cut from it, and twice as large under load", "wal_size", size, "set_by", by)
	_, free, err := vfs.Space(s.options.FS, walDir)
	if lacking := 2*size - s.wal.Taken(); err == nil && free < lacking {
		logger.Warn("the disk has less left than the write-ahead log may take under load: free some of it, or set wal-size to less",
			"free", free, "log_may_take", lacking)
	}
}
