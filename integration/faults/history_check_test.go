package faults

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// check says which promises the history breaks, with their numbers as the project counts them (I1 to I8, I11). It holds
// for partitions without transactions, compaction and deletion, of which everything was read once at the end; what
// records are in the batches is the ledger's business.
func (h *history) check() (wrong []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wrong = append(wrong, h.odd...)
	logs := h.sort()
	for _, k := range slices.SortedFunc(maps.Keys(logs), comparePartitions) {
		wrong = append(wrong, logs[k].check()...)
	}
	return append(wrong, h.checkCommits()...)
}

// seenLogs is what clients were shown of each partition.
func (h *history) seenLogs() map[partitionKey][]seenBatch {
	h.mu.Lock()
	defer h.mu.Unlock()
	shown := map[partitionKey][]seenBatch{}
	for k, l := range h.sort() {
		l.merge()
		shown[k] = l.log
	}
	return shown
}

// sort sorts what happened by the partition.
func (h *history) sort() map[partitionKey]*seenLog {
	logs := map[partitionKey]*seenLog{}
	at := func(k partitionKey) *seenLog {
		if logs[k] == nil {
			logs[k] = newSeenLog(k)
		}
		return logs[k]
	}
	for i := range h.read {
		f := &h.read[i]
		at(f.from).reads = append(at(f.from).reads, f)
	}
	for _, w := range h.wrote {
		at(w.to).writes = append(at(w.to).writes, w)
	}
	return logs
}

func comparePartitions(a, b partitionKey) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.number, b.number))
}

// A seenLog is what all clients together saw of a partition.
type seenLog struct {
	key    partitionKey
	reads  []*fetched
	writes []*written
	log    []seenBatch             // each once, by its base offset
	begun  map[int32]time.Duration // when an epoch's first acknowledgement was in, by the epoch
	tries  map[uint64]int          // attempts to write a batch, by its CRC
	first  map[int32]*written      // an epoch's first acknowledgement that only its leader can have given
	wrong  []string
}

func newSeenLog(k partitionKey) *seenLog {
	return &seenLog{key: k, begun: map[int32]time.Duration{}, tries: map[uint64]int{}, first: map[int32]*written{}}
}

func (l *seenLog) add(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf("%s/%d: ", l.key.topic, l.key.number)+fmt.Sprintf(format, args...))
}

func (l *seenLog) check() []string {
	for _, w := range l.writes {
		l.tries[w.content]++
	}
	l.merge()
	l.checkLog()
	l.checkCopies()
	l.checkWrites()
	l.checkRetries()
	l.checkReads()
	l.checkMarks()
	return l.wrong
}

// merge makes one log of all that was read: whoever answered, and whenever, an offset has one batch.
func (l *seenLog) merge() {
	shown := map[int64]seenBatch{}
	for _, f := range l.reads {
		for _, b := range f.batches {
			if was, ok := shown[b.base]; ok && was != b {
				l.add("I3: offset %d is %+v, and %s has shown %+v there", b.base, was, f.broker, b)
			}
			shown[b.base] = b
		}
	}
	l.log = slices.SortedFunc(maps.Values(shown), func(a, b seenBatch) int { return cmp.Compare(a.base, b.base) })
}

// checkLog: batches follow one on the other, and so do the epochs of those who took them.
func (l *seenLog) checkLog() {
	next, epoch := int64(0), int32(0)
	for _, b := range l.log {
		if b.base != next {
			l.add("I6: a batch begins at offset %d where %d is next", b.base, next)
		}
		if b.epoch < epoch {
			l.add("I8: the batch at offset %d is of epoch %d, one before it is of %d", b.base, b.epoch, epoch)
		}
		next, epoch = b.last+1, b.epoch
	}
}

// checkCopies: what is in the log was sent, and no more often than it was tried and not refused.
func (l *seenLog) checkCopies() {
	may, copies := map[uint64]int{}, map[uint64]int{}
	idempotent := map[uint64]bool{}
	for _, w := range l.writes {
		if !refusedUnwritten[w.code] {
			may[w.content]++
		}
		idempotent[w.content] = w.producer >= 0
	}
	for _, b := range l.log {
		copies[b.content]++
		switch n := copies[b.content]; {
		case l.tries[b.content] == 0:
			l.add("I2: nobody has sent the batch at offset %d", b.base)
		case n > 1 && idempotent[b.content]:
			l.add("I4: the batch at offset %d stands there again, and its producer is idempotent", b.base)
		case n > may[b.content]:
			l.add("I5: the batch at offset %d stands there %d times, of %d attempts %d may have been taken", b.base, n, l.tries[b.content], may[b.content])
		}
	}
}

// refusedUnwritten are the codes of an attempt that has written nothing, for sure: UNKNOWN_TOPIC_OR_PARTITION and
// NOT_ENOUGH_REPLICAS. A leader that is deposed tells so to those whose records it has taken, too.
var refusedUnwritten = map[int16]bool{3: true, 19: true}

func (l *seenLog) at(offset int64) (seenBatch, bool) {
	n, found := slices.BinarySearchFunc(l.log, offset, func(b seenBatch, offset int64) int { return cmp.Compare(b.base, offset) })
	if !found {
		return seenBatch{}, false
	}
	return l.log[n], true
}

