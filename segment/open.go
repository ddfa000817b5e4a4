package segment

import (
	"errors"
	"io"
	iofs "io/fs"
	"math"
	"path"

	"chronik/wal/vfs"
)

// Footer is Open's end for a segment that is taken as it is.
const Footer = int64(-1)

// Open opens the segment of dir that begins at base.
//
// end, when it is not Footer, is the offset up to which the caller knows the data to be durable. Missing or damaged bytes
// before it are a *CorruptError; what stands after it is cut off, unless the segment is sealed: then all of it was
// durable and End says how far it reaches. With end = base the segment may also be missing: it is created.
//
// With Footer the segment must be whole to its last byte; a sealed one is when its index says so.
func Open(fs vfs.FS, dir string, base, end int64, o Options) (*Segment, error) {
	s := newSegment(fs, dir, base, o)
	data, err := fs.Open(s.dataName(), vfs.ReadOnly)
	if isMissing(err) && end == base {
		return Create(fs, dir, base, o)
	}
	if isMissing(err) {
		return nil, s.corrupt(0, "the file is missing")
	}
	if err != nil {
		return nil, s.storage("open", err)
	}
	defer data.Close()
	size, err := data.Size()
	if err != nil {
		return nil, s.storage("open", err)
	}
	if m, records, ok := s.readSeal(); ok {
		err = s.takeSealed(m, records, size, end)
	} else {
		err = s.recover(data, size, end)
	}
	if err != nil && end == base {
		return Create(fs, dir, base, o) // left over from a segment that nobody relied on
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// readSeal reads the last record of the index file, which alone tells a sealed segment.
func (s *Segment) readSeal() (m mark, records int, ok bool) {
	f, err := s.fs.Open(s.indexName(), vfs.ReadOnly)
	if err != nil {
		return mark{}, 0, false
	}
	defer f.Close()
	size, err := f.Size()
	records = int(size / recordSize)
	if err != nil || records < 2 || size%recordSize != 0 {
		return mark{}, 0, false
	}
	r := make([]byte, recordSize)
	if _, err := f.ReadAt(r, size-recordSize); err != nil && err != io.EOF || !goodRecord(r, s.base, records-1) {
		return mark{}, 0, false
	}
	return readMark(r), records, r[recordKind] == kindSealed
}

func (s *Segment) takeSealed(m mark, records int, size, end int64) error {
	if m.size != size {
		return s.corrupt(min(m.size, size), "%d bytes, sealed with %d", size, m.size)
	}
	if m.end < end {
		return s.corrupt(size, "sealed at offset %d, %d expected", m.end, end)
	}
	s.mark, s.records, s.synced, s.named = m, records, m, true
	return nil
}

// recover makes the state of a segment that is not sealed, or whose index does not say so, from its index as far as that
// goes and from the batches after it.
func (s *Segment) recover(data vfs.File, size, end int64) error {
	limit := end
	if end < 0 {
		limit = math.MaxInt64
	}
	ix, rest, err := s.readIndex(limit)
	if err != nil {
		return err
	}
	if ix.mark.size > size {
		return s.corrupt(size, "%d bytes, %d expected", size, ix.mark.size)
	}
	kept, known := ix.records, ix.mark
	if err := s.scan(data, &ix, size, end); err != nil {
		return err
	}
	ix.mark.sealed = ix.mark == known && known.sealed && size == known.size
	if rest || ix.mark != known || kept == 0 {
		// What stood after the records that were kept must not come back: it speaks of bytes that may be others soon.
		if err := s.appendIndex(&ix, kept, true); err != nil {
			return err
		}
	}
	if end >= 0 && size > ix.mark.size { // only now: else who looks in between sees an index of more than there is
		if err := s.truncate(ix.mark.size); err != nil {
			return err
		}
	}
	s.named = end > s.base
	s.adopt(ix)
	return nil
}

// readIndex returns what the index file says up to limit, or an empty index with the transactions of Options.Ongoing;
// rest says that the file has more than that.
func (s *Segment) readIndex(limit int64) (ix index, rest bool, err error) {
	raw, err := s.readAll(s.indexName())
	if err != nil && !isMissing(err) {
		return index{}, false, s.storage("open", err)
	}
	if ix, ok := parseIndex(raw, s.base, limit); ok {
		return ix, len(raw) > ix.records*recordSize, nil
	}
	ix, err = s.emptyIndex()
	return ix, true, err
}

func (s *Segment) emptyIndex() (index, error) {
	ix := index{mark: emptyMark(s.base)}
	if s.o.Ongoing != nil {
		open, err := s.o.Ongoing()
		if err != nil {
			return index{}, err
		}
		ix.txns.ongoing = ongoingMap(open)
	}
	ix.pending = headerRecord()
	return ix, nil
}

func (s *Segment) readAll(name string) ([]byte, error) {
	f, err := s.fs.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	raw := make([]byte, size)
	if _, err := f.ReadAt(raw, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return raw, nil
}

// scan adds the batches of data from ix's mark up to end, or to size when end is Footer, checking each one's CRC.
func (s *Segment) scan(data vfs.File, ix *index, size, end int64) error {
	if end >= 0 && ix.mark.end >= end || end < 0 && ix.mark.size == size {
		return nil
	}
	r := reader{file: data, end: size, window: scanWindow, mem: getBuffer()}
	defer r.mem.free()
	for (end < 0 || ix.mark.end < end) && ix.mark.size < size {
		b, err := r.batch(ix.mark.size)
		if err == nil {
			err = b.CheckCRC()
		}
		switch {
		case isStorage(err):
			return s.storage("read", err)
		case err != nil:
			return s.corrupt(ix.mark.size, "not a whole batch, %v", err)
		case b.BaseOffset() < ix.mark.end || b.NextOffset() <= b.BaseOffset():
			return s.corrupt(ix.mark.size, "a batch of offsets %d to %d after offset %d", b.BaseOffset(), b.LastOffset(), ix.mark.end)
		case end >= 0 && b.NextOffset() > end:
			return s.corrupt(ix.mark.size, "a batch of offsets %d to %d where the data should end at %d", b.BaseOffset(), b.LastOffset(), end)
		}
		ix.add(b)
	}
	if ix.mark.end < end {
		return s.corrupt(size, "the data ends at offset %d, %d expected", ix.mark.end, end)
	}
	ix.closeChunk()
	return nil
}

// load opens the data and reads the index. An index that is damaged or missing is made again.
func (s *Segment) load() (*opened, error) {
	s.mu.Lock()
	now := s.synced
	s.mu.Unlock()
	data, err := s.fs.Open(s.dataName(), vfs.ReadOnly)
	if isMissing(err) {
		return nil, s.corrupt(0, "the file is missing")
	}
	if err != nil {
		return nil, s.storage("open", err)
	}
	ix, err := s.loadIndex(data, now)
	if err != nil {
		data.Close()
		return nil, err
	}
	return &opened{files: s.o.Files, seg: s, data: data, ix: ix}, nil
}

func (s *Segment) loadIndex(data vfs.File, now mark) (index, error) {
	raw, err := s.readAll(s.indexName())
	if err != nil && !isMissing(err) {
		return index{}, s.storage("open", err)
	}
	if ix, ok := parseIndex(raw, s.base, now.end); ok && ix.mark == now {
		return ix, nil
	}
	ix, err := s.emptyIndex()
	if err != nil {
		return index{}, err
	}
	size, err := data.Size()
	if err != nil {
		return index{}, s.storage("open", err)
	}
	if err := s.scan(data, &ix, size, now.end); err != nil {
		return index{}, err
	}
	if ix.mark.size != now.size {
		return index{}, s.corrupt(ix.mark.size, "the batches up to offset %d take %d bytes, %d expected", now.end, ix.mark.size, now.size)
	}
	ix.mark.sealed = now.sealed
	if err := s.appendIndex(&ix, 0, true); err != nil {
		return index{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verified = nil // the chunks may be others now
	s.records = ix.records
	return ix, nil
}

// adopt takes ix's end for the segment's, which is durable.
func (s *Segment) adopt(ix index) {
	s.mark, s.synced, s.records = ix.mark, ix.mark, ix.records
	s.ongoing, s.known = ix.txns.list(), true
}

func (s *Segment) truncate(size int64) error {
	f, err := s.fs.Open(s.dataName(), vfs.Create)
	if err != nil {
		return s.storage("create", err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return s.storage("truncate", err)
	}
	return nil
}

// syncNames makes the names of the files durable, and that of their directory.
func (s *Segment) syncNames() error {
	if s.named {
		return nil
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return s.storage("sync", err)
	}
	if err := s.fs.SyncDir(path.Dir(s.dir)); err != nil {
		return s.storage("sync", err)
	}
	s.named = true
	return nil
}

func isMissing(err error) bool { return errors.Is(err, iofs.ErrNotExist) }

// isStorage tells an error of the file system from one that batch has with the bytes.
func isStorage(err error) bool {
	var e *iofs.PathError
	return errors.As(err, &e)
}
