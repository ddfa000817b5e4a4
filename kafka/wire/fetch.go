package wire

import (
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
)

// leaderElsewhere says whether a partition's error sends the client to another leader, so that a hint is of use.
func leaderElsewhere(err kerr.Code) bool {
	return err == kerr.NotLeaderOrFollower || err == kerr.FencedLeaderEpoch
}

// fetch appends a Fetch response without the records: where these belong, it only inserts their extents.
func (r *Reply) fetch(e *encoder, f *FetchResponse, throttle int32) {
	v := r.version
	e.flexible = v >= 12
	if v >= 1 {
		e.int32(throttle)
	}
	if v >= 7 {
		e.int16(int16(f.Err))
		e.int32(f.SessionID)
	}
	e.array(len(f.Topics))
	for i := range f.Topics {
		t := &f.Topics[i]
		if v >= 13 {
			e.b = append(e.b, t.ID[:]...)
		} else {
			e.string(t.Name)
		}
		e.array(len(t.Partitions))
		for j := range t.Partitions {
			r.fetchPartition(e, &t.Partitions[j])
		}
		e.tags(0)
	}
	if v >= 16 && len(f.Nodes) > 0 {
		e.tags(1)
		e.nodes(f.Nodes)
	} else {
		e.tags(0)
	}
}

func (r *Reply) fetchPartition(e *encoder, p *FetchPartition) {
	v := r.version
	e.int32(p.Partition)
	e.int16(int16(p.Err))
	e.int64(p.HighWatermark)
	if v >= 4 {
		e.int64(p.LastStable)
	}
	if v >= 5 {
		e.int64(p.LogStart)
	}
	if v >= 4 {
		e.aborted(p.Aborted)
	}
	if v >= 11 {
		e.int32(p.PreferredReplica)
	}
	// Without records this is an empty byte string, never null: clients take null for a broken answer.
	n := extentsLen(p.Records)
	e.array(int(n))
	r.insert(len(e.b), p.Records, n)
	if e.flexible {
		e.fetchTags(p)
	}
}

func (e *encoder) aborted(txns []AbortedTxn) {
	if txns == nil {
		e.array(-1)
		return
	}
	e.array(len(txns))
	for _, t := range txns {
		e.int64(t.ProducerID)
		e.int64(t.FirstOffset)
		e.tags(0)
	}
}

func (e *encoder) fetchTags(p *FetchPartition) {
	diverging := p.DivergingEpoch != -1 || p.DivergingEnd != -1
	leader := p.LeaderID != -1 || p.LeaderEpoch != -1
	n := 0
	if diverging {
		n++
	}
	if leader {
		n++
	}
	e.tags(n)
	if diverging {
		e.tag(0, 13)
		e.int32(p.DivergingEpoch)
		e.int64(p.DivergingEnd)
		e.tags(0)
	}
	if leader {
		e.leader(1, p.LeaderID, p.LeaderEpoch)
	}
}

// size is the bytes of all records.
func (f *FetchResponse) size() (n int64) {
	for i := range f.Topics {
		for j := range f.Topics[i].Partitions {
			n += extentsLen(f.Topics[i].Partitions[j].Records)
		}
	}
	return n
}

func extentsLen(extents []batch.Extent) int64 {
	var n int64
	for i := range extents {
		n += extentLen(&extents[i])
	}
	return n
}

func extentLen(x *batch.Extent) int64 {
	if x.File != nil {
		return x.Len
	}
	return int64(len(x.Mem))
}