// checkWrites: what was acknowledged is where it was acknowledged, and one leader an epoch has done so, until the next
// epoch has begun. Only of a batch that was tried once is it known that whoever acknowledged it has also taken it.
func (l *seenLog) checkWrites() {
	for _, w := range l.writes {
		if !w.acknowledged() {
			continue
		}
		b, ok := l.at(w.base)
		if !ok || b.content != w.content {
			l.add("I1: what %s has acknowledged at offset %d is not there", w.broker, w.base)
			continue
		}
		if begun, ok := l.begun[b.epoch]; !ok || w.end < begun {
			l.begun[b.epoch] = w.end
		}
	}
	for _, w := range l.writes {
		b, ok := l.at(w.base)
		if !w.acknowledged() || !ok || b.content != w.content || l.tries[w.content] > 1 {
			continue
		}
		if first := l.first[b.epoch]; first == nil {
			l.first[b.epoch] = w
		} else if first.broker != w.broker {
			l.add("I8: %s and %s have both acknowledged in epoch %d, offsets %d and %d", first.broker, w.broker, b.epoch, first.base, w.base)
		}
		if epoch, since := l.newer(b.epoch); since < w.start {
			l.add("I8: %s acknowledges offset %d in epoch %d, asked %s after epoch %d was there", w.broker, w.base, b.epoch, w.start-since, epoch)
		}
	}
}

// newer is the first time at which a client knew that an epoch had ended, and the epoch that it knew it by.
func (l *seenLog) newer(than int32) (epoch int32, since time.Duration) {
	since = never
	for e, begun := range l.begun {
		if e > than && begun < since {
			epoch, since = e, begun
		}
	}
	return epoch, since
}

// checkRetries: a batch of an idempotent producer has one offset, however often it was sent.
func (l *seenLog) checkRetries() {
	type identity struct {
		producer int64
		epoch    int16
		sequence int32
	}
	given := map[identity]int64{}
	for _, w := range l.writes {
		if !w.acknowledged() || w.producer < 0 {
			continue
		}
		id := identity{w.producer, w.epoch, w.sequence}
		if was, ok := given[id]; ok && was != w.base {
			l.add("I4: sequence %d of producer %d was acknowledged at offsets %d and %d", w.sequence, w.producer, was, w.base)
		}
		given[id] = w.base
	}
}

// checkReads: nothing at or above the high watermark is shown, and nobody who has been deposed answers.
func (l *seenLog) checkReads() {
	for _, f := range l.reads {
		if n := len(f.batches); n > 0 && f.batches[n-1].last >= f.highWatermark {
			l.add("I7: %s shows offset %d, above its high watermark %d", f.broker, f.batches[n-1].last, f.highWatermark)
		}
		if f.epoch < 0 {
			continue
		}
		if epoch, since := l.newer(f.epoch); since < f.start {
			l.add("I8: %s serves reads in epoch %d, asked %s after epoch %d was there", f.broker, f.epoch, f.start-since, epoch)
		}
	}
}

// checkMarks: in an epoch a high watermark only rises, is above what was acknowledged in it, and stays in the log.
func (l *seenLog) checkMarks() {
	type mark struct {
		interval
		is int64
	}
	known := map[int32][]mark{}
	var reads []*fetched
	end := int64(0)
	if n := len(l.log); n > 0 {
		end = l.log[n-1].last + 1
	}
	for _, f := range l.reads {
		if f.epoch >= 0 {
			known[f.epoch] = append(known[f.epoch], mark{f.interval, f.highWatermark})
			reads = append(reads, f)
		}
		if f.highWatermark > end {
			l.add("I7: %s tells the high watermark %d, and the log ends at %d", f.broker, f.highWatermark, end)
		}
	}
	for _, w := range l.writes {
		if b, ok := l.at(w.base); ok && w.acknowledged() && l.tries[w.content] == 1 {
			known[b.epoch] = append(known[b.epoch], mark{w.interval, b.last + 1})
		}
	}
	for _, marks := range known {
		slices.SortFunc(marks, func(a, b mark) int { return cmp.Compare(a.end, b.end) })
	}
	slices.SortFunc(reads, func(a, b *fetched) int { return cmp.Compare(a.start, b.start) })
	least, seen := map[int32]int64{}, map[int32]int{}
	for _, f := range reads {
		for marks := known[f.epoch]; seen[f.epoch] < len(marks) && marks[seen[f.epoch]].before(f.interval); seen[f.epoch]++ {
			least[f.epoch] = max(least[f.epoch], marks[seen[f.epoch]].is)
		}
		if f.highWatermark < least[f.epoch] {
			l.add("I7: %s tells the high watermark %d in epoch %d, where it was %d", f.broker, f.highWatermark, f.epoch, least[f.epoch])
		}
	}
}

// checkCommits: a committed offset is a register. Who looks is told a value that somebody may have written last: it was
// tried before the look ended, and no other one was done with after it and before the look began.
func (h *history) checkCommits() (wrong []string) {
	tried := map[commit][]*committed{}
	for _, c := range h.commits {
		tried[c.of] = append(tried[c.of], c)
	}
	for i := range h.lookups {
		look := &h.lookups[i]
		if !explained(look, tried[look.of]) {
			wrong = append(wrong, fmt.Sprintf("I11: the commit %v is %d for who looked at %s", look.of, look.at, look.start))
		}
	}
	return wrong
}

func explained(look *lookedUp, tried []*committed) bool {
	// overwritten is when the last write began that was done before the look began: what was over by then is gone.
	overwritten := time.Duration(-1)
	for _, c := range tried {
		if c.code == 0 && c.before(look.interval) {
			overwritten = max(overwritten, c.start)
		}
	}
	if look.at == nothingCommitted {
		return overwritten < 0
	}
	return slices.ContainsFunc(tried, func(c *committed) bool {
		over := c.end
		if c.code != 0 {
			over = never // it may still come
		}
		return c.at == look.at && c.start < look.end && over >= overwritten
	})
}
