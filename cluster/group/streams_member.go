package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
)

// tasks are some partitions of each subtopology, by its id.
type tasks = numbered[string]

// task is one of them.
type task struct {
	subtopology string
	partition   int32
}

// What a member does with a task. Of one task there is at most one role in a process.
const (
	active  = iota // reads and writes; one member at a time
	standby        // keeps a copy of the state
	warmup         // restores the state to become active; assignments have none, as those of Kafka 4.4
	roleCount
)

// roles are tasks by role.
type roles [roleCount]tasks

func (r roles) empty() bool { return r[active].count()+r[standby].count()+r[warmup].count() == 0 }

func (r roles) equal(o roles) bool {
	return r[active].equal(o[active]) && r[standby].equal(o[standby]) && r[warmup].equal(o[warmup])
}

func (r roles) within(o roles) bool {
	return r[active].within(o[active]) && r[standby].within(o[standby]) && r[warmup].within(o[warmup])
}

// pairwise is fn of each role's tasks in r and o.
func (r roles) pairwise(o roles, fn func(p, q tasks) tasks) (is roles) {
	for i := range r {
		is[i] = fn(r[i], o[i])
	}
	return is
}

func (r roles) and(o roles) roles   { return r.pairwise(o, tasks.and) }
func (r roles) plus(o roles) roles  { return r.pairwise(o, tasks.plus) }
func (r roles) minus(o roles) roles { return r.pairwise(o, tasks.minus) }

// progress is where a member stands on its way to its target.
type progress int8

const (
	settled  progress = iota // it has all that it was to have when it came to its epoch
	revoking                 // it is to give up tasks first
	waiting                  // others have what it is to have
)

// streamsMember is a member of a streams group: a thread of an application.
type streamsMember struct {
	seat
	rebalance time.Duration // how long giving up tasks may take
	topology  int32         // epoch of the one that it runs
	process   string        // that it shares its memory and disk with
	endpoint  *endpoint
	tags      []pair

	progress progress
	assigned roles
	revoked  roles          // that it is to give up
	granted  map[task]int32 // since which epoch it has what is active in assigned and revoked
	target   roles

	// What a coordinator that begins does not know.
	revokeBy      time.Duration // when it is taken for gone if it has not given up what it is to
	offsets, ends map[task]int64
}

// endpoint is where an application answers queries about its state (application.server).
type endpoint struct {
	host string
	port uint16
}

func newStreamsMember(id string) *streamsMember {
	return &streamsMember{seat: seat{id: id}, topology: -1, granted: map[task]int32{}, revokeBy: never}
}

// holds are all tasks that it may be at work on.
func (mem *streamsMember) holds() roles { return mem.assigned.plus(mem.revoked) }

// reconciled says whether it has what the assignment of an epoch wants.
func (mem *streamsMember) reconciled(epoch int32) bool {
	return mem.progress == settled && mem.epoch == epoch
}

// update takes over what a heartbeat says, and tells whether anything that the log keeps has changed, and whether it
// matters to the assignment.
func (mem *streamsMember) update(h *streamsBeat) (changed, matters bool) {
	was := *mem
	rq := h.rq
	mem.client = h.from
	if rq.InstanceID != nil {
		mem.instance = *rq.InstanceID
	}
	if rq.RackID != nil {
		mem.rack = *rq.RackID
	}
	if rq.RebalanceTimeoutMillis >= 0 {
		mem.rebalance = millis(rq.RebalanceTimeoutMillis)
	}
	if h.topology != nil {
		mem.topology = h.topology.epoch
	}
	if rq.ProcessID != nil {
		mem.process = *rq.ProcessID
	}
	if e := rq.UserEndpoint; e != nil {
		mem.endpoint = &endpoint{e.Host, e.Port}
	} else if rq.MemberEpoch == joining {
		mem.endpoint = nil
	}
	if rq.ClientTags != nil {
		mem.tags = nil
		for _, t := range rq.ClientTags {
			mem.tags = append(mem.tags, pair{t.Key, t.Value})
		}
		slices.SortFunc(mem.tags, comparePairs)
	}
	matters = was.topology != mem.topology || was.rack != mem.rack || was.process != mem.process || !slices.Equal(was.tags, mem.tags)
	changed = matters || was.client != mem.client || was.instance != mem.instance || was.rebalance != mem.rebalance || !sameEndpoint(was.endpoint, mem.endpoint)
	return changed, matters
}

func sameEndpoint(a, b *endpoint) bool { return a == b || a != nil && b != nil && *a == *b }

// tag is the value of a client tag.
func (mem *streamsMember) tag(name string) (string, bool) {
	for _, t := range mem.tags {
		if t.name == name {
			return t.value, true
		}
	}
	return "", false
}

