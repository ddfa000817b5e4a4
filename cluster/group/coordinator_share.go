package group

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// ShareGroupHeartbeat serves key 76, version 1.
func (c *Coordinator) ShareGroupHeartbeat(ctx context.Context, from Client, version int16, rq *kmsg.ShareGroupHeartbeatRequest) *kmsg.ShareGroupHeartbeatResponse {
	resp, err := c.shareHeartbeat(ctx, from, rq)
	if err != nil {
		resp = kmsg.NewPtrShareGroupHeartbeatResponse()
		resp.ErrorCode, resp.ErrorMessage = explain(err)
	}
	resp.Version = version
	return resp
}

func (c *Coordinator) shareHeartbeat(ctx context.Context, from Client, rq *kmsg.ShareGroupHeartbeatRequest) (*kmsg.ShareGroupHeartbeatResponse, error) {
	if err := checkShareHeartbeat(rq); err != nil {
		return nil, err
	}
	h := shareRequest{from: from, memberID: rq.MemberID, epoch: rq.MemberEpoch, rack: rq.RackID}
	if rq.SubscribedTopicNames != nil {
		h.topics = append([]string{}, slices.Compact(slices.Sorted(slices.Values(rq.SubscribedTopicNames)))...)
	}
	body, err := c.askShare(ctx, rq.GroupID, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		h.ticket = t
		m.shareHeartbeat(now, h, fx)
	})
	if err != nil {
		return nil, err
	}
	return body.(*kmsg.ShareGroupHeartbeatResponse), nil
}

// checkShareHeartbeat refuses what makes no sense whatever the group.
func checkShareHeartbeat(rq *kmsg.ShareGroupHeartbeatRequest) error {
	switch {
	case rq.GroupID == "":
		return kerr.Detail(kerr.InvalidRequest, "GroupId can't be empty.")
	case rq.MemberID == "":
		return kerr.Detail(kerr.InvalidRequest, "MemberId can't be empty.")
	case rq.RackID != nil && *rq.RackID == "":
		return kerr.Detail(kerr.InvalidRequest, "RackId can't be empty.")
	case rq.MemberEpoch < leaving:
		return kerr.Detail(kerr.InvalidRequest, "MemberEpoch is invalid.")
	case rq.MemberEpoch == joining && len(rq.SubscribedTopicNames) == 0:
		return kerr.Detail(kerr.InvalidRequest, "SubscribedTopicNames must be set in first request.")
	}
	return nil
}

// askShare is call whose answer may be an error too.
func (c *Coordinator) askShare(ctx context.Context, group string, fn func(*machine, coordinator.Instant, coordinator.Ticket, *coordinator.Effects)) (any, error) {
	body, err := c.call(ctx, group, fn)
	if err != nil {
		return nil, unanswered(err)
	}
	if err, ok := body.(error); ok {
		return nil, err
	}
	return body, nil
}

func explain(err error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	return int16(kerr.Of(err)), optional(kerr.Message(err))
}

// ShareGroupDescribe serves key 77, version 1. AuthorizedOperations is left at its default.
func (c *Coordinator) ShareGroupDescribe(_ context.Context, version int16, rq *kmsg.ShareGroupDescribeRequest) *kmsg.ShareGroupDescribeResponse {
	resp := kmsg.NewPtrShareGroupDescribeResponse()
	resp.Version = version
	for _, id := range rq.GroupIDs {
		d := kmsg.NewShareGroupDescribeResponseGroup()
		d.GroupID = id
		if err := c.refuse(id); err != nil {
			d.ErrorCode = int16(unanswered(err))
		} else {
			c.machines.View(id, func(m *machine) { m.describeShare(&d) })
		}
		resp.Groups = append(resp.Groups, d)
	}
	return resp
}

func (m *machine) describeShare(d *kmsg.ShareGroupDescribeResponseGroup) {
	g, ok := m.kind.(*shareGroup)
	if !ok || !m.exists() {
		d.ErrorCode, d.ErrorMessage = int16(kerr.GroupIDNotFound), text(m.missing(image.ShareGroup))
		return
	}
	d.GroupState, d.GroupEpoch, d.AssignmentEpoch, d.Assignor = g.state(), g.at.group, g.at.assignment, "simple"
	img := g.image()
	for _, mem := range g.sorted() {
		is := kmsg.NewShareGroupDescribeResponseGroupMember()
		is.MemberID, is.RackID, is.MemberEpoch = mem.id, optional(mem.rack), mem.epoch
		is.ClientID, is.ClientHost, is.SubscribedTopicNames = mem.client.ID, mem.client.Host, mem.topics
		for _, id := range mem.has.topics() {
			t, ok := img.Topic(id)
			if !ok {
				continue
			}
			is.Assignment.TopicPartitions = append(is.Assignment.TopicPartitions,
				kmsg.ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition{TopicID: id, Topic: t.Name, Partitions: mem.has[id]})
		}
		d.Members = append(d.Members, is)
	}
}
