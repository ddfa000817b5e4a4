package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// descriptionNotStored says that nobody keeps the whole description of a topology (KIP-1331): Kafka's brokers have a plug-in
// for that, and this one has none.
const descriptionNotStored int8 = 1

// describeStreams fills d, of a group of another kind with why not.
func (m *machine) describeStreams(d *kmsg.StreamsGroupDescribeResponseGroup, withDescription bool) {
	g, ok := m.kind.(*streamsGroup)
	if !ok || !m.exists() {
		d.ErrorCode, d.ErrorMessage = int16(kerr.GroupIDNotFound), text(m.missing(image.StreamsGroup))
		return
	}
	if withDescription {
		d.TopologyDescriptionStatus = descriptionNotStored
	}
	d.State, d.Epoch, d.AssignmentEpoch = g.state(), g.epochs.group, g.assignment
	d.AssignorName = text(g.machine.group(g.id).Streams.Assignor)
	d.Topology = g.describeTopology()
	for _, mem := range g.sorted() {
		d.Members = append(d.Members, mem.describe())
	}
}

func (g *streamsGroup) describeTopology() *kmsg.StreamsGroupDescribeResponseGroupTopology {
	if g.topology == nil {
		return nil
	}
	plan, err := g.planFor(g.topology)
	if err != nil {
		plan = &configured{}
	}
	is := kmsg.NewStreamsGroupDescribeResponseGroupTopology()
	is.Epoch = g.topology.epoch
	for _, s := range g.topology.subtopologies {
		one := kmsg.NewStreamsGroupDescribeResponseGroupTopologySubtopology()
		one.SubtopologyID, one.SourceTopics, one.RepartitionSinkTopics = s.id, s.sources, s.sinks
		one.RepartitionSourceTopics, one.StateChangelogTopics = plan.describe(s.repartitions), plan.describe(s.changelogs)
		is.Subtopologies = append(is.Subtopologies, one)
	}
	return &is
}

// describe is internal topics with their partitions, as far as they are known.
func (c *configured) describe(topics []internalTopic) (list []kmsg.TopicInfo) {
	for _, t := range topics {
		one := kmsg.NewTopicInfo()
		one.Topic, one.NumPartitions, one.ReplicationFactor = t.name, t.partitions, t.replicas
		if n, ok := c.sizes[t.name]; ok {
			one.NumPartitions = n
		}
		for _, p := range t.configs {
			one.Configs = append(one.Configs, kmsg.TopicInfoConfig{Key: p.name, Value: p.value})
		}
		list = append(list, one)
	}
	return list
}

func (mem *streamsMember) describe() kmsg.StreamsGroupDescribeResponseGroupMember {
	d := kmsg.NewStreamsGroupDescribeResponseGroupMember()
	d.MemberID, d.MemberEpoch, d.InstanceID, d.RackID = mem.id, mem.epoch, optional(mem.instance), optional(mem.rack)
	d.ClientID, d.ClientHost, d.TopologyEpoch, d.ProcessID = mem.client.ID, mem.client.Host, mem.topology, mem.process
	if mem.endpoint != nil {
		d.UserEndpoint = &kmsg.StreamsGroupDescribeResponseGroupMemberUserEndpoint{Host: mem.endpoint.host, Port: mem.endpoint.port}
	}
	for _, t := range mem.tags {
		d.ClientTags = append(d.ClientTags, kmsg.StreamsGroupDescribeResponseGroupMemberClientTag{Key: t.name, Value: t.value})
	}
	d.TaskOffsets, d.TaskEndOffsets = describeOffsets(mem.offsets), describeOffsets(mem.ends)
	d.Assignment, d.TargetAssignment = describeRoles(mem.assigned), describeRoles(mem.target)
	return d
}

func describeRoles(r roles) kmsg.StreamsAssignment {
	return kmsg.StreamsAssignment{ActiveTasks: taskIDs(r[active]), StandbyTasks: taskIDs(r[standby]), WarmupTasks: taskIDs(r[warmup])}
}

func describeOffsets(m map[task]int64) (list []kmsg.TaskOffset) {
	for _, t := range sortedTasks(m) {
		one := kmsg.NewTaskOffset()
		one.SubtopologyID, one.Partition, one.Offset = t.subtopology, t.partition, m[t]
		list = append(list, one)
	}
	return list
}
