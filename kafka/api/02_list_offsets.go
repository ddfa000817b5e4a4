package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/replica"
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// Timestamps that stand for a place in the log (ListOffsetsRequest).
const (
	latestTimestamp        = -1
	earliestTimestamp      = -2
	maxTimestamp           = -3 // KIP-734
	earliestLocalTimestamp = -4 // KIP-405
	latestTieredTimestamp  = -5 // KIP-1005
	earliestPendingUpload  = -6 // KIP-1023
)

var noOffset = batch.TimeOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}

// listOffsets serves key 2, versions 0-11.
func listOffsets(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.ListOffsetsRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	asked := make(map[itemKey]int)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			asked[itemKey{name: t.Topic, partition: p.Partition}]++
		}
	}
	for _, t := range req.Topics {
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		for i := range t.Partitions {
			in := &t.Partitions[i]
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = in.Partition
			err := error(kerr.InvalidRequest) // the same partition twice
			if asked[itemKey{name: t.Topic, partition: in.Partition}] == 1 {
				err = b.listOffset(req, t.Topic, in, &p)
			}
			p.ErrorCode = int16(kerr.Of(err))
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (b *Broker) listOffset(req *kmsg.ListOffsetsRequest, topic string, in *kmsg.ListOffsetsRequestTopicPartition, out *kmsg.ListOffsetsResponseTopicPartition) error {
	if !knownTimestamp(in.Timestamp, req.Version) {
		return kerr.UnsupportedVersion
	}
	p, err := b.leaderNamed(topic, in.Partition, in.CurrentLeaderEpoch)
	if err != nil {
		return err
	}
	known := p.HighWatermarkKnown()
	if req.Version == 0 {
		if !known && in.Timestamp != earliestTimestamp { // all else comes with where the log ends
			return kerr.LeaderNotAvailable
		}
		found, err := oldOffsets(p, in)
		if err = b.stillLeads(err); err == nil {
			out.OldStyleOffsets = found
		}
		return err
	}
	found, err := findOffset(p, in.Timestamp, req.IsolationLevel == 1)
	if err = b.stillLeads(err); err != nil {
		return err
	}
	if !known && asksForEnd(in.Timestamp, found) {
		if req.Version >= 5 { // KIP-207
			return kerr.OffsetNotAvailable
		}
		return kerr.LeaderNotAvailable
	}
	out.Offset, out.Timestamp, out.LeaderEpoch = found.Offset, found.Timestamp, found.LeaderEpoch
	return nil
}

// asksForEnd says whether what was found depends on where the log ends for readers.
func asksForEnd(ts int64, found batch.TimeOffset) bool {
	return ts == latestTimestamp || ts == maxTimestamp || ts >= 0 && found == noOffset
}

// leaderNamed finds a partition by its topic's name.
func (b *Broker) leaderNamed(topic string, partition, epoch int32) (*replica.Partition, error) {
	t, ok := b.Meta.Image().TopicNamed(topic)
	if !ok || t.ID == uuid.Nil {
		return nil, kerr.UnknownTopicOrPartition
	}
	return b.Parts.Leader(t.ID, partition, epoch)
}

func findOffset(p *replica.Partition, ts int64, committed bool) (batch.TimeOffset, error) {
	m := p.Marks()
	end := m.HighWatermark
	if committed {
		end = m.LastStable
	}
	at := func(offset int64) (batch.TimeOffset, error) {
		return batch.TimeOffset{Offset: offset, Timestamp: -1, LeaderEpoch: p.Log().EpochOf(offset)}, nil
	}
	switch {
	case ts == latestTimestamp:
		return batch.TimeOffset{Offset: end, Timestamp: -1, LeaderEpoch: m.LeaderEpoch}, nil
	case ts == earliestTimestamp:
		return at(m.LogStart)
	case ts == earliestLocalTimestamp:
		return at(max(m.LogStart, p.Log().Offsets().LocalStart))
	case ts == latestTieredTimestamp, ts == earliestPendingUpload:
		return noOffset, nil // nothing is tiered
	}
	find := func() (batch.TimeOffset, bool, error) { return p.Log().FindTime(ts, end) }
	if ts == maxTimestamp {
		find = func() (batch.TimeOffset, bool, error) { return p.Log().MaxTime(end) }
	}
	if found, ok, err := find(); ok || err != nil {
		return found, err
	}
	return noOffset, nil
}

// knownTimestamp says whether a version knows a time, or what a negative one stands for.
func knownTimestamp(ts int64, version int16) bool {
	switch ts {
	case latestTimestamp, earliestTimestamp:
		return true
	case maxTimestamp:
		return version >= 7
	case earliestLocalTimestamp:
		return version >= 8
	case latestTieredTimestamp:
		return version >= 9
	case earliestPendingUpload:
		return version >= 11
	}
	return ts >= 0
}

// oldOffsets is version 0's answer: offsets of which some record is at or after each, the newest first. As there are no
// segments to speak of, the offset itself and the log's ends are the answer.
func oldOffsets(p *replica.Partition, in *kmsg.ListOffsetsRequestTopicPartition) ([]int64, error) {
	m := p.Marks()
	var all []int64
	switch in.Timestamp {
	case latestTimestamp:
		all = []int64{m.HighWatermark, m.LogStart}
	case earliestTimestamp:
		all = []int64{m.LogStart}
	default:
		found, ok, err := p.Log().FindTime(in.Timestamp, m.HighWatermark)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, found.Offset)
		} else {
			all = append(all, m.HighWatermark)
		}
		all = append(all, m.LogStart)
	}
	if len(all) > 1 && all[0] == all[1] {
		all = all[:1]
	}
	return all[:min(len(all), max(0, int(in.MaxNumOffsets)))], nil
}