// report notes how far the member says that the state of its tasks has come. It never lasts.
func (mem *streamsMember) report(rq *kmsg.StreamsGroupHeartbeatRequest) {
	if rq.TaskOffsets != nil {
		mem.offsets = readOffsets(rq.TaskOffsets)
	}
	if rq.TaskEndOffsets != nil {
		mem.ends = readOffsets(rq.TaskEndOffsets)
	}
}

func readOffsets(list []kmsg.TaskOffset) map[task]int64 {
	is := make(map[task]int64, len(list))
	for _, o := range list {
		is[task{o.SubtopologyID, o.Partition}] = o.Offset
	}
	return is
}

// find is the member that a heartbeat comes from, whether it has one or joins; nil is a new one. A static member that comes
// back under another id is told as another member with the same instance.
func (g *streamsGroup) find(h *streamsBeat) (*streamsMember, error) {
	rq := h.rq
	if rq.InstanceID == nil {
		mem := g.members[rq.MemberID]
		if mem == nil && rq.MemberEpoch != joining {
			return nil, kerr.Detail(kerr.UnknownMemberID, "Member %s is not in group %s.", rq.MemberID, g.id)
		}
		return mem, g.checkBeat(mem, h)
	}
	holder := g.members[g.static[*rq.InstanceID]]
	switch {
	case holder == nil && rq.MemberEpoch == joining:
		return g.members[rq.MemberID], nil
	case holder == nil:
		return nil, kerr.Detail(kerr.UnknownMemberID, "Instance %s is not in group %s.", *rq.InstanceID, g.id)
	case holder.id == rq.MemberID:
		return holder, g.checkBeat(holder, h)
	case rq.MemberEpoch != joining:
		return nil, kerr.Detail(kerr.FencedInstanceID, "Instance %s is member %s now.", *rq.InstanceID, holder.id)
	case holder.epoch != leavingForAWhile:
		return nil, kerr.Detail(kerr.UnreleasedInstanceID, "Instance %s is still member %s.", *rq.InstanceID, holder.id)
	}
	return holder, nil
}

func (g *streamsGroup) checkBeat(mem *streamsMember, h *streamsBeat) error {
	if mem == nil || h.rq.MemberEpoch == joining {
		return nil
	}
	owned, told := h.owned()
	if code := mem.checkEpoch(h.rq.MemberEpoch, told && owned.within(mem.assigned)); code != kerr.None {
		return kerr.Detail(code, "Member %s is at epoch %d, not at %d. It must give up its tasks and join again.", mem.id, mem.epoch, h.rq.MemberEpoch)
	}
	return nil
}

// enlist puts a member into the group.
func (g *streamsGroup) enlist(mem *streamsMember) {
	g.members[mem.id] = mem
	if mem.instance != "" {
		g.static[mem.instance] = mem.id
	}
}

// rename has a static member that has come back go on where it was, under its new id.
func (g *streamsGroup) rename(mem *streamsMember, id string) {
	g.mark(mem)
	delete(g.members, mem.id)
	mem.id, mem.epoch, mem.previous = id, joining, joining
	g.enlist(mem)
	g.mark(mem)
	g.log.mark(targetKey + id)
}

// mark notes that what the log has of a member is not so any more.
func (g *streamsGroup) mark(mem *streamsMember) { g.log.mark(memberKey+mem.id, currentKey+mem.id) }

// remove takes a member out of the group: others may have its tasks.
func (g *streamsGroup) remove(mem *streamsMember, now coordinator.Instant) {
	delete(g.members, mem.id)
	if g.static[mem.instance] == mem.id {
		delete(g.static, mem.instance)
	}
	g.mark(mem)
	g.log.mark(targetKey+mem.id, epochsKey)
	if mem.endpoint != nil {
		g.endpoints++
	}
	g.epochs.group++
	g.left(len(g.members), now)
	if len(g.members) == 0 {
		g.delayBy, g.shutdown = never, ""
		g.assignment = g.epochs.group
	}
}

// leave is a heartbeat with an epoch that says so.
func (g *streamsGroup) leave(h *streamsBeat, now coordinator.Instant) error {
	rq := h.rq
	mem := g.members[rq.MemberID]
	if rq.InstanceID != nil {
		mem = g.members[g.static[*rq.InstanceID]]
		if mem != nil && mem.id != rq.MemberID {
			return kerr.Detail(kerr.FencedInstanceID, "Instance %s is member %s now.", *rq.InstanceID, mem.id)
		}
	}
	if mem == nil {
		return kerr.Detail(kerr.UnknownMemberID, "Member %s is not in group %s.", rq.MemberID, g.id)
	}
	if rq.ShutdownApplication {
		g.askShutdown(mem.id)
	}
	if rq.MemberEpoch == leaving {
		g.remove(mem, now)
		return nil
	}
	mem.epoch, mem.revoked, mem.revokeBy = leavingForAWhile, roles{}, never
	for t := range mem.granted {
		mem.granted[t] = 0 // whoever comes back may commit
	}
	if mem.progress == revoking {
		mem.progress = waiting
	}
	g.mark(mem)
	return nil
}
