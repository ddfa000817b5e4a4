package partlog

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal"
	"chronik/wal/arena"
)

// ledger is what the world knows of one log: all that was appended, how much of it was acknowledged, and how far the log
// start was raised. What a crash left is held against it.
type ledger struct {
	stream  wal.StreamID
	batches []batch.Batch // with the offsets that they got; those behind acked are under way
	acked   int
	start   int64 // acknowledged
	raising int64 // the log start may be there already; with byTime at any batch's end on the way, too
	byTime  bool
	epoch   int32 // of the leader
	stable  int64 // nothing below is truncated, but after an unclean election
	cutting int   // the log may be truncated to that many batches already, if that is fewer than acked
	windows []window
	first   int64 // where the first batch begins
	anew    int64 // the log may have begun anew there already; 0: it does not
	lives   int   // truncations and new beginnings so far: no batch has the content of one that is gone
}

// window is what the log knew of each producer just after a truncation to n batches: how many of its newest ones.
type window struct {
	n     int
	known map[int64]int
}

// knows is how many of the producer's newest batches the log of n batches has to know again.
func (k *ledger) knows(id int64, n int) int {
	from, count := 0, 0
	if last := len(k.windows) - 1; last >= 0 {
		from, count = k.windows[last].n, k.windows[last].known[id]
	}
	epoch := int16(-1)
	for i, b := range k.batches[:n] {
		if b.ProducerID() != id || b.IsControl() {
			continue
		}
		if b.ProducerEpoch() != epoch && i >= from {
			count = 0
		}
		epoch = b.ProducerEpoch()
		if i >= from {
			count = min(count+1, remembered)
		}
	}
	return count
}

// truncated cuts the ledger to n batches.
func (k *ledger) truncated(n int) {
	w := window{n, map[int64]int{}}
	for id := int64(1); id <= producersEach; id++ {
		count, epoch := k.knows(id, len(k.batches)), int16(-1)
		for i := len(k.batches) - 1; i >= n; i-- {
			b := k.batches[i]
			if b.ProducerID() != id || b.IsControl() {
				continue
			}
			if epoch >= 0 && b.ProducerEpoch() != epoch {
				count = 0
			}
			epoch, count = b.ProducerEpoch(), max(0, count-1)
		}
		before := (&ledger{batches: k.batches[:n]}).own(id)
		if epoch >= 0 && (len(before) == 0 || before[0].ProducerEpoch() != epoch) {
			count = 0
		}
		w.known[id] = count
	}
	k.windows = append(slices.Clip(k.windows), w)
	k.batches, k.acked, k.cutting = slices.Clip(k.batches[:n]), n, n
	k.lives++
}

// reset has the ledger begin anew.
func (k *ledger) reset() {
	k.batches, k.windows, k.acked, k.cutting, k.stable = nil, nil, 0, 0, k.anew
	k.first, k.start, k.raising, k.anew = k.anew, k.anew, k.anew, 0
	k.lives++
}

func (k *ledger) end(n int) int64 {
	if n == 0 {
		return k.first
	}
	return k.batches[n-1].NextOffset()
}

// clone is one that can be appended to.
func (k *ledger) clone() *ledger {
	c := *k
	c.batches = slices.Clip(c.batches)
	return &c
}

// survived holds the log against the ledger: everything acknowledged is there, and nothing but that and a beginning of
// what was under way. From then on the ledger is of what is there.
func (k *ledger) survived(l *Log) error {
	o := l.Offsets()
	if k.anew > 0 && o.LogEnd == k.anew {
		k.reset()
	}
	k.anew = 0
	if k.cutting < k.acked && o.LogEnd < k.end(k.acked) {
		k.truncated(k.cutting)
	}
	n := k.acked
	for n < len(k.batches) && k.end(n) < o.LogEnd {
		n++
	}
	if k.end(n) != o.LogEnd || o.Durable != o.LogEnd {
		return fmt.Errorf("stream %d: %+v where %d was acknowledged and %d tried", k.stream, o, k.end(k.acked), k.end(len(k.batches)))
	}
	if !k.mayStart(o.LogStart) {
		return fmt.Errorf("stream %d: log start %d, acknowledged %d, tried %d", k.stream, o.LogStart, k.start, k.raising)
	}
	k.batches, k.acked, k.cutting, k.start, k.raising = slices.Clip(k.batches[:n]), n, n, o.LogStart, o.LogStart
	for _, check := range []func(*Log) error{k.sameRecords, k.sameTransactions, k.sameEpochs} {
		if err := check(l); err != nil {
			return fmt.Errorf("stream %d: %w", k.stream, err)
		}
	}
	return nil
}

