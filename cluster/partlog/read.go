package partlog

import (
	"errors"
	"fmt"
	"math"
	"sort"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/segment"
	"chronik/wal"
)

// Read appends extents of whole batches to dst: from the batch that holds from on, none that starts at or after limit,
// at most maxBytes, but with minOne at least one batch when there is one. It may stop early where the records lie in
// another file. Outside [LogStart, LogEnd]: kerr.OffsetOutOfRange. Damage is kerr.CorruptMessage or KafkaStorageError
// and never served. The caller releases the extents, also those that dst had when it returns an error.
func (l *Log) Read(dst []batch.Extent, from, limit int64, maxBytes int, minOne bool) ([]batch.Extent, error) {
	r := reading{log: l, dst: dst, begun: len(dst), from: from, limit: limit, room: maxBytes, minOne: minOne}
	defer r.cold.release()
	err := r.run()
	if err != nil && len(r.dst) > r.begun {
		err = nil // what was found is good; the next read meets the error
	}
	return r.dst, err
}

// reading is one call of Read.
type reading struct {
	log         *Log
	dst         []batch.Extent
	begun       int // extents in dst that are not ours
	from, limit int64
	inSegments  int64 // where the segments' part ends: beyond, a segment may hold bytes that are not durable yet
	room        int
	minOne      bool
	found       [64]located
	cold        cold
}

var errMoved = errors.New("partlog: the records moved while they were read")

// run reads until there is nothing more or no more room. The records may move from the write-ahead log to a segment, or
// go, between the look into the index and the read: then it looks again. They move only a few times.
func (r *reading) run() error {
	for moved := 0; ; {
		seg, n, err := r.plan()
		if err != nil || seg == nil && n == 0 {
			return err
		}
		var more bool
		if seg != nil {
			more, err = r.segment(seg)
		} else {
			more, err = r.entries(r.found[:n])
		}
		if errors.Is(err, errMoved) && moved < 8 {
			moved++
			continue
		}
		if err != nil {
			return r.log.storageError(err)
		}
		if !more {
			return nil
		}
	}
}

// plan looks up where from lies: in a segment, or in the n entries that it copies out of the index.
func (r *reading) plan() (seg *segment.Segment, n int, err error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, 0, kerr.NotLeaderOrFollower
	}
	if r.from < l.start || r.from > l.end {
		return nil, 0, kerr.OffsetOutOfRange
	}
	limit := min(r.limit, l.durable)
	if r.from >= limit {
		return nil, 0, nil
	}
	if r.from < l.tail.base {
		r.inSegments = min(limit, l.tail.base)
		if seg = l.segmentOf(r.from); seg == nil {
			// Not even damage makes this; answering nothing would have readers wait for ever.
			err = fmt.Errorf("read %s: no segment holds offset %d: %w", l.id.name(), r.from, kerr.KafkaStorageError)
		}
		return seg, 0, err
	}
	c := l.tail.seek(r.from)
	for bytes := 0; n < len(r.found) && (n == 0 || bytes < r.room); n++ {
		e, ok := l.entryAt(&c)
		if !ok || e.base >= limit {
			break
		}
		r.found[n] = e
		bytes += int(e.size)
	}
	return nil, n, nil
}

// segmentOf is the segment that holds offset, else the first one behind it; nil when there is none.
func (l *Log) segmentOf(offset int64) *segment.Segment {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].End() > offset })
	if i == len(l.segments) {
		return nil
	}
	return l.segments[i]
}

// segment reads from one segment and says whether to go on: only when it had nothing.
func (r *reading) segment(s *segment.Segment) (more bool, err error) {
	had := len(r.dst)
	end := min(s.End(), r.inSegments)
	r.dst, err = s.Read(r.dst, r.from, end, r.room, r.minOne && had == r.begun)
	if err != nil {
		return false, r.movedOr(err, s)
	}
	if len(r.dst) > had || r.room <= 0 || !r.minOne {
		return false, nil
	}
	r.from = end
	return true, nil
}

// movedOr is errMoved when the records at from are no more where they were, in s, else err: what expired or was cut off meanwhile is
// no damage.
func (r *reading) movedOr(err error, s *segment.Segment) error {
	if r.from < r.log.Offsets().LogStart || !r.log.has(s) {
		return errMoved
	}
	return err
}

// entries reads from the write-ahead log and says whether there may be more.
func (r *reading) entries(es []located) (more bool, err error) {
	r.cold.all = len(es) < len(r.found)
	for i, e := range es {
		first := r.minOne && len(r.dst) == r.begun
		if int(e.size) > r.room && !first && e.flags&severalBatches == 0 {
			return false, nil
		}
		r.cold.modest = !first
		x, err := r.log.load(es[i:], &r.cold)
		if errors.Is(err, errScarce) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		whole := r.fit(&x, e, first)
		if x.Size() == 0 {
			x.Release()
			return false, nil
		}
		r.add(x)
		r.from, r.room = e.end, r.room-int(x.Size())
		if !whole || r.room <= 0 {
			return false, nil
		}
	}
	return true, nil
}

// add appends x, or lengthens the extent before it when it goes on there.
func (r *reading) add(x batch.Extent) {
	if n := len(r.dst); n > r.begun && r.cold.joins(&r.dst[n-1], &x) {
		x.Release()
		return
	}
	r.dst = append(r.dst, x)
}

