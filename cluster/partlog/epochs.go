package partlog

import "sort"

// epochs is the leader epoch cache (KIP-101): the epochs of the log's batches and where each began, both increasing.
type epochs []epochStart

type epochStart struct {
	epoch int32
	start int64
}

const noEpoch = int32(-1)

func (es epochs) latest() int32 {
	if len(es) == 0 {
		return noEpoch
	}
	return es[len(es)-1].epoch
}

// note says that what is appended at start is of epoch. An epoch in which nothing was appended leaves no trace.
func (es *epochs) note(epoch int32, start int64) {
	if epoch <= es.latest() {
		return
	}
	for n := len(*es); n > 0 && (*es)[n-1].start >= start; n-- {
		*es = (*es)[:n-1]
	}
	*es = append(*es, epochStart{epoch, start})
}

// trim forgets the epochs that ended at or before logStart.
func (es *epochs) trim(logStart int64) {
	n := 0
	for n+1 < len(*es) && (*es)[n+1].start <= logStart {
		n++
	}
	*es = (*es)[n:]
	if len(*es) > 0 {
		(*es)[0].start = max((*es)[0].start, logStart)
	}
}

// of is the epoch of the batch that holds offset.
func (es epochs) of(offset int64) int32 {
	i := sort.Search(len(es), func(i int) bool { return es[i].start > offset })
	if i == 0 {
		return noEpoch
	}
	return es[i-1].epoch
}

func (es epochs) end(epoch int32, logEnd int64) (int32, int64) {
	i := sort.Search(len(es), func(i int) bool { return es[i].epoch > epoch })
	switch {
	case i == len(es) && epoch == es.latest() && i > 0:
		return epoch, logEnd
	case i == len(es):
		return noEpoch, -1
	case i == 0:
		return epoch, es[0].start
	}
	return es[i-1].epoch, es[i].start
}

// EpochEnd returns the largest epoch <= epoch that the log knows and the offset at which it ended (KIP-101). An epoch
// older than all that are known ended where the oldest of them began; one newer than all, or -1, gives -1, -1
// (Kafka's LeaderEpochFileCache.endOffsetFor).
func (l *Log) EpochEnd(epoch int32) (int32, int64) {
	if epoch < 0 {
		return noEpoch, -1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs.end(epoch, l.end)
}

// LatestEpoch is the newest epoch that the log knows, -1 for none.
func (l *Log) LatestEpoch() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs.latest()
}

// EpochOf returns the leader epoch of the batch that holds offset, for ListOffsets' answers; -1 when unknown.
func (l *Log) EpochOf(offset int64) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs.of(offset)
}

// Follow says that another node leads in that epoch: what a leader of an older one still has under way is refused from now
// on, so that whatever is compared with the new leader's log stays as it is.
func (l *Log) Follow(epoch int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fence = max(l.fence, epoch)
}

// Lead notes that a leader of that epoch begins at the log's end: from now on appends of older epochs are refused.
// Nothing is written: the metadata says it again after a restart.
func (l *Log) Lead(epoch int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs.note(epoch, l.end)
}