func (k *ledger) mayStart(at int64) bool {
	if at == k.start || at == k.raising {
		return true
	}
	isEnd := slices.ContainsFunc(k.batches, func(b batch.Batch) bool { return b.NextOffset() == at })
	return k.byTime && at > k.start && at < k.raising && isEnd
}

// kept is the batches from the one with the log start on.
func (k *ledger) kept() []batch.Batch {
	return k.batches[slices.IndexFunc(append(k.batches, nil), func(b batch.Batch) bool { return b == nil || b.NextOffset() > k.start }):]
}

func (k *ledger) sameRecords(l *Log) error {
	from := k.start
	for _, want := range k.kept() {
		got, err := readBatch(l, from)
		if err != nil {
			return fmt.Errorf("read at %d: %w", from, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("at offset %d are %d other bytes than the %d written", from, len(got), len(want))
		}
		from = want.NextOffset()
	}
	if got, err := readBatch(l, from); err != nil || len(got) > 0 {
		return fmt.Errorf("%d bytes behind the last record (%w)", len(got), err)
	}
	if _, err := readBatch(l, k.start-1); kerr.Of(err) != kerr.OffsetOutOfRange {
		return fmt.Errorf("before the log start: %w", err)
	}
	return nil
}

// readBatch is the one batch that begins at offset, or holds it.
func readBatch(l *Log, offset int64) ([]byte, error) {
	xs, err := l.Read(nil, offset, everything, 1, true)
	if err != nil {
		return nil, err
	}
	data, err := batch.Copy(nil, xs)
	for i := range xs {
		xs[i].Release()
	}
	return data, err
}

// txnsOf is the transactions that the batches tell of: those aborted, and the first offset of each producer's open one.
func (k *ledger) txnsOf() (aborted []AbortedTxn, open map[int64]int64) {
	open = map[int64]int64{}
	for _, b := range k.batches {
		id := b.ProducerID()
		first, isOpen := open[id]
		switch {
		case b.IsControl():
			m, _ := b.Marker() // of our own making
			if !m.Commit && b.BaseOffset() >= k.start {
				aborted = append(aborted, AbortedTxn{id, first})
			}
			delete(open, id)
		case b.IsTransactional() && !isOpen:
			open[id] = b.BaseOffset()
		}
	}
	slices.SortFunc(aborted, func(a, b AbortedTxn) int {
		return cmp.Or(cmp.Compare(a.FirstOffset, b.FirstOffset), cmp.Compare(a.ProducerID, b.ProducerID))
	})
	return aborted, open
}

func (k *ledger) sameTransactions(l *Log) error {
	aborted, open := k.txnsOf()
	stable := k.end(len(k.batches))
	for _, first := range open {
		stable = min(stable, first)
	}
	if got := l.Offsets().LastStable; got != max(stable, k.start) {
		return fmt.Errorf("last stable offset %d, want %d, log start %d", got, stable, k.start)
	}
	got, err := l.Aborted(k.start, everything)
	if err != nil || !slices.Equal(got, aborted) {
		return fmt.Errorf("aborted transactions %v, want %v (%w)", got, aborted, err)
	}
	return nil
}

func (k *ledger) sameEpochs(l *Log) error {
	for _, b := range k.kept() {
		if got := l.EpochOf(max(b.BaseOffset(), k.start)); got != b.LeaderEpoch() {
			return fmt.Errorf("offset %d is of leader epoch %d, want %d", b.BaseOffset(), got, b.LeaderEpoch())
		}
	}
	return nil
}

// own is a producer's batches of its newest epoch, without markers.
func (k *ledger) own(id int64) (own []batch.Batch) {
	for _, b := range k.batches {
		if b.ProducerID() != id || b.IsControl() {
			continue
		}
		if len(own) > 0 && own[0].ProducerEpoch() != b.ProducerEpoch() {
			own = nil
		}
		own = append(own, b)
	}
	return own
}

// next is a batch that the producer may send next, of one record of n bytes, when skip is 0.
func (k *ledger) next(id int64, n int, transactional bool, skip int32) batch.Batch {
	p := batch.Producer{ID: id}
	if own := k.own(id); len(own) > 0 {
		last := own[len(own)-1]
		p.Epoch, p.Sequence = last.ProducerEpoch(), batch.IncrementSequence(last.LastSequence(), 1+skip)
	}
	w := batch.Builder{Producer: &p, Transactional: transactional}
	w.Add(&batch.Record{Timestamp: k.clock(), Value: content(k.stream, k.nth(), n)})
	return build(&w)
}

// clock gives each batch a later time.
func (k *ledger) clock() int64 { return 10 * int64(len(k.batches)+1) }

// nth numbers the next batch, and no other one.
func (k *ledger) nth() int { return 10_000*k.lives + len(k.batches) }

// content is n bytes that no other batch has.
func content(stream wal.StreamID, i, n int) []byte {
	b := fmt.Appendf(nil, "%d.%d:", stream, i)
	for len(b) < n {
		b = fmt.Appendf(b, "%x", len(b)*2654435761+i*40503)
	}
	return b
}

const producersEach = 3 // ids of producers of a stream: 1 to this

// goesOn does to the log what clients do after a crash: they send again what was not answered, are told that it is there,
// and send more. What is taken gets into the ledger.
func (k *ledger) goesOn(l *Log, r *rand.Rand, unanswered []batch.Batch) error {
	for id := range int64(producersEach) {
		if err := k.producerGoesOn(l, r, id+1); err != nil {
			return fmt.Errorf("stream %d: producer %d: %w", k.stream, id+1, err)
		}
	}
	for _, b := range unanswered {
		if b.IsControl() || len(k.own(b.ProducerID())) > 0 && !k.follows(b) {
			continue
		}
		if err := k.take(l, Append{Data: slices.Clone(b), Version: 9, LeaderEpoch: k.epoch}); err != nil {
			return fmt.Errorf("stream %d: sent again: %w", k.stream, err)
		}
	}
	return k.take(l, Append{Data: records(k.clock(), string(content(k.stream, k.nth(), 40))), Version: 9, LeaderEpoch: k.epoch})
}

func (k *ledger) producerGoesOn(l *Log, r *rand.Rand, id int64) error {
	own := k.own(id)
	if len(own) == 0 {
		return nil
	}
	known := k.knows(id, len(k.batches))
	for _, b := range own[len(own)-min(known, len(own)):] {
		a, err := l.AppendAsLeader(Append{Data: slices.Clone(b), Version: 9, LeaderEpoch: k.epoch})
		if err != nil || !a.Duplicate || a.Base != b.BaseOffset() || a.End != b.NextOffset() {
			return fmt.Errorf("the batch at %d again: %+v, %w", b.BaseOffset(), a, err)
		}
	}
	_, open := k.txnsOf()
	_, inTxn := open[id]
	gap := k.next(id, 10, inTxn, 1)
	if known == 0 {
		// after a truncation: it may go on with anything
	} else if _, err := l.AppendAsLeader(Append{Data: gap, Version: 9, LeaderEpoch: k.epoch}); kerr.Of(err) != kerr.OutOfOrderSequenceNumber {
		return fmt.Errorf("a gap in its sequence: %w", err)
	}
	if r.IntN(2) == 0 {
		return nil
	}
	return k.take(l, Append{Data: k.next(id, 10, inTxn, 0), Version: 9, LeaderEpoch: k.epoch})
}

// follows says whether b is what its producer may send next.
func (k *ledger) follows(b batch.Batch) bool {
	if b.ProducerID() == batch.NoProducerID {
		return true
	}
	_, open := k.txnsOf()
	_, inTxn := open[b.ProducerID()]
	want := k.next(b.ProducerID(), 1, false, 0)
	return inTxn == b.IsTransactional() && b.ProducerEpoch() == want.ProducerEpoch() && b.BaseSequence() == want.BaseSequence()
}

// take appends a batch that must be taken. It is under way then.
func (k *ledger) take(l *Log, a Append) error {
	want := k.end(len(k.batches))
	got, err := l.AppendAsLeader(a)
	if err != nil || got.Duplicate || got.Base != want {
		return fmt.Errorf("a batch that belongs at %d: %+v, %w", want, got, err)
	}
	k.batches = append(k.batches, slices.Clone(a.Data))
	return nil
}

// mark appends a transaction's marker, as its coordinator does.
func (k *ledger) mark(l *Log, b batch.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.queue(incoming{batch: b}, k.epoch)
	k.batches = append(k.batches, slices.Clone(b))
	return err
}

// inBuffer has the log write the batch from a buffer of the pool.
func inBuffer(pool *arena.Pool, b batch.Batch) (Append, *arena.Buf) {
	buf := pool.Overdraw(len(b) + 500)
	into := buf.Bytes()[300 : 300+len(b) : 300+len(b)]
	copy(into, b)
	return Append{Data: into, Buf: buf, Version: 9}, buf
}
