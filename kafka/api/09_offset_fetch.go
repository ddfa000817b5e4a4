package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// offsetFetch serves key 9, versions 0-10. From version 8 on it is about several groups; a request before that is turned
// into one about a single group, and its answer back.
func offsetFetch(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.OffsetFetchRequest) (kmsg.Response, error) {
	if rq.Version >= 8 {
		told := asked[string]{}
		req.Groups = slices.DeleteFunc(req.Groups, func(g kmsg.OffsetFetchRequestGroup) bool { return told.tooOften(g.Group) })
		for i := range req.Groups {
			askOnce(req.Groups[i].Topics)
		}
		return b.Groups.OffsetFetch(ctx, rq.Version, req), nil
	}
	resp := b.Groups.OffsetFetch(ctx, rq.Version, severalGroups(req))
	g := &resp.Groups[0]
	resp.ErrorCode = g.ErrorCode
	for _, t := range g.Topics {
		resp.Topics = append(resp.Topics, oneGroupsTopic(&t, rq.Version, g.ErrorCode))
	}
	return resp, nil
}

func severalGroups(req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchRequest {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics != nil || req.Version < 2 { // which cannot ask for all
		g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
	}
	for i, t := range req.Topics {
		g.Topics[i].Topic, g.Topics[i].Partitions = t.Topic, t.Partitions
	}
	askOnce(g.Topics)
	several := *req
	several.Groups = []kmsg.OffsetFetchRequestGroup{g}
	return &several
}

// askOnce leaves out partitions that a group's topics name again: four bytes that do would each be answered with all the
// metadata that was committed, which is as long as offset.metadata.max.bytes allows.
func askOnce(topics []kmsg.OffsetFetchRequestGroupTopic) {
	named := make(map[itemKey]bool)
	for i := range topics {
		t := &topics[i]
		t.Partitions = slices.DeleteFunc(t.Partitions, func(partition int32) bool {
			key := itemKey{topic: t.TopicID, name: t.Topic, partition: partition}
			again := named[key]
			named[key] = true
			return again
		})
	}
}

// oneGroupsTopic is a topic in the form before version 8. Version 0 says that nothing was committed by an error, and
// those before version 2 have no place for the group's error but the partitions.
func oneGroupsTopic(in *kmsg.OffsetFetchResponseGroupTopic, version, failed int16) kmsg.OffsetFetchResponseTopic {
	t := kmsg.NewOffsetFetchResponseTopic()
	t.Topic = in.Topic
	for _, p := range in.Partitions {
		out := kmsg.NewOffsetFetchResponseTopicPartition()
		out.Partition, out.Offset, out.LeaderEpoch, out.Metadata, out.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
		switch {
		case version < 2 && failed != 0:
			out.Offset, out.LeaderEpoch, out.Metadata, out.ErrorCode = -1, -1, new(string), failed
		case version == 0 && p.Offset < 0 && p.ErrorCode == 0:
			out.ErrorCode = int16(kerr.UnknownTopicOrPartition)
		}
		t.Partitions = append(t.Partitions, out)
	}
	return t
}
