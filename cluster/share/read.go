package share

import (
	"context"

	"chronik/cluster/coordinator"
	"chronik/cluster/replica"
	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Reading is records of a share partition that a member may try to acquire. They are a copy: what is answered must be cut
// out of them.
type Reading struct {
	manager *Manager
	key     Key
	log     *replica.Partition
	from    int64
	records []byte
	found   []Records
}

// Size is the number of bytes read; none says that there is nothing to acquire now.
func (r *Reading) Size() int { return len(r.records) }

// Read reads about max bytes of records from where something can be acquired; with minOne the first batch whatever its size. It asks
// room for the memory of that, and reads nothing when there is none. The error says why this node cannot tell: another one
// leads, or the log cannot be read.
func (m *Manager) Read(ctx context.Context, k Key, max int, minOne bool, room func(bytes int) bool) (*Reading, error) {
	r := &Reading{manager: m, key: k}
	log, err := m.options.Parts.Leader(k.Partition.Topic, k.Partition.Partition, -1)
	if err != nil {
		return nil, err
	}
	r.log = log
	at, err := m.look(ctx, k, log)
	if err != nil || at.none {
		return r, err
	}
	r.from = at.from
	committed := m.Config(k.Group).ReadCommitted
	extents, err := log.Read(nil, at.from, max, minOne, committed)
	if kerr.Of(err) == kerr.OffsetOutOfRange {
		return r, nil // the log's ends have moved meanwhile, or a new leader does not know yet what is committed
	}
	if err != nil {
		return nil, err
	}
	size := 0
	for i := range extents {
		size += int(extents[i].Size())
	}
	if size > 0 && room(size) {
		r.records, err = batch.Copy(make([]byte, 0, size), extents)
	}
	for i := range extents {
		extents[i].Release()
	}
	if err == nil && len(r.records) > 0 {
		r.found, err = m.found(log, r, committed)
	}
	return r, err
}

// look asks the machine where to read, and has the group begin where it has not yet.
func (m *Manager) look(ctx context.Context, k Key, log *replica.Partition) (at place, err error) {
	ended := epochEnds(log)
	extent := func() (logStart, logEnd int64) {
		marks := log.Marks()
		return marks.LogStart, marks.LogEnd
	}
	for range 2 {
		told := m.machines.Tell(k.String(), func(p *partition, now coordinator.Instant, fx *coordinator.Effects) {
			at, err = p.look(now, extent, ended, fx)
		})
		if told != nil {
			return place{none: true}, nil // its coordinator has not begun the state yet, as far as is known here
		}
		if err != nil || !at.unset {
			return at, err
		}
		if !log.HighWatermarkKnown() {
			return place{none: true}, nil
		}
		if err = m.beginAt(ctx, k, log); err != nil {
			return place{}, err
		}
	}
	return place{none: true}, nil
}

// epochEnds is where the log's records of epochs up to one end (KIP-101); negative when it does not know.
func epochEnds(log *replica.Partition) func(leaderEpoch int32) int64 {
	return func(leaderEpoch int32) int64 {
		_, end := log.Log().EpochEnd(leaderEpoch)
		return end
	}
}

// beginAt begins the group in the partition where share.auto.offset.reset says.
func (m *Manager) beginAt(ctx context.Context, k Key, log *replica.Partition) error {
	marks := log.Marks()
	start := marks.HighWatermark
	switch reset := m.Config(k.Group).AutoOffsetReset; reset {
	case config.ResetLatest:
	case config.ResetEarliest:
		start = marks.LogStart
	default:
		found, ok, err := log.Log().FindTime(m.options.Now().UnixMilli()-int64(reset), marks.HighWatermark)
		if err != nil {
			return err
		}
		if ok {
			start = found.Offset
		}
	}
	return m.begin(k, func(p *partition, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		p.begin(now, t, start, fx)
	}).Wait(ctx)
}

// found lists the batches that were read, as far as they are whole, and cuts off what is not.
func (m *Manager) found(log *replica.Partition, r *Reading, committed bool) ([]Records, error) {
	var found []Records
	var hides hiding
	rest := r.records
	for len(rest) > 0 {
		b, behind, err := batch.Next(rest)
		if err != nil {
			break
		}
		if found == nil && committed {
			if hides.aborted, err = log.Log().Aborted(max(r.from, log.Marks().LogStart), log.Marks().LastStable); err != nil {
				return nil, err
			}
		}
		found = append(found, Records{b.BaseOffset(), b.LastOffset(), hides.hidden(b)})
		rest = behind
	}
	r.records = r.records[:len(r.records)-len(rest)]
	return found, nil
}

// Acquire gives the member what can be had of the records, and the batches that they are in.
func (r *Reading) Acquire(w Want) ([]byte, []Acquired) {
	if len(r.found) == 0 {
		return nil, nil
	}
	var got []Acquired
	err := r.manager.machines.Tell(r.key.String(), func(p *partition, now coordinator.Instant, fx *coordinator.Effects) {
		got = p.acquire(now, r.from, r.found, w, epochEnds(r.log), fx)
	})
	if err != nil || len(got) == 0 {
		return nil, nil
	}
	return r.cut(got[0].First, got[len(got)-1].Last), got
}

// cut is the batches that hold records from first to last.
func (r *Reading) cut(first, last int64) []byte {
	begin, end := 0, 0
	for rest := r.records; len(rest) > 0; {
		b, behind, err := batch.Next(rest)
		if err != nil || b.BaseOffset() > last {
			break
		}
		if b.LastOffset() < first {
			begin += len(b)
		}
		end += len(b)
		rest = behind
	}
	return r.records[begin:end]
}

// Partition is the one that was read.
func (r *Reading) Partition() image.TopicPartition { return r.key.Partition }
