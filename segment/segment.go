// Package segment keeps a run of one partition's batches in a file that is never changed once it is sealed, with an
// index beside it that finds offsets, times and aborted transactions and tells damage from data. The index is derived:
// it is checked when it is read and made again from the batches when it does not fit. FORMAT.md has the bytes. It does
// not know topics, who reads, or where the batches were before.
package segment

import (
	"fmt"
	"path"
	"sort"
	"strconv"
	"strings"
	"sync"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

const (
	dataSuffix  = ".seg"
	indexSuffix = ".idx"
	nameDigits  = 20
)

// Options are what segments of one log share.
type Options struct {
	// Files bounds the open files and the memory of indexes; nil for one that all segments without their own share.
	Files *Files
	// Ongoing returns the transactions that are open at the segment's base: what Ongoing of the segment before it
	// returns. It is called when a segment is created or its index must be made again from the start. nil means none.
	Ongoing func() ([]Ongoing, error)
	// DecompressLimit bounds the memory for looking into one batch, in bytes; 0 for batch.MaxDecompressed.
	DecompressLimit int
}

// Segment is one segment. Append, Sync, Seal and Remove are for one goroutine at a time; everything else may be called
// concurrently with them. It holds no file open while nobody uses it.
type Segment struct {
	fs   vfs.FS
	dir  string
	base int64
	o    Options

	// mu guards what follows up to the blank line, and the index of open.
	mu       sync.Mutex
	mark     mark      // of all that was appended
	synced   mark      // of what is durable
	ongoing  []Ongoing // transactions that are open there, where known says so
	known    bool      // they are; not of a segment that was sealed before it was opened
	records  int       // in the index file, up to and with its newest mark
	named    bool      // the directory has the files' names durably
	failed   error     // of the write or sync that failed: nothing is written after it
	verified bitmap

	loading sync.Mutex // held while open is being made, and while the index file changes
	open    *opened    // guarded by o.Files.mu; nil while nobody needs it
	writing *writing   // from an Append to the Sync after it
	lent    []byte     // memory for it
}

// mark is a segment in short.
type mark struct {
	end       int64 // offset after the last
	size      int64
	firstTime int64 // greatest timestamp of the first batch, or batch.NoTimestamp
	maxTime   int64
	sealed    bool
}

// CorruptError says that bytes of a file are missing or are not those that were written.
type CorruptError struct {
	File string
	Pos  int64
	Why  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %s", e.File, e.Pos, e.Why)
}

// Unwrap makes it a KAFKA_STORAGE_ERROR.
func (e *CorruptError) Unwrap() error { return kerr.KafkaStorageError }

// Create makes an empty segment in dir, which it creates too; files of the same base are overwritten. Nothing is durable
// before the first Sync, which makes dir durable in the directory above, but not that one.
func Create(fs vfs.FS, dir string, base int64, o Options) (*Segment, error) {
	s := newSegment(fs, dir, base, o)
	ix, err := s.emptyIndex()
	if err != nil {
		return nil, err
	}
	if err := fs.MkdirAll(dir); err != nil {
		return nil, s.storage("create", err)
	}
	if err := s.removeIndex(); err != nil { // of an older segment: it must not speak of data that goes
		return nil, err
	}
	if err := s.truncate(0); err != nil {
		return nil, err
	}
	if err := s.appendIndex(&ix, 0, false); err != nil {
		return nil, err
	}
	s.adopt(ix)
	return s, nil
}

// List returns the base offsets of the segments in dir, in order; none when there is no dir.
func List(fs vfs.FS, dir string) ([]int64, error) {
	names, err := fs.List(dir)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list segments of %s: %w: %w", dir, kerr.KafkaStorageError, err)
	}
	var bases []int64
	for _, name := range names {
		number, ok := strings.CutSuffix(name, dataSuffix)
		if base, err := strconv.ParseInt(number, 10, 64); ok && err == nil && len(number) == nameDigits {
			bases = append(bases, base)
		}
	}
	sort.Slice(bases, func(i, j int) bool { return bases[i] < bases[j] })
	return bases, nil
}

func newSegment(fs vfs.FS, dir string, base int64, o Options) *Segment {
	if o.Files == nil {
		o.Files = shared
	}
	return &Segment{fs: fs, dir: dir, base: base, o: o, mark: emptyMark(base), synced: emptyMark(base)}
}

func emptyMark(base int64) mark {
	return mark{end: base, firstTime: batch.NoTimestamp, maxTime: batch.NoTimestamp}
}

// Base is the offset at which the segment begins, End the offset after its last record, durable or not.
func (s *Segment) Base() int64 { return s.base }
func (s *Segment) End() int64  { return s.snapshot().end }

// Size is the length of the data in bytes.
func (s *Segment) Size() int64 { return s.snapshot().size }

// FirstTimestamp is the timestamp of the first batch that has one (its greatest), MaxTimestamp the greatest of all, in
// milliseconds since 1970; batch.NoTimestamp when there is none.
func (s *Segment) FirstTimestamp() int64 { return s.snapshot().firstTime }
func (s *Segment) MaxTimestamp() int64   { return s.snapshot().maxTime }

// Sealed says that the segment will not grow.
func (s *Segment) Sealed() bool { return s.snapshot().sealed }

func (s *Segment) snapshot() mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark
}

// Close lets go of the files. Extents that were read stay good. What was not synced may be gone: the segment takes nothing more then.
func (s *Segment) Close() error {
	s.mu.Lock()
	if s.failed == nil && s.mark != s.synced {
		s.failed = errClosed
	}
	s.mu.Unlock()
	s.stopWriting()
	s.o.Files.drop(s)
	return nil
}

// Remove deletes the files of a segment that is not open, as its method does.
func Remove(fs vfs.FS, dir string, base int64) error {
	return newSegment(fs, dir, base, Options{}).Remove()
}

// Remove deletes the files at once; extents that were read stay good until they are released. The deletion is durable
// when the caller has synced the directory: until then the segment may come back after a power cut.
func (s *Segment) Remove() error {
	s.stopWriting()
	s.o.Files.drop(s)
	if err := s.fs.Remove(s.dataName()); err != nil {
		return s.storage("remove", err)
	}
	if err := s.removeIndex(); err != nil {
		return err
	}
	s.o.Files.drop(s) // a reader may have opened it again before the files went: its blocks would stay
	return nil
}

func (s *Segment) removeIndex() error {
	if err := s.fs.Remove(s.indexName()); err != nil && !isMissing(err) {
		return s.storage("remove", err)
	}
	return nil
}

func (s *Segment) stopWriting() {
	s.lent = nil
	if s.writing == nil {
		return
	}
	s.writing.pages.close()
	s.writing = nil
}

func (s *Segment) dataName() string  { return s.name(dataSuffix) }
func (s *Segment) indexName() string { return s.name(indexSuffix) }

func (s *Segment) name(suffix string) string {
	return path.Join(s.dir, fmt.Sprintf("%0*d%s", nameDigits, s.base, suffix))
}

// storage wraps an error of the file system, which names the file itself.
func (s *Segment) storage(op string, err error) error {
	return fmt.Errorf("segment: %s: %w: %w", op, kerr.KafkaStorageError, err)
}

func (s *Segment) corrupt(pos int64, why string, args ...any) error {
	return &CorruptError{s.dataName(), pos, fmt.Sprintf(why, args...)}
}
