package partlog

import (
	"fmt"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/crc"
)

// followMost is how long an entry of a follower gets, unless a single batch is longer: long enough that an entry costs
// little, short enough that a truncation into the middle of one, and a cold read, need not look at much.
const followMost = 256 << 10

// AppendAsFollower takes over whole batches as the leader has them: its offsets, its epochs. They must begin where the log
// ends and follow each other; only an empty log may be given a first batch that begins before its start, in the middle of
// which the leader's log starts. leaderEpoch is that of the leader that sent them. Nothing of data is changed; else Buf is
// as in Append. It does not wait: they are durable when Offsets().Durable >= end. After a refusal the log may have taken
// the batches before the one that was refused: end says how far it goes.
func (l *Log) AppendAsFollower(data []byte, buf *arena.Buf, leaderEpoch int32) (end int64, err error) {
	runs, err := split(data, buf, leaderEpoch)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range runs {
		if err := l.follow(&runs[i], buf); err != nil {
			return l.end, err
		}
	}
	return l.end, err
}

// run is batches of one epoch that become one entry: readers tell by the epoch whether they found what they looked for.
type run struct {
	data      []byte
	base, end int64
	epoch     int32
	count     int
	sum       uint32 // of data from batch.SumFrom on
	maxTime   int64
}

// split checks the batches by themselves and gathers them into runs.
func split(data []byte, buf *arena.Buf, leaderEpoch int32) (runs []run, err error) {
	for begin, rest := 0, data; len(rest) > 0; {
		b, after, err := batch.Next(rest)
		if err != nil {
			return runs, err
		}
		if err := admissible(b, buf, leaderEpoch); err != nil {
			return runs, err
		}
		if n := len(runs); n > 0 && runs[n-1].takes(b) {
			runs[n-1].add(b, data[begin:])
		} else {
			begin = len(data) - len(rest)
			runs = append(runs, run{data: b, base: b.BaseOffset(), end: b.NextOffset(), epoch: b.LeaderEpoch(), count: 1, sum: b.CRC(), maxTime: b.MaxTimestamp()})
		}
		rest = after
	}
	return runs, nil
}

// admissible says whether a leader can have sent b.
func admissible(b batch.Batch, buf *arena.Buf, leaderEpoch int32) error {
	switch {
	case len(b) > wal.MaxEntry:
		return kerr.MessageTooLarge
	case b.LeaderEpoch() < 0 || b.LeaderEpoch() > leaderEpoch:
		return fmt.Errorf("a batch of epoch %d from the leader of epoch %d: %w", b.LeaderEpoch(), leaderEpoch, kerr.CorruptMessage)
	case b.BaseOffset() < 0 || b.NextOffset() <= b.BaseOffset():
		return fmt.Errorf("a batch from offset %d to %d: %w", b.BaseOffset(), b.NextOffset(), kerr.CorruptMessage)
	}
	if buf != nil {
		if off, ok := buf.Offset(b); ok {
			if buf.Sum(off+batch.SumFrom, off+len(b)) != b.CRC() {
				return fmt.Errorf("the batch at offset %d: %w", b.BaseOffset(), kerr.CorruptMessage)
			}
			return nil
		}
	}
	return b.CheckCRC()
}

func (r *run) takes(b batch.Batch) bool {
	return b.BaseOffset() == r.end && b.LeaderEpoch() == r.epoch && len(r.data)+len(b) <= followMost
}

// add lengthens the run, which is the beginning of data, by b, which follows it there.
func (r *run) add(b batch.Batch, data []byte) {
	r.data = data[: len(r.data)+len(b) : len(r.data)+len(b)]
	if len(b) < combineFrom {
		r.sum = crc.Update(r.sum, b)
	} else {
		r.sum = crc.Combine(crc.Update(r.sum, b[:batch.SumFrom]), b.CRC(), int64(len(b)-batch.SumFrom))
	}
	r.end, r.count, r.maxTime = b.NextOffset(), r.count+1, max(r.maxTime, b.MaxTimestamp())
}

// combineFrom is the length of a batch from which on putting checksums together costs less than reading it again.
const combineFrom = 8 << 10

// follow queues a run; the caller holds l.mu.
func (l *Log) follow(r *run, buf *arena.Buf) error {
	switch empty := l.start == l.end; {
	case l.closed:
		return kerr.NotLeaderOrFollower
	case l.store.broken.Load():
		return l.store.failure
	case r.epoch < l.epochs.latest():
		return fmt.Errorf("records of epoch %d where %d has begun: %w", r.epoch, l.epochs.latest(), kerr.FencedLeaderEpoch)
	case r.base != l.end && !(empty && r.base < l.end && r.end > l.end):
		return fmt.Errorf("%s: records from offset %d on, the log ends at %d: %w", l.id.name(), r.base, l.end, kerr.OffsetOutOfRange)
	}
	f := inFlight{maxTime: r.maxTime, base: r.base}
	if r.count > 1 {
		f.flags = severalBatches
	}
	e := wal.Entry{Stream: l.id.Stream, Kind: kindBatches, End: r.end, Data: r.data, Buf: buf, Sink: (*sink)(l), Sum: r.sum, SumFrom: batch.SumFrom}
	l.inFlight.push(f)
	if err := l.store.wal.Append(e); err != nil {
		return l.store.fail(err)
	}
	l.end = r.end
	return l.learn(r.data)
}

// learn takes over what batches that are in the log tell; the caller holds l.mu.
func (l *Log) learn(data []byte) error {
	for rest := data; len(rest) > 0; {
		b, after, err := batch.Next(rest)
		if err != nil {
			return l.store.fail(err)
		}
		rest = after
		l.epochs.note(b.LeaderEpoch(), b.BaseOffset())
		if b.MaxTimestamp() == batch.NoTimestamp {
			l.untimed = l.store.clock.read()
		}
		if err := l.track(b); err != nil {
			return l.store.fail(err) // a marker that cannot be read, with a good CRC
		}
	}
	return nil
}
