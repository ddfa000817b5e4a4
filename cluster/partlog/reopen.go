package partlog

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"chronik/kafka/batch"
	"chronik/segment"
)

// A marker that is stable is not remembered: only an unclean election cuts it off. Then what is left of the log tells which
// transactions are open again, and the truncation's entry says it to a restart.

const (
	truncatedSize = 4
	reopenedSize  = 8 + 8 + 2
)

// reopened finds the transactions that are open at the truncation's end. The disk is read under the log's lock, which the caller
// holds, as in within.
func (t *truncation) reopened() error {
	l, at, open := t.log, t.log.start, map[int64]endedTxn{}
	for _, s := range slices.Backward(l.segments) {
		if s.End() > t.to {
			continue
		}
		if err := t.ongoing(s, open); err != nil {
			return err
		}
		at = max(at, s.End())
		break
	}
	for c := l.tail.seek(at); ; {
		e, ok := l.entryAt(&c)
		if !ok || e.base >= t.to {
			break
		}
		if err := t.follow(e, open); err != nil {
			return err
		}
	}
	t.open = slices.Collect(maps.Values(open))
	return nil
}

// ongoing is what the segments tell up to the end of s.
func (t *truncation) ongoing(s *segment.Segment, open map[int64]endedTxn) error {
	all, err := s.Ongoing()
	if err != nil {
		return err
	}
	for _, o := range all {
		e := endedTxn{first: o.FirstOffset, producer: o.ProducerID, epoch: -1}
		if s := t.log.segmentOf(o.FirstOffset); s.Base() <= o.FirstOffset {
			xs, err := s.Read(nil, o.FirstOffset, everything, 1, true)
			if err != nil {
				return err
			}
			data, err := batch.Copy(nil, xs)
			for i := range xs {
				xs[i].Release()
			}
			if err != nil {
				return err
			}
			e.epoch = batch.Batch(data).ProducerEpoch()
		}
		open[e.producer] = e
	}
	return nil
}

// follow takes over what an entry's batches tell below the end.
func (t *truncation) follow(e located, open map[int64]endedTxn) error {
	var c cold
	defer c.release()
	x, err := t.log.load([]located{e}, &c)
	if err != nil {
		return err
	}
	defer x.Release()
	data, err := batch.Copy(nil, []batch.Extent{x})
	if err != nil {
		return err
	}
	for rest := data; len(rest) > 0; {
		b, after, err := batch.Next(rest)
		if err != nil {
			return err
		}
		if b.NextOffset() > t.to {
			break
		}
		_, is := open[b.ProducerID()]
		switch {
		case b.IsControl():
			delete(open, b.ProducerID())
		case b.IsTransactional() && !is:
			open[b.ProducerID()] = endedTxn{first: b.BaseOffset(), producer: b.ProducerID(), epoch: b.ProducerEpoch()}
		}
		rest = after
	}
	return nil
}

// reopen has these transactions open; the caller holds l.mu.
func (l *Log) reopen(open []endedTxn) {
	if len(open) == 0 {
		return
	}
	if l.producers == nil {
		l.producers = producers{}
	}
	for _, e := range open {
		l.producers.of(e.producer, e.epoch).txnFirst = e.first
	}
	l.txns.reopen(l.producers)
}

func encodeTruncated(size int32, open []endedTxn) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(size))
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
