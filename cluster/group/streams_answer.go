package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answer is what a member is told, with its tasks if tell says so.
func (g *streamsGroup) answer(h *streamsBeat, mem *streamsMember, tell bool, delayed string) streamsBeaten {
	resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = mem.id, mem.epoch
	resp.HeartbeatIntervalMillis = g.machine.group(g.id).Streams.HeartbeatIntervalMs
	resp.TaskOffsetIntervalMillis = taskOffsetIntervalMs
	resp.AcceptableRecoveryLagLegacy, resp.AcceptableRecoveryLag = acceptableRecoveryLag, acceptableRecoveryLag
	if tell {
		resp.ActiveTasks, resp.StandbyTasks, resp.WarmupTasks = taskIDs(mem.assigned[active]), taskIDs(mem.assigned[standby]), taskIDs(mem.assigned[warmup])
	}
	resp.EndpointInformationEpoch = g.endpoints
	if g.endpoints != h.rq.EndpointInformationEpoch {
		resp.PartitionsByUserEndpoint = g.byEndpoint()
	}
	resp.Status = g.statuses(h, mem, delayed)
	return streamsBeaten{resp, g.plan.creatable()}
}

// taskIDs is never nil: that would mean that nothing has changed.
func taskIDs(t tasks) []kmsg.TaskIDs {
	list := make([]kmsg.TaskIDs, 0, len(t))
	for _, s := range t.topics() {
		one := kmsg.NewTaskIDs()
		one.SubtopologyID, one.Partitions = s, t[s]
		list = append(list, one)
	}
	return list
}

// statuses say why the member may have to wait, or what else is wrong.
func (g *streamsGroup) statuses(h *streamsBeat, mem *streamsMember, delayed string) []kmsg.StreamsGroupHeartbeatResponseStatus {
	list := []kmsg.StreamsGroupHeartbeatResponseStatus{}
	add := func(code int8, detail string) {
		s := kmsg.NewStreamsGroupHeartbeatResponseStatus()
		s.StatusCode, s.StatusDetail = code, detail
		list = append(list, s)
	}
	if mem.topology < g.topology.epoch {
		add(staleTopology, fmt.Sprintf("The member's topology has epoch %d, the group's %d.", mem.topology, g.topology.epoch))
	}
	if delayed != "" {
		add(assignmentDelayed, delayed)
	}
	if !g.plan.ready() {
		add(g.plan.code, g.plan.detail)
	}
	if g.shutdown != "" {
		add(shutdownApplication, fmt.Sprintf("Member %s asked for the whole application to shut down.", g.shutdown))
	}
	if missing := g.missingTags(mem); len(missing) > 0 && h.version >= missingClientTagsAt {
		add(missingClientTags, "Standby tasks are spread by client tags that this member does not have: "+strings.Join(missing, ", ")+".")
	}
	return list
}

func (g *streamsGroup) missingTags(mem *streamsMember) (missing []string) {
	for _, name := range g.machine.group(g.id).Streams.RackAwareTags {
		if _, ok := mem.tag(name); !ok {
			missing = append(missing, name)
		}
	}
	return missing
}

// byEndpoint says which partitions the tasks of each member read that answers queries. It is not nil.
func (g *streamsGroup) byEndpoint() []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint {
	list := []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint{}
	for _, mem := range g.sorted() {
		if mem.endpoint == nil {
			continue
		}
		one := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpoint()
		one.UserEndpoint = kmsg.Endpoint{Host: mem.endpoint.host, Port: mem.endpoint.port}
		g.eachInput(mem.assigned[active], func(topic string, partitions []int32) {
			one.ActivePartitions = append(one.ActivePartitions, kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpointActivePartition{Topic: topic, Partitions: partitions})
		})
		g.eachInput(mem.assigned[standby], func(topic string, partitions []int32) {
			one.StandbyPartitions = append(one.StandbyPartitions, kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpointStandbyPartition{Topic: topic, Partitions: partitions})
		})
		list = append(list, one)
	}
	return list
}

// eachInput goes through the topics that tasks read, with those of their partitions that there are: a topic may have fewer
// than its subtopology has tasks.
func (g *streamsGroup) eachInput(t tasks, fn func(topic string, partitions []int32)) {
	img := g.image()
	for i := range g.topology.subtopologies {
		s := &g.topology.subtopologies[i]
		if len(t[s.id]) == 0 {
			continue
		}
		for _, name := range s.reads() {
			is, ok := img.TopicNamed(name)
			if !ok {
				continue
			}
			there, _ := slices.BinarySearch(t[s.id], int32(len(is.Partitions)))
			fn(name, t[s.id][:there])
		}
	}
}
