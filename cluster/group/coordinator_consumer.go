package group

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// clientIDVersion of ConsumerGroupHeartbeat is the first whose members make up their ids (KIP-1082).
const clientIDVersion = 1

// ConsumerGroupHeartbeat serves key 68, versions 0-1.
func (c *Coordinator) ConsumerGroupHeartbeat(ctx context.Context, from Client, version int16, rq *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	resp, err := c.consumerHeartbeat(ctx, from, version, rq)
	if err != nil {
		resp = kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.ErrorCode, resp.ErrorMessage = int16(kerr.Of(err)), optional(kerr.Message(err))
	}
	resp.Version = version
	return resp
}

func (c *Coordinator) consumerHeartbeat(ctx context.Context, from Client, version int16, rq *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	if err := c.checkHeartbeat(version, rq); err != nil {
		return nil, err
	}
	h := consumerHeartbeat{
		from: from, memberID: rq.MemberID, epoch: rq.MemberEpoch, instance: rq.InstanceID, rack: rq.RackID,
		pattern: rq.SubscribedTopicRegex, assignor: rq.ServerAssignor, owned: ownedBy(rq.Topics),
	}
	if h.memberID == "" {
		h.memberID = c.newMemberID(from.ID)
	}
	if rq.SubscribedTopicNames != nil {
		h.topics = sortedNames(rq.SubscribedTopicNames)
	}
	if rq.RebalanceTimeoutMillis >= 0 {
		timeout := time.Duration(rq.RebalanceTimeoutMillis) * time.Millisecond
		h.rebalance = &timeout
	}
	body, err := c.call(ctx, rq.Group, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		h.ticket = t
		m.consumerHeartbeat(now, h, fx)
	})
	if err != nil {
		return nil, unanswered(err)
	}
	if err, ok := body.(error); ok {
		return nil, err
	}
	return body.(*kmsg.ConsumerGroupHeartbeatResponse), nil
}

// checkHeartbeat refuses what makes no sense whatever the group.
func (c *Coordinator) checkHeartbeat(version int16, rq *kmsg.ConsumerGroupHeartbeatRequest) error {
	empty := func(s *string) bool { return s != nil && *s == "" }
	switch {
	case rq.Group == "":
		return kerr.Detail(kerr.InvalidRequest, "GroupId can't be empty.")
	case empty(rq.InstanceID):
		return kerr.Detail(kerr.InvalidRequest, "InstanceId can't be empty.")
	case empty(rq.RackID):
		return kerr.Detail(kerr.InvalidRequest, "RackId can't be empty.")
	case rq.MemberID == "" && (version >= clientIDVersion || rq.MemberEpoch != joining):
		return kerr.Detail(kerr.InvalidRequest, "MemberId can't be empty.")
	case rq.MemberEpoch < leavingForAWhile:
		return kerr.Detail(kerr.InvalidRequest, "MemberEpoch is invalid.")
	case rq.MemberEpoch == leavingForAWhile && rq.InstanceID == nil:
		return kerr.Detail(kerr.InvalidRequest, "InstanceId can't be null.")
	case rq.ServerAssignor != nil && !slices.Contains(c.config().ConsumerAssignors, *rq.ServerAssignor):
		return kerr.Detail(kerr.UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %q.", *rq.ServerAssignor, c.config().ConsumerAssignors)
	}
	if rq.SubscribedTopicRegex != nil {
		if _, err := compilePattern(*rq.SubscribedTopicRegex); err != nil {
			return kerr.Detail(kerr.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %v.", shown(*rq.SubscribedTopicRegex), err)
		}
	}
	if rq.MemberEpoch == joining {
		return checkJoining(rq)
	}
	return nil
}

func checkJoining(rq *kmsg.ConsumerGroupHeartbeatRequest) error {
	switch {
	case rq.RebalanceTimeoutMillis < 0:
		return kerr.Detail(kerr.InvalidRequest, "RebalanceTimeoutMs must be provided in first request.")
	case rq.Topics == nil || len(rq.Topics) > 0:
		return kerr.Detail(kerr.InvalidRequest, "TopicPartitions must be empty when (re-)joining.")
	case rq.SubscribedTopicNames == nil && rq.SubscribedTopicRegex == nil:
		return kerr.Detail(kerr.InvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	}
	return nil
}

// ownedBy is nil when the member doesn't say.
func ownedBy(topics []kmsg.ConsumerGroupHeartbeatRequestTopic) partitions {
	if topics == nil {
		return nil
	}
	p := partitions{}
	for _, t := range topics {
		if len(t.Partitions) > 0 {
			p[t.TopicID] = sorted(append(p[t.TopicID], t.Partitions...))
		}
	}
	return p
}

// ConsumerGroupDescribe serves key 69, versions 0-1. AuthorizedOperations is left at its default.
func (c *Coordinator) ConsumerGroupDescribe(_ context.Context, version int16, rq *kmsg.ConsumerGroupDescribeRequest) *kmsg.ConsumerGroupDescribeResponse {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	resp.Version = version
	for _, id := range rq.Groups {
		g := kmsg.NewConsumerGroupDescribeResponseGroup()
		g.Group = id
		if id == "" {
			g.ErrorCode = int16(kerr.InvalidGroupID)
		} else if err := c.refuse(id); err != nil {
			g.ErrorCode = int16(unanswered(err))
		} else {
			c.machines.View(id, func(m *machine) { m.describeConsumers(&g) })
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func (m *machine) describeConsumers(to *kmsg.ConsumerGroupDescribeResponseGroup) {
	g, ok := m.kind.(*consumerGroup)
	if !ok || !m.exists() {
		to.ErrorCode, to.ErrorMessage = int16(kerr.GroupIDNotFound), text(m.missing(image.ConsumerGroup))
		return
	}
	to.State, to.Epoch, to.AssignmentEpoch, to.AssignorName = g.state(), g.at.group, g.at.assignment, g.assignorName()
	for _, mem := range g.sorted() {
		to.Members = append(to.Members, mem.describe(g.image()))
	}
}

// The types of members that ConsumerGroupDescribe tells.
const (
	classicType  = 0
	consumerType = 1
)

func (mem *consumer) describe(img *image.Image) kmsg.ConsumerGroupDescribeResponseGroupMember {
	d := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	d.MemberID, d.InstanceID, d.RackID, d.MemberEpoch = mem.id, optional(mem.instance), optional(mem.rack), mem.epoch
	d.ClientID, d.ClientHost = mem.client.ID, mem.client.Host
	d.SubscribedTopics, d.SubscribedTopicRegex = mem.topics, optional(mem.pattern)
	d.Assignment.TopicPartitions, d.TargetAssignment.TopicPartitions = describePartitions(img, mem.held), describePartitions(img, mem.target)
	d.MemberType = consumerType
	if mem.classic != nil {
		d.MemberType = classicType
	}
	return d
}

func describePartitions(img *image.Image, p partitions) []kmsg.AssignmentTopicPartition {
	list := []kmsg.AssignmentTopicPartition{}
	for _, t := range p.topics() {
		if topic, ok := img.Topic(t); ok { // of a deleted one nobody knows the name
			d := kmsg.NewAssignmentTopicPartition()
			d.TopicID, d.Topic, d.Partitions = t, topic.Name, p[t]
			list = append(list, d)
		}
	}
	return list
}

// shown is the beginning of what a client has sent, for an error.
func shown(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
