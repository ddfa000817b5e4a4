package partlog

import (
	"math"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
)

// remembered is how many of a producer's newest batches are known again (Kafka's ProducerStateEntry.NUM_BATCHES_TO_RETAIN):
// as many as a client may have in flight.
const remembered = 5

// producers is what the log knows of each idempotent producer, so that a retry is not written twice and a gap is seen.
// It follows from the batches alone: every replica that has the same batches has the same state.
type producers map[int64]*producer

type producer struct {
	id       int64
	epoch    int16
	count    uint8
	newest   uint8 // index in batches
	idle     bool  // no batch came since expire looked last
	lastTime int64 // greatest timestamp of the newest batch, ms
	txnFirst int64 // first offset of the open transaction, -1 when none is
	batches  [remembered]batchMark
}

// batchMark is one batch of a producer: sequences and offsets both run over delta+1 records.
type batchMark struct {
	lastOffset int64
	time       int64 // its greatest timestamp, ms: when it was appended, if the topic has LogAppendTime
	lastSeq    int32
	delta      int32
}

const noTxn = int64(-1)

func (m batchMark) base() int64     { return m.lastOffset - int64(m.delta) }
func (m batchMark) firstSeq() int32 { return decrement(m.lastSeq, m.delta) }

// decrement is seq minus n in the ring of the non-negative int32.
func decrement(seq, n int32) int32 {
	if seq < n {
		return int32(int64(math.MaxInt32) - int64(n) + int64(seq) + 1)
	}
	return seq - n
}

// check says whether a batch from a client may be appended, or is one of the producer's newest five over again. The rules
// are Kafka's (ProducerAppendInfo): INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE. A producer
// that is not known, or whose state expired, may begin with any sequence.
func (ps producers) check(b batch.Batch) (original batchMark, duplicate bool, err error) {
	p, known := ps[b.ProducerID()]
	if !known {
		return batchMark{}, false, nil
	}
	if m, found := p.find(b); found {
		return m, true, nil
	}
	return batchMark{}, false, p.admit(b)
}

func (p *producer) find(b batch.Batch) (batchMark, bool) {
	if b.ProducerEpoch() != p.epoch {
		return batchMark{}, false
	}
	for i := range p.count {
		m := p.batches[(p.newest+remembered-i)%remembered]
		if m.lastSeq == b.LastSequence() && m.firstSeq() == b.BaseSequence() {
			return m, true
		}
	}
	return batchMark{}, false
}

func (p *producer) admit(b batch.Batch) error {
	if b.ProducerEpoch() < p.epoch {
		return kerr.Detail(kerr.InvalidProducerEpoch, "producer %d has epoch %d, the batch's is %d", p.id, p.epoch, b.ProducerEpoch())
	}
	sameEpoch := b.ProducerEpoch() == p.epoch || p.epoch == noProducerEpoch
	truncated := p.count == 0 && p.txnFirst != noTxn && sameEpoch // what it sent last is not known any more
	if want := p.nextSequence(b.ProducerEpoch()); b.BaseSequence() != want && !truncated {
		return kerr.Detail(kerr.OutOfOrderSequenceNumber, "producer %d: sequence %d, expected %d", p.id, b.BaseSequence(), want)
	}
	if p.txnFirst != noTxn && !b.IsTransactional() {
		return kerr.Detail(kerr.InvalidTxnState, "producer %d has a transaction open since offset %d", p.id, p.txnFirst)
	}
	return nil
}

// nextSequence is the sequence that the producer's next batch has to begin with: a new epoch begins at 0, and so does
// a producer of whom only a transaction marker is known.
func (p *producer) nextSequence(epoch int16) int32 {
	if epoch != p.epoch || p.count == 0 {
		return 0
	}
	return batch.IncrementSequence(p.batches[p.newest].lastSeq, 1)
}

// note takes over a data batch that is in the log.
func (ps producers) note(b batch.Batch) *producer {
	p := ps.of(b.ProducerID(), b.ProducerEpoch())
	p.idle = false
	p.lastTime = b.MaxTimestamp()
	p.newest = (p.newest + 1) % remembered
	p.count = min(p.count+1, remembered)
	p.batches[p.newest] = batchMark{b.LastOffset(), b.MaxTimestamp(), b.LastSequence(), b.LastOffsetDelta()}
	return p
}

// of returns the producer, in that epoch: with a new one its batches are forgotten.
func (ps producers) of(id int64, epoch int16) *producer {
	p, known := ps[id]
	if !known {
		p = &producer{id: id, epoch: epoch, txnFirst: noTxn}
		ps[id] = p
	}
	if p.epoch != epoch {
		p.epoch, p.count = epoch, 0
	}
	return p
}

// expire forgets producers whose newest batch is older than before (ms), as its timestamp says, and who sent nothing
// since the last call: a producer may well send old timestamps.
func (ps producers) expire(before int64) {
	for id, p := range ps {
		if p.idle && p.lastTime < before && p.txnFirst == noTxn {
			delete(ps, id)
		}
		p.idle = true
	}
}
