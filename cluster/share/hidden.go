package share

import (
	"slices"

	"chronik/cluster/partlog"
	"chronik/kafka/batch"
)

// hiding finds the batches that no member is given: transactions' markers, and, of those that were read, the aborted ones'.
type hiding struct {
	aborted []partlog.AbortedTxn // by first offset; those still to come
	open    []int64              // producers whose records here are aborted
}

// hidden must be asked about every batch in turn.
func (h *hiding) hidden(b batch.Batch) bool {
	for len(h.aborted) > 0 && h.aborted[0].FirstOffset <= b.LastOffset() {
		h.open = append(h.open, h.aborted[0].ProducerID)
		h.aborted = h.aborted[1:]
	}
	i := slices.Index(h.open, b.ProducerID())
	if b.IsControl() {
		if i >= 0 {
			h.open = slices.Delete(h.open, i, i+1) // the marker that aborts it
		}
		return true
	}
	return i >= 0 && b.IsTransactional()
}
