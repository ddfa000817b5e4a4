package segment

import (
	"errors"
	"fmt"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/mutant"
	"chronik/wal/vfs"
)

var (
	errSealed = errors.New("segment: append to a sealed segment")
	errClosed = errors.New("segment: it was closed before all that was appended was synced")
)

// writing is what stands between an Append and the Sync after it.
type writing struct {
	ix    index // of what was appended since the last Sync, with the mark of all
	pages *pages
}

// Lend gives the segment memory to collect in, whole aligned pages: the more, the fewer the writes. It is the segment's
// until Sync, Seal or Close has returned. Without it the segment takes a little of its own.
func (s *Segment) Lend(mem []byte) { s.lent = mem }

// Append takes data over, which must be whole batches with their offsets assigned, the first at or after End. End and
// Size count them at once; readers see them, and they are durable, with the next Sync. Their CRCs are checked on the way.
// After damage, or a write that failed, the segment takes nothing more.
func (s *Segment) Append(data []byte) error {
	if err := s.writable(); err != nil {
		return err
	}
	if err := checkRun(data, s.End()); err != nil {
		return err
	}
	w, err := s.begin()
	if err != nil {
		return err
	}
	if w.pages.mem == nil { // it was flushed
		w.pages = newPages(w.pages.file, s.Size(), s.lent)
	}
	for len(data) > 0 {
		b, rest, _ := batch.Next(data)
		if err := w.take(b); err != nil {
			return s.fail("append", err)
		}
		data = rest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark = w.ix.mark
	return nil
}

// take collects b, and checks it while the processor's cache has its bytes.
func (w *writing) take(b batch.Batch) error {
	if _, err := w.pages.add(b[:batch.SumFrom]); err != nil {
		return err
	}
	sum, err := w.pages.add(b[batch.SumFrom:])
	if err != nil {
		return err
	}
	if sum != b.CRC() {
		return fmt.Errorf("the CRC of the batch of offset %d does not match: %w", b.BaseOffset(), kerr.CorruptMessage)
	}
	w.ix.add(b)
	return nil
}

// begin is what stands between Appends and their Sync, which is made by the first of them. It needs nothing of what the index
// has of older ones, which is large.
func (s *Segment) begin() (*writing, error) {
	if s.writing != nil {
		return s.writing, nil
	}
	file, err := s.fs.Open(s.dataName(), vfs.Direct)
	if isMissing(err) {
		return nil, s.corrupt(0, "the file is missing")
	}
	if err != nil {
		return nil, s.storage("open", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ix := index{mark: s.mark, txns: txns{ongoing: ongoingMap(s.ongoing)}}
	s.writing = &writing{ix: ix, pages: newPages(file, s.mark.size, s.lent)}
	return s.writing, nil
}

func (s *Segment) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mark.sealed {
		return errSealed
	}
	return s.failed
}

// checkRun says whether data is whole batches, in order, from end on.
func checkRun(data []byte, end int64) error {
	for len(data) > 0 {
		b, rest, err := batch.Next(data)
		if err != nil {
			return fmt.Errorf("segment: append: %w", err)
		}
		if b.BaseOffset() < end || b.NextOffset() <= b.BaseOffset() {
			return fmt.Errorf("segment: append: offsets %d to %d after %d: %w", b.BaseOffset(), b.LastOffset(), end, kerr.CorruptMessage)
		}
		end, data = b.NextOffset(), rest
	}
	return nil
}

// fail remembers the first failed write or sync: a second try could seem to succeed without the data being on disk.
func (s *Segment) fail(op string, err error) error {
	err = s.storage(op, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
	return s.failed
}

// Flush writes everything appended, not durably, and gives up the memory that was lent: then a Sync waits for the disk alone.
// Many segments that are flushed before the first of them is synced cost the file system little more than one: what it has
// to write of its own for a sync it writes for all. An error is final.
func (s *Segment) Flush() error {
	s.lent = nil
	if s.writing == nil {
		return s.failedBefore()
	}
	if err := s.writing.pages.flush(); err != nil {
		return s.fail("write", err)
	}
	s.writing.pages.giveUp()
	return nil
}

// Sync makes everything appended durable. An error is final.
func (s *Segment) Sync() error { return s.settle(false) }

// Seal makes everything durable, the index too, and ends the segment: nothing changes it any more.
func (s *Segment) Seal() error {
	if s.Sealed() {
		return nil
	}
	return s.settle(true)
}

// settle syncs the data before it writes to the index what the data holds: the index never knows more than the disk.
func (s *Segment) settle(seal bool) error {
	if err := s.failedBefore(); err != nil {
		return err
	}
	if s.End() == s.synced.end && s.named && !seal {
		s.lent = nil
		return nil
	}
	w, err := s.begin()
	if err != nil {
		return err
	}
	if err := w.pages.flush(); err != nil {
		return s.fail("write", err)
	}
	if mutant.On(mutant.IndexBeforeData) {
		// the index will know of data that the disk may not have
	} else if err := w.pages.file.Sync(); err != nil {
		return s.fail("sync", err)
	}
	if err := s.settleIndex(w, seal); err != nil {
		return s.fail("index", err)
	}
	s.stopWriting()
	return nil
}

func (s *Segment) failedBefore() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// settleIndex brings the index file up to the data, and then has readers see what was appended.
func (s *Segment) settleIndex(w *writing, seal bool) error {
	s.loading.Lock() // who loads, or makes, the index meanwhile would have an older one for good
	defer s.loading.Unlock()
	w.ix.mark.sealed, w.ix.records = seal, s.recorded()
	kept := w.ix.records
	// Until the first Sync the disk may hold the index of an older segment of this base: it must not come back. Later
	// the records may be lost in a power cut, and are made again from the data.
	if err := s.writeIndex(w.ix.flush(s.base), kept, seal || !s.named); err != nil {
		return err
	}
	if err := s.syncNames(); err != nil {
		return err
	}
	s.publish(&w.ix)
	return nil
}

// publish has those who read the segment see what was appended, which is synced.
func (s *Segment) publish(appended *index) {
	o := s.o.Files.use(s) // nil while nobody does
	s.mu.Lock()
	s.adopt(*appended)
	if o != nil {
		o.ix.extend(appended)
	}
	s.mu.Unlock()
	if o != nil {
		s.o.Files.grown(o, len(appended.chunks))
		o.Release()
	}
}

func (s *Segment) recorded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records
}

// appendIndex writes what ix has for the file after its first kept records and cuts off what stood there.
func (s *Segment) appendIndex(ix *index, kept int, durable bool) error {
	return s.writeIndex(ix.flush(s.base), kept, durable)
}

func (s *Segment) writeIndex(records []byte, kept int, durable bool) error {
	f, err := s.fs.Open(s.indexName(), vfs.Create)
	if err != nil {
		return s.storage("index", err)
	}
	defer f.Close()
	at := int64(kept) * recordSize
	if err := f.Truncate(at); err != nil {
		return s.storage("index", err)
	}
	if _, err := f.WriteAt(records, at); err != nil {
		return s.storage("index", err)
	}
	if !durable {
		return nil
	}
	if err := f.Sync(); err != nil {
		return s.storage("index", err)
	}
	return nil
}