// fit cuts an entry of several batches down to those that are asked for and says whether its end is among them.
func (r *reading) fit(x *batch.Extent, e located, first bool) (whole bool) {
	if e.flags&severalBatches == 0 {
		return true
	}
	var begin, end int64
	begin, end, whole = r.cut(x.Mem, first)
	x.Mem = x.Mem[begin:end]
	return whole
}

func (r *reading) cut(data []byte, first bool) (begin, end int64, whole bool) {
	room := r.room
	for rest := data; len(rest) > 0; {
		b, after, err := batch.Next(rest)
		if err != nil || b.BaseOffset() >= r.limit {
			return begin, end, false
		}
		rest = after
		if b.NextOffset() <= r.from {
			begin += int64(len(b))
			end = begin
			continue
		}
		if len(b) > room && !(first && end == begin) {
			return begin, end, false
		}
		room -= len(b)
		end += int64(len(b))
	}
	return begin, end, true
}

// load fetches the bytes of the first of the entries ahead, checked when they come from a file. An entry of several
// batches is always in memory.
func (l *Log) load(ahead []located, c *cold) (batch.Extent, error) {
	e := ahead[0]
	x, err := l.locate(e)
	if err != nil || x.Mem != nil && x.Ref != nil {
		return x, err
	}
	if x.Mem != nil { // copied from a file that the operating system does not know
		return x, e.verify(x.Mem)
	}
	if e.size >= sendfileFrom && e.flags&checkedInFile != 0 {
		return x, nil
	}
	defer func() {
		if err != nil {
			x.Release()
		}
	}()
	data, err := c.read(l.store.options.Pool, &x, ahead)
	if err != nil {
		return x, fmt.Errorf("read the write-ahead log at %d: %w", e.pos, err)
	}
	if err = e.verify(data); err != nil {
		return x, fmt.Errorf("the write-ahead log at %d: %w", e.pos, err)
	}
	if e.size >= sendfileFrom && e.flags&severalBatches == 0 {
		l.mark(e.end, checkedInFile)
		return x, nil
	}
	return c.take(&x, data), nil
}

// locate says where an entry's bytes are: in memory, or in a file, unchecked.
func (l *Log) locate(e located) (batch.Extent, error) {
	x, err := l.store.wal.Read(e.loc())
	if errors.Is(err, wal.ErrGone) {
		return x, errMoved
	}
	return x, err
}

func (l *Log) mark(end int64, flag uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail.setFlag(end, flag)
}

// verify says whether data is whole, and what the index says.
func (e located) verify(data []byte) error {
	for rest := data; len(rest) > 0; {
		b, after, err := batch.Next(rest)
		if err == nil {
			err = b.CheckCRC()
		}
		if err != nil {
			return err
		}
		rest = after
	}
	return e.fits(data)
}

// entryAt is tail.next with the entry's epoch; the caller holds l.mu.
func (l *Log) entryAt(c *cursor) (located, bool) {
	e, ok := l.tail.next(c)
	e.epoch = l.epochs.of(e.base)
	return e, ok
}

// fits says whether data is what the log knows: a write that the disk lost or put elsewhere has a good CRC too, and a
// batch's CRC is of neither its offset nor its epoch.
func (e located) fits(data []byte) error {
	at := e.base
	for rest := data; len(rest) > 0; {
		b, after, err := batch.Next(rest)
		if err != nil {
			return err
		}
		if b.BaseOffset() < at || at == e.base && b.BaseOffset() != at {
			return fmt.Errorf("batch of offset %d where %d belongs: %w", b.BaseOffset(), at, kerr.CorruptMessage)
		}
		if e.epoch != noEpoch && b.LeaderEpoch() != e.epoch {
			return fmt.Errorf("batch of epoch %d where one of %d belongs: %w", b.LeaderEpoch(), e.epoch, kerr.CorruptMessage)
		}
		at, rest = b.NextOffset(), after
	}
	if at != e.end {
		return fmt.Errorf("batch ends at offset %d instead of %d: %w", at, e.end, kerr.CorruptMessage)
	}
	return nil
}

// storageError gives an error that is not Kafka's yet a code and says whose it is. Damage goes to the log too: clients try
// again without a word.
func (l *Log) storageError(err error) error {
	if errors.Is(err, errMoved) {
		return fmt.Errorf("%s: %w: %w", l.id.name(), kerr.KafkaStorageError, err)
	}
	code := kerr.Of(err)
	if code == kerr.UnknownServerError {
		err = fmt.Errorf("read %s: %w: %w", l.id.name(), kerr.KafkaStorageError, err)
	} else {
		err = fmt.Errorf("read %s: %w", l.id.name(), err)
	}
	if code != kerr.OffsetOutOfRange {
		l.complain(err)
		if told := l.store.options.Damaged; told != nil && isDamage(err) {
			told(Damage{l.id, err})
		}
	}
	return err
}

// complain logs damage once a minute for each partition, however often it is asked for.
func (l *Log) complain(err error) {
	now, before := l.store.options.Now().Unix(), l.complained.Load()
	if now-before >= 60 && l.complained.CompareAndSwap(before, now) {
		l.store.options.Logger.Error("records cannot be read and are not served; see all damage with chronik dump --verify once the "+
			"broker is stopped", "partition", l.id.name(), "error", err)
	}
}

// everything is a limit for readers that want all there is.
const everything = int64(math.MaxInt64)
