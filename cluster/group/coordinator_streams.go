package group

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
)

// StreamsHeartbeat serves StreamsGroupHeartbeat (key 88), versions 0-1, and says which topics are to be made for the
// application; nil: none. Members send the next heartbeat whether they were made or not.
func (c *Coordinator) StreamsHeartbeat(ctx context.Context, from Client, version int16, rq *kmsg.StreamsGroupHeartbeatRequest) (*kmsg.StreamsGroupHeartbeatResponse, *kmsg.CreateTopicsRequest) {
	beaten := c.streamsHeartbeat(ctx, streamsBeat{version: version, from: from, rq: rq})
	beaten.resp.Version = version
	return beaten.resp, beaten.create
}

func (c *Coordinator) streamsHeartbeat(ctx context.Context, h streamsBeat) streamsBeaten {
	if err := h.check(); err != nil {
		return streamsRefused(err)
	}
	body, err := c.call(ctx, h.rq.Group, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		h.ticket = t
		m.streamsHeartbeat(now, h, fx)
	})
	if err != nil {
		return streamsRefused(unanswered(err))
	}
	return body.(streamsBeaten)
}

// check refuses what no member says, and reads the topology.
func (h *streamsBeat) check() (err error) {
	rq := h.rq
	joins := rq.MemberEpoch == joining
	told := rq.ActiveTasks != nil || rq.StandbyTasks != nil || rq.WarmupTasks != nil
	wrong := func(is bool, text string) {
		if is && err == nil {
			err = kerr.Detail(kerr.InvalidRequest, "%s", text)
		}
	}
	wrong(rq.Group == "", "GroupId is empty.")
	wrong(rq.MemberID == "", "MemberId is empty.")
	wrong(rq.InstanceID != nil && *rq.InstanceID == "", "InstanceId is empty.")
	wrong(rq.RackID != nil && *rq.RackID == "", "RackId is empty.")
	wrong(rq.MemberEpoch < leavingForAWhile, "MemberEpoch is less than -2.")
	wrong(rq.MemberEpoch == leavingForAWhile && rq.InstanceID == nil, "Only a member with an InstanceId can leave for a while.")
	wrong(joins && rq.RebalanceTimeoutMillis < 0, "Who joins must say RebalanceTimeoutMs.")
	wrong(joins && len(rq.ActiveTasks)+len(rq.StandbyTasks)+len(rq.WarmupTasks) > 0, "Who joins has no tasks.")
	wrong(joins && rq.Topology == nil, "Who joins must say its Topology.")
	wrong(!joins && rq.Topology != nil, "Only who joins may say its Topology.")
	wrong(told && (rq.ActiveTasks == nil || rq.StandbyTasks == nil || rq.WarmupTasks == nil), "Tasks of one kind are there, and of another not.")
	if err == nil && rq.Topology != nil {
		h.topology, err = readTopology(rq.Topology)
	}
	return err
}

// StreamsDescribe serves StreamsGroupDescribe (key 89), versions 0-1. AuthorizedOperations is left at its default.
func (c *Coordinator) StreamsDescribe(_ context.Context, version int16, rq *kmsg.StreamsGroupDescribeRequest) *kmsg.StreamsGroupDescribeResponse {
	resp := kmsg.NewPtrStreamsGroupDescribeResponse()
	resp.Version = version
	for _, id := range rq.Groups {
		d := kmsg.NewStreamsGroupDescribeResponseGroup()
		d.Group = id
		switch err := c.refuse(id); {
		case id == "":
			d.ErrorCode = int16(kerr.InvalidGroupID)
		case err != nil:
			d.ErrorCode = int16(unanswered(err))
		default:
			c.machines.View(id, func(m *machine) { m.describeStreams(&d, rq.IncludeTopologyDescription) })
		}
		resp.Groups = append(resp.Groups, d)
	}
	return resp
}
