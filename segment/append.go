package segment

import (
	"errors"
	"fmt"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

var errSealed = errors.New("segment: append to a sealed segment")

// Append writes data, which must be whole batches with their offsets assigned, the first at or after End; the larger the
// pieces, the fewer the writes. Readers see the batches when Append returns; they are durable with the next Sync. After a
// write that failed the segment takes nothing more.
func (s *Segment) Append(data []byte) error {
	if err := s.writable(); err != nil {
		return err
	}
	if err := checkRun(data, s.End()); err != nil {
		return err
	}
	if s.writing == nil {
		o, err := s.acquire()
		if err != nil {
			return err
		}
		s.writing = o
	}
	if _, err := s.writing.data.WriteAt(data, s.Size()); err != nil {
		return s.fail("write", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ix := &s.writing.ix
	for len(data) > 0 {
		b, rest, _ := batch.Next(data)
		ix.add(b)
		data = rest
	}
	s.mark = ix.mark
	return nil
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
	if s.failedBefore() != nil {
		return s.failedBefore()
	}
	if s.End() == s.synced && s.named && !seal {
		return nil
	}
	o := s.writing
	if o == nil {
		var err error
		if o, err = s.acquire(); err != nil {
			return err
		}
		s.writing = o
	}
	if err := o.data.Sync(); err != nil {
		return s.fail("sync", err)
	}
	if err := s.settleIndex(o, seal); err != nil {
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

func (s *Segment) settleIndex(o *opened, seal bool) error {
	s.mu.Lock()
	o.ix.mark.sealed = seal
	kept := o.ix.records
	out := o.ix.flush(s.base)
	m, records := o.ix.mark, o.ix.records
	s.mu.Unlock()
	// Until the first Sync the disk may hold the index of an older segment of this base: it must not come back. Later
	// the records may be lost in a power cut, and are made again from the data.
	if err := s.writeIndex(out, kept, seal || !s.named); err != nil {
		return err
	}
	if err := s.syncNames(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark, s.records, s.synced = m, records, m.end
	return nil
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
