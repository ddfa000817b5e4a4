package partlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"chronik/kafka/batch"
	"chronik/segment"
)

// What opens a transaction again is kept until its marker is stable: a clean truncation takes none that is. One that an unclean
// election asks for does. So what it leaves of the log is read for the transactions that are open at its end, and its entry says
// them to a restart.

const (
	truncatedSize = 4
	reopenedSize  = 8 + 8 + 2
	reopenAtOnce  = 1 << 20 // bytes that are read at once
)

// errUnread says that what a truncation leaves is not known.
var errUnread = errors.New("partlog: what the truncation leaves was not read, or is another log by now")

// truncateUnclean is truncate while nothing is being cut. No lock of the log's is held while that is read: it may be much, and
// whoever reads a large batch marks it as whole.
func (l *Log) truncateUnclean(to int64, leaderEpoch int32) (int64, error) {
	r := remains{log: l, to: -1}
	end, err := l.truncate(to, leaderEpoch, &r)
	if !errors.Is(err, errUnread) {
		return end, err
	}
	if err := r.read(); err != nil {
		return to, fmt.Errorf("truncate %s: %w", l.id.name(), err)
	}
	return l.truncate(to, leaderEpoch, &r)
}

// remains is what a truncation to the offset to leaves of a log that ends at end: the transactions that are open there.
type remains struct {
	log     *Log
	to, end int64
	open    map[int64]endedTxn // by producer; they have no marker
}

// are says whether they are those of such a truncation; if not, it is the one to read for. Nobody appends meanwhile, and nothing is
// cut, so the ends tell whether it is still the same log.
func (r *remains) are(to, end int64) bool {
	same := r.to == to && r.end == end
	r.to, r.end = to, end
	return same
}

func (r *remains) list() []endedTxn {
	return slices.SortedFunc(maps.Values(r.open), func(a, b endedTxn) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.producer, b.producer))
	})
}

// read begins with what the segments know of their end.
func (r *remains) read() error {
	r.open = map[int64]endedTxn{}
	at, last := r.log.segmentsUpTo(r.to)
	if last != nil {
		if err := r.ongoing(last); err != nil {
			return err
		}
	}
	var data []byte
	for at < r.to {
		if r.log.store.stopping() {
			return errUnread
		}
		var err error
		if data, err = r.log.copyAt(data[:0], at, r.to, reopenAtOnce); err != nil {
			return err
		}
		if at, err = r.follow(data); err != nil {
			return err
		}
	}
	return nil
}

// segmentsUpTo is the last segment that ends at the offset end or before, and where it does. When there is none, or when the log
// begins behind it, it is nil, and where the log begins: what is open there is told by no record that is left.
func (l *Log) segmentsUpTo(end int64) (at int64, last *segment.Segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at = l.start
	for _, s := range l.segments {
		if e := s.End(); e >= at && e <= end {
			at, last = e, s
		}
	}
	return at, last
}

// ongoing takes over the transactions that are open at the segment's end.
func (r *remains) ongoing(s *segment.Segment) error {
	all, err := s.Ongoing()
	if err != nil {
		return r.log.storageError(err)
	}
	for _, o := range all {
		e := endedTxn{first: o.FirstOffset, producer: o.ProducerID, epoch: noProducerEpoch}
		if o.FirstOffset >= r.log.Offsets().LogStart {
			data, err := r.log.copyAt(nil, o.FirstOffset, r.to, 1)
			if err != nil {
				return err
			}
			if b := batch.Batch(data); b.ProducerID() == o.ProducerID {
				e.epoch = b.ProducerEpoch()
			}
		}
		r.open[e.producer] = e
	}
	return nil
}

const noProducerEpoch = int16(-1)

// copyAt appends to dst some of the log's batches from offset at on, one at least, none that begins at end or behind it.
func (l *Log) copyAt(dst []byte, at, end int64, most int) ([]byte, error) {
	xs, err := l.Read(nil, at, end, most, true)
	if err != nil {
		return nil, err
	}
	dst, err = batch.Copy(dst, xs)
	for i := range xs {
		xs[i].Release()
	}
	if err != nil {
		return nil, l.storageError(err)
	}
	if len(dst) == 0 {
		return nil, errUnread
	}
	return dst, nil
}

// follow takes over what batches tell, and returns where they end.
func (r *remains) follow(data []byte) (end int64, err error) {
	for rest := data; len(rest) > 0; {
		b, after, err := batch.Next(rest)
		if err != nil {
			return 0, r.log.storageError(err)
		}
		id := b.ProducerID()
		_, open := r.open[id]
		switch {
		case b.IsControl():
			delete(r.open, id)
		case b.IsTransactional() && !open:
			r.open[id] = endedTxn{first: b.BaseOffset(), producer: id, epoch: b.ProducerEpoch()}
		}
		end, rest = b.NextOffset(), after
	}
	return end, nil
}

// reopen has those of the transactions open that are not; the caller holds l.mu.
func (l *Log) reopen(open []endedTxn) {
	if len(open) == 0 {
		return
	}
	if l.producers == nil {
		l.producers = producers{}
	}
	for _, e := range open {
		p := l.producers[e.producer]
		if p != nil && p.txnFirst != noTxn {
			continue
		}
		if p == nil || e.epoch != noProducerEpoch {
			p = l.producers.of(e.producer, e.epoch)
		}
		p.txnFirst = e.first
	}
	l.txns.reopen(l.producers)
}

func encodeTruncated(size int32, open []endedTxn) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, truncatedSize+reopenedSize*len(open)), uint32(size))
	for _, e := range open {
		b = binary.BigEndian.AppendUint64(b, uint64(e.producer))
		b = binary.BigEndian.AppendUint64(b, uint64(e.first))
		b = binary.BigEndian.AppendUint16(b, uint16(e.epoch))
	}
	return b
}

func decodeTruncated(b []byte) (size int32, open []endedTxn, err error) {
	if len(b) < truncatedSize || (len(b)-truncatedSize)%reopenedSize != 0 {
		return 0, nil, errors.New("a truncation entry of the wrong size")
	}
	size = int32(binary.BigEndian.Uint32(b))
	for b = b[truncatedSize:]; len(b) > 0; b = b[reopenedSize:] {
		open = append(open, endedTxn{
			producer: int64(binary.BigEndian.Uint64(b)), first: int64(binary.BigEndian.Uint64(b[8:])),
			epoch: int16(binary.BigEndian.Uint16(b[16:])),
		})
	}
	return size, open, nil
}
