package partlog

import (
	"cmp"
	"slices"
)

// ActiveProducer is what the log knows of an idempotent producer, as DescribeProducers has it (KIP-664).
type ActiveProducer struct {
	ID           int64
	Epoch        int16
	LastSequence int32 // -1: only a transaction marker is known
	LastTime     int64 // ms, of its newest batch
	TxnFirst     int64 // of its open transaction, -1: none
}

// Producers are those that the log remembers, by id.
func (l *Log) Producers() []ActiveProducer {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]ActiveProducer, 0, len(l.producers))
	for _, p := range l.producers {
		a := ActiveProducer{ID: p.id, Epoch: p.epoch, LastSequence: -1, LastTime: p.lastTime, TxnFirst: p.txnFirst}
		if p.count > 0 {
			a.LastSequence = p.batches[p.newest].lastSeq
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b ActiveProducer) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
