package group

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	sharestate "chronik/cluster/share/state"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// DescribeShareGroupOffsets serves key 90, versions 0-1: where a share group's states begin, and how many records are left. As in
// Kafka a group that is not there, or is of another kind, has none, and that is no error.
func (c *Coordinator) DescribeShareGroupOffsets(ctx context.Context, version int16, rq *kmsg.DescribeShareGroupOffsetsRequest) *kmsg.DescribeShareGroupOffsetsResponse {
	resp := kmsg.NewPtrDescribeShareGroupOffsetsResponse()
	resp.Version = version
	behind := c.isBehind(ctx)
	for _, g := range rq.Groups {
		d := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
		d.GroupID = g.GroupID
		err := c.refuse(g.GroupID)
		if err == nil {
			err = behind
		}
		switch {
		case err != nil:
			d.ErrorCode, d.ErrorMessage = explain(unanswered(err))
		case g.Topics == nil:
			d.Topics = c.allShareOffsets(g.GroupID)
		default:
			d.Topics = c.someShareOffsets(g.GroupID, g.Topics)
		}
		resp.Groups = append(resp.Groups, d)
	}
	return resp
}

func (c *Coordinator) allShareOffsets(group string) (topics []kmsg.DescribeShareGroupOffsetsResponseGroupTopic) {
	img := c.image()
	img.ShareStates(group, func(at image.TopicPartition, s *image.ShareState) bool {
		t, ok := img.Topic(at.Topic)
		if !ok {
			return true
		}
		if n := len(topics); n == 0 || topics[n-1].TopicID != at.Topic {
			topics = append(topics, kmsg.DescribeShareGroupOffsetsResponseGroupTopic{Topic: t.Name, TopicID: t.ID})
		}
		last := &topics[len(topics)-1]
		last.Partitions = append(last.Partitions, c.shareOffset(t, at, s))
		return true
	})
	return topics
}

func (c *Coordinator) someShareOffsets(group string, asked []kmsg.DescribeShareGroupOffsetsRequestGroupTopic) (topics []kmsg.DescribeShareGroupOffsetsResponseGroupTopic) {
	img := c.image()
	for _, a := range asked {
		out := kmsg.DescribeShareGroupOffsetsResponseGroupTopic{Topic: a.Topic}
		t, known := img.TopicNamed(a.Topic)
		if known {
			out.TopicID = t.ID
		}
		for _, n := range a.Partitions {
			p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
			p.Partition, p.StartOffset = n, sharestate.NotBegun
			switch {
			case !known: // nor has it begun with a topic that is not there
			case n < 0 || int(n) >= len(t.Partitions):
				p.ErrorCode, p.ErrorMessage = explain(kerr.UnknownTopicOrPartition)
			default:
				at := image.TopicPartition{Topic: t.ID, Partition: n}
				if s, begun := img.ShareState(group, at); begun {
					p = c.shareOffset(t, at, s)
				}
			}
			out.Partitions = append(out.Partitions, p)
		}
		topics = append(topics, out)
	}
	return topics
}

func (c *Coordinator) shareOffset(t *image.Topic, at image.TopicPartition, is *image.ShareState) kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition {
	p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
	p.Partition, p.StartOffset = at.Partition, sharestate.NotBegun
	s, err := sharestate.Decode(is.Value)
	if err != nil {
		p.ErrorCode, p.ErrorMessage = explain(kerr.Detail(kerr.UnknownServerError, "%v", err))
		return p
	}
	p.StartOffset = s.Start
	if int(at.Partition) < len(t.Partitions) {
		p.LeaderEpoch = t.Partitions[at.Partition].LeaderEpoch
	}
	if end, ok := c.end(at); ok && s.Start != sharestate.NotBegun {
		p.Lag = max(0, end-s.Start-s.Done())
	}
	return p
}

// AlterShareGroupOffsets serves key 91, version 0: an empty share group goes on elsewhere; one that is not there is made. A partition
// that is named again goes by the last one.
func (c *Coordinator) AlterShareGroupOffsets(ctx context.Context, version int16, rq *kmsg.AlterShareGroupOffsetsRequest) *kmsg.AlterShareGroupOffsetsResponse {
	resp := kmsg.NewPtrAlterShareGroupOffsetsResponse()
	resp.Version = version
	var starts []shareStart
	img := c.image()
	for _, in := range rq.Topics {
		out := kmsg.AlterShareGroupOffsetsResponseTopic{Topic: in.Topic}
		t, known := img.TopicNamed(in.Topic)
		if known {
			out.TopicID = t.ID
		}
		for _, p := range in.Partitions {
			altered := kmsg.AlterShareGroupOffsetsResponseTopicPartition{Partition: p.Partition}
			switch {
			case !known || p.Partition < 0 || int(p.Partition) >= len(t.Partitions):
				altered.ErrorCode, altered.ErrorMessage = explain(kerr.UnknownTopicOrPartition)
			case p.StartOffset < 0 || p.StartOffset == math.MaxInt64: // no record has that one
				altered.ErrorCode, altered.ErrorMessage = explain(kerr.Detail(kerr.InvalidRequest, "start offset %d", p.StartOffset))
			default:
				starts = append(starts, shareStart{image.TopicPartition{Topic: t.ID, Partition: p.Partition}, p.StartOffset})
			}
			out.Partitions = append(out.Partitions, altered)
		}
		resp.Topics = append(resp.Topics, out)
	}
	_, err := c.askShare(ctx, rq.GroupID, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		m.alterShare(now, t, starts, fx)
	})
	if err != nil {
		resp.Topics = nil
		resp.ErrorCode, resp.ErrorMessage = explain(err)
	}
	return resp
}

// DeleteShareGroupOffsets serves key 92, version 0: an empty share group forgets topics.
func (c *Coordinator) DeleteShareGroupOffsets(ctx context.Context, version int16, rq *kmsg.DeleteShareGroupOffsetsRequest) *kmsg.DeleteShareGroupOffsetsResponse {
	resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
	resp.Version = version
	var topics []image.TopicID
	img, begun := c.image(), map[image.TopicID]bool{}
	img.ShareStates(rq.GroupID, func(at image.TopicPartition, _ *image.ShareState) bool {
		begun[at.Topic] = true
		return true
	})
	for _, in := range rq.Topics {
		out := kmsg.DeleteShareGroupOffsetsResponseTopic{Topic: in.Topic}
		t, known := img.TopicNamed(in.Topic)
		if known {
			out.TopicID = t.ID
		}
		switch {
		case !known:
			out.ErrorCode, out.ErrorMessage = explain(kerr.UnknownTopicOrPartition)
		case begun[t.ID]:
			topics = append(topics, t.ID)
		default:
			out.ErrorCode, out.ErrorMessage = explain(kerr.Detail(kerr.UnknownTopicOrPartition, "There is no offset information to delete."))
		}
		resp.Topics = append(resp.Topics, out)
	}
	_, err := c.askShare(ctx, rq.GroupID, func(m *machine, _ coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		m.deleteShare(t, topics, fx)
	})
	if err != nil {
		resp.Topics = nil
		resp.ErrorCode, resp.ErrorMessage = explain(err)
	}
	return resp
}
