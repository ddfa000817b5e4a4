package group

import (
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// streamsBeat is StreamsGroupHeartbeat, checked as far as that goes without the group.
type streamsBeat struct {
	ticket   coordinator.Ticket
	version  int16
	from     Client
	rq       *kmsg.StreamsGroupHeartbeatRequest
	topology *topology // of who joins
}

// streamsBeaten is the answer, and the topics that the broker is to make for the application.
type streamsBeaten struct {
	resp   *kmsg.StreamsGroupHeartbeatResponse
	create *kmsg.CreateTopicsRequest // nil: none
}

// owned are the tasks that the sender says it has, if it says so. Whoever joins has none.
func (h *streamsBeat) owned() (is roles, told bool) {
	if h.rq.MemberEpoch == joining {
		return is, true
	}
	if h.rq.ActiveTasks == nil || h.rq.StandbyTasks == nil || h.rq.WarmupTasks == nil {
		return is, false
	}
	return roles{readTasks(h.rq.ActiveTasks), readTasks(h.rq.StandbyTasks), readTasks(h.rq.WarmupTasks)}, true
}

func readTasks(list []kmsg.TaskIDs) tasks {
	is := tasks{}
	for _, t := range list {
		if len(t.Partitions) > 0 {
			is[t.SubtopologyID] = sorted(append(slices.Clone(is[t.SubtopologyID]), t.Partitions...))
		}
	}
	return is
}

// streamsHeartbeat is answered with a streamsBeaten when all that it says will last.
func (m *machine) streamsHeartbeat(now coordinator.Instant, h streamsBeat, fx *coordinator.Effects) {
	refuse := func(code kerr.Code) any { return streamsRefused(kerr.Detail(code, "")) }
	if m.dead {
		fx.Answer(h.ticket, refuse(kerr.CoordinatorNotAvailable))
		return
	}
	g, isStreams := m.kind.(*streamsGroup)
	if !isStreams {
		if h.rq.MemberEpoch != joining || m.kind.is() != image.ClassicGroup || m.kind.occupied() {
			fx.Answer(h.ticket, streamsRefused(kerr.Detail(kerr.GroupIDNotFound, "%s", m.missing(image.StreamsGroup))))
			return
		}
		g = newStreamsGroup(m, nil, now).(*streamsGroup)
	}
	answer, err := g.beat(&h, now)
	if err != nil {
		fx.Answer(h.ticket, streamsRefused(err))
		return
	}
	if !isStreams {
		m.become(g, now, fx)
	}
	g.log.answer(h.ticket, answer, refuse, fx)
	g.log.flush(fx)
}

func streamsRefused(err error) streamsBeaten {
	resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	resp.ErrorCode = int16(kerr.Of(err))
	if message := kerr.Message(err); message != "" {
		resp.ErrorMessage = &message
	}
	return streamsBeaten{resp: resp}
}

// beat changes the group as a heartbeat wants it. An error means that nothing has changed.
func (g *streamsGroup) beat(h *streamsBeat, now coordinator.Instant) (streamsBeaten, error) {
	if h.rq.MemberEpoch < joining {
		resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
		resp.MemberID, resp.MemberEpoch, resp.Status = h.rq.MemberID, h.rq.MemberEpoch, []kmsg.StreamsGroupHeartbeatResponseStatus{}
		return streamsBeaten{resp: resp}, g.leave(h, now)
	}
	mem, err := g.find(h)
	if err != nil {
		return streamsBeaten{}, err
	}
	if limit := g.config().StreamsMaxSize; mem == nil && len(g.members) >= limit {
		return streamsBeaten{}, kerr.Detail(kerr.GroupMaxSizeReached, "The group has %d members, as many as it may.", limit)
	}
	t, err := g.topologyWith(h)
	if err != nil {
		return streamsBeaten{}, err
	}
	plan, err := g.planFor(t)
	if err != nil {
		return streamsBeaten{}, err
	}
	owned, told := h.owned()
	if err := plan.check(owned); err != nil {
		return streamsBeaten{}, err
	}
	g.take(plan)
	first := len(g.members) == 0
	mem, changed := g.admit(mem, h)
	mem.expires = now.Up + g.session()
	g.bump(changed, now)
	if delay := g.machine.group(g.id).Streams.InitialRebalanceDelayMs; first && delay > 0 {
		g.delayBy = now.Up + millis(delay)
	}
	delayed := g.assignIfDue(now)
	epoch, target := max(g.assignment, 1), mem.target
	missed := mem.epoch != h.rq.MemberEpoch // an answer, and with it the tasks of its epoch
	if told && mem.progress == revoking {
		missed = true // perhaps: who has not begun with a task does not have it either, and may go by what it was told before
	}
	moved := g.reconcile(mem, epoch, target, owned, told, now)
	if h.rq.ShutdownApplication {
		g.askShutdown(mem.id)
	}
	if moved = moved || h.rq.MemberEpoch == joining; moved && mem.endpoint != nil {
		g.endpoints++
	}
	// One that has other tasks than it should has missed an answer too.
	return g.answer(h, mem, moved || missed || told && !owned.equal(mem.assigned), delayed), nil
}

// topologyWith is the group's topology when the sender has told its own. Members may run an older one; for a newer one the
// group must be empty.
func (g *streamsGroup) topologyWith(h *streamsBeat) (*topology, error) {
	switch {
	case h.topology == nil && g.topology == nil:
		return nil, kerr.Detail(kerr.UnknownMemberID, "The group has no topology; the member must join again.")
	case h.topology == nil || g.topology != nil && g.topology.epoch > h.topology.epoch:
		return g.topology, nil
	case g.topology == nil || len(g.members) == 0:
		return h.topology, nil
	case !g.topology.equal(h.topology):
		return nil, kerr.Detail(kerr.InvalidRequest, "The topology is another one than that of the group's members. It can only change while the group is empty.")
	}
	return g.topology, nil
}

// planFor is the plan for a topology with the topics that there are now.
func (g *streamsGroup) planFor(t *topology) (*configured, error) {
	if g.plan != nil && g.plan.of == t && g.plan.topics == fingerprint(g.image(), t.topics()) {
		return g.plan, nil
	}
	return configure(g.image(), t)
}

// check refuses tasks that there are not.
func (c *configured) check(owned roles) (err error) {
	if !c.ready() {
		return nil
	}
	for _, list := range owned {
		list.each(func(s string, n int32) {
			if count := c.tasks[s]; n < 0 || n >= count {
				err = kerr.Detail(kerr.InvalidRequest, "There is no task %d of subtopology %s, which has %d.", n, s, count)
			}
		})
	}
	return err
}

// take makes a plan the group's.
func (g *streamsGroup) take(plan *configured) {
	if g.topology == nil || !g.topology.equal(plan.of) {
		g.log.mark(topologyKey)
	}
	g.topology, g.plan = plan.of, plan
}

// admit has the sender be a member as its heartbeat says, and tells whether that matters to the assignment.
func (g *streamsGroup) admit(mem *streamsMember, h *streamsBeat) (_ *streamsMember, matters bool) {
	switch {
	case mem == nil:
		mem = newStreamsMember(h.rq.MemberID)
		g.log.mark(targetKey + mem.id)
		g.mark(mem)
	case mem.id != h.rq.MemberID:
		g.rename(mem, h.rq.MemberID)
	}
	before := mem.endpoint
	if g.static[mem.instance] == mem.id { // it may be another instance now
		delete(g.static, mem.instance)
	}
	changed, matters := mem.update(h)
	mem.report(h.rq)
	g.enlist(mem)
	if changed {
		g.log.mark(memberKey + mem.id)
	}
	if !sameEndpoint(before, mem.endpoint) {
		g.endpoints++
	}
	return mem, matters
}

// bump begins a new epoch of the group when its members, topics, topology or configuration have changed.
func (g *streamsGroup) bump(changed bool, now coordinator.Instant) {
	validated := int32(-1)
	if g.plan.ready() {
		validated = g.topology.epoch
	}
	settings := g.assignmentSettings()
	if !changed && validated == g.validated && g.plan.topics == g.epochs.topics && settings == g.settings {
		return
	}
	g.validated, g.epochs.topics, g.settings = validated, g.plan.topics, settings
	if g.epochs.group++; g.epochs.group == 1 {
		g.epochs.group = 2 // 1 is that of members that wait for the first assignment
	}
	g.left(len(g.members), now)
	g.log.mark(epochsKey, settingsKey)
}

// assignmentSettings are the configs by which tasks are assigned, as one text.
func (g *streamsGroup) assignmentSettings() string {
	c := g.machine.group(g.id).Streams
	return strconv.Itoa(int(c.NumStandbyReplicas)) + " " + strings.Join(c.RackAwareTags, ",")
}

// assignIfDue works out new targets when the group has a new epoch, and says why it does not.
func (g *streamsGroup) assignIfDue(now coordinator.Instant) (delayed string) {
	interval := int64(g.machine.group(g.id).Streams.AssignmentIntervalMs)
	switch since := now.Wall - g.assignedAt; {
	case g.epochs.group <= g.assignment:
	case g.delayBy > now.Up && g.delayBy != never:
		return "The group waits for more members before its first assignment."
	case g.assignedAt > 0 && since >= 0 && since < interval:
		return "The last assignment is younger than the interval between two."
	default:
		g.assign(now)
	}
	return ""
}

// assign works out what everybody is to have.
func (g *streamsGroup) assign(now coordinator.Instant) {
	targets := g.distribute()
	for id, mem := range g.members {
		if target := targets[id]; !target.equal(mem.target) {
			mem.target = target
			g.log.mark(targetKey + id)
		}
	}
	g.delayBy, g.assignment, g.assignedAt = never, g.epochs.group, now.Wall
	g.log.mark(epochsKey, settingsKey)
}

// askShutdown has all members told to end. Who asked first is named.
func (g *streamsGroup) askShutdown(member string) {
	if g.shutdown == "" {
		g.shutdown = member
	}
}
