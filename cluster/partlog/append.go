package partlog

import (
	"math"

	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/mutant"
)

// Append says how a produce is to be taken.
type Append struct {
	Data        []byte     // one request's records for this partition; patched in place
	Buf         *arena.Buf // that Data lies in, or nil
	Version     int16      // of the produce request: says which message formats and codecs are allowed
	LeaderEpoch int32
}

// Appended is what became of it. Duplicate: an idempotent producer's retry, not written again; Base is the original's.
type Appended struct {
	Base, End  int64
	AppendTime int64 // ms when the topic has LogAppendTime, else -1
	LogStart   int64
	Duplicate  bool
}

// kindBatches is the kind of entries that hold record batches; start.go has the other kinds.
const kindBatches wal.Kind = 1

const noAppendTime = int64(-1)

// AppendAsLeader checks the records (Kafka's error codes), gives them offsets and queues them; it does not wait. They
// are durable when Offsets().Durable >= End, a duplicate's too. Call Store.Commit after the last partition of a request.
// With a Buf the bytes go to disk from where they are: nobody may change them until they are durable, and the log
// retains the buffer; without one they are copied.
func (l *Log) AppendAsLeader(a Append) (Appended, error) {
	in, err := l.accept(&a)
	if err != nil {
		return Appended{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || a.LeaderEpoch < max(l.fence, l.epochs.latest()) {
		return Appended{}, kerr.NotLeaderOrFollower
	}
	if in.batch.ProducerID() != batch.NoProducerID && l.producers != nil && !mutant.On(mutant.ForgetDuplicates) {
		original, duplicate, err := l.producers.check(in.batch)
		if err != nil {
			return Appended{}, err
		}
		if duplicate {
			return l.again(original, in), nil
		}
	}
	return l.queue(in, a.LeaderEpoch)
}

// incoming is a batch that may be appended.
type incoming struct {
	batch      batch.Batch
	buf        *arena.Buf // that batch lies in, or nil
	appendTime int64
}

// queue gives the batch its offsets and has it written. Nothing changes unless the write-ahead log took it: what the
// log knows of producers and epochs is always what its entries say.
func (l *Log) queue(in incoming, leaderEpoch int32) (Appended, error) {
	b, base := in.batch, l.end
	b.Assign(base, leaderEpoch)
	end := b.NextOffset()
	if l.store.broken.Load() {
		return Appended{}, l.store.failure
	}
	l.inFlight.push(inFlight{base: base, maxTime: b.MaxTimestamp()})
	e := wal.Entry{Stream: l.id.Stream, Kind: kindBatches, End: end, Data: b, Buf: in.buf, Sink: (*sink)(l), Sum: b.CRC(), SumFrom: batch.SumFrom}
	if err := l.store.wal.Append(e); err != nil {
		return Appended{}, l.store.fail(err)
	}
	l.epochs.note(leaderEpoch, base)
	l.end = end
	if b.MaxTimestamp() == batch.NoTimestamp {
		l.untimed = l.store.clock.read()
	}
	if err := l.track(b); err != nil {
		return Appended{}, l.store.fail(err) // a marker of our own making that cannot be read
	}
	return Appended{Base: base, End: end, AppendTime: in.appendTime, LogStart: l.start}, nil
}

// again answers a retry with what its first attempt got.
func (l *Log) again(m batchMark, in incoming) Appended {
	a := Appended{Base: m.base(), End: m.lastOffset + 1, AppendTime: noAppendTime, LogStart: l.start, Duplicate: true}
	if in.appendTime != noAppendTime {
		a.AppendTime = m.time
	}
	return a
}

// accept turns what the client sent into the batch that the topic wants. This is the dear part (the CRC, seldom
// more), so it stands outside the lock.
func (l *Log) accept(a *Append) (incoming, error) {
	c := l.config.Load()
	in := incoming{buf: a.Buf, appendTime: noAppendTime}
	data, err := a.Data, error(nil)
	if magic := batch.MagicOf(data); magic >= 0 && magic < 2 && a.Version < 3 {
		if data, err = batch.ConvertUp(data, int(c.MaxMessageBytes)); err != nil {
			return in, err
		}
		in.buf = nil
	}
	if in.batch, err = batch.Check(data, l.checks(a, data, c)); err != nil {
		return in, err
	}
	if err := in.recompress(c); err != nil {
		return in, err
	}
	if c.LogAppendTime {
		in.appendTime = l.store.clock.read()
		in.batch.SetAppendTime(in.appendTime)
	}
	return in, nil
}

func (l *Log) checks(a *Append, data []byte, c *config.Topic) batch.CheckOptions {
	return batch.CheckOptions{
		Version:       a.Version,
		MaxBytes:      int(c.MaxMessageBytes),
		LogAppendTime: c.LogAppendTime,
		Now:           l.now(data, c),
		BeforeMax:     c.TimestampBeforeMaxMs,
		AfterMax:      c.TimestampAfterMaxMs,
		NeedKey:       c.CompactPolicy,
		Buf:           a.Buf,
	}
}

// now is a time good enough for the check of timestamps: the clock is read only when the last reading would refuse the
// batch, or when old timestamps are refused too.
func (l *Log) now(data []byte, c *config.Topic) int64 {
	switch {
	case c.LogAppendTime || len(data) < batch.HeaderSize:
		return 0
	case c.TimestampBeforeMaxMs != math.MaxInt64:
		return l.store.clock.read()
	case c.TimestampAfterMaxMs == math.MaxInt64:
		return 0
	}
	return l.store.clock.atLeast(batch.Batch(data).MaxTimestamp() - c.TimestampAfterMaxMs)
}

// recompress gives the batch the topic's codec when it has another one.
func (in *incoming) recompress(c *config.Topic) error {
	if c.CompressionType == "producer" || c.CompressionType == "" {
		return nil
	}
	codec, known := batch.ParseCodec(c.CompressionType)
	if !known || codec == in.batch.Codec() {
		return nil
	}
	to := batch.Compression{Codec: codec, Level: c.CompressionLevel}
	b, err := in.batch.Recompress(nil, to, batch.DecompressLimit(int(c.MaxMessageBytes)))
	if err == nil && len(b) > int(c.MaxMessageBytes) {
		err = kerr.Detail(kerr.MessageTooLarge, "the record batch has %d bytes in the topic's codec, max.message.bytes is %d", len(b), c.MaxMessageBytes)
	}
	in.batch, in.buf = b, nil
	return err
}
