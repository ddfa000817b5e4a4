package group

import (
	"time"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// streamsProtocol is the protocol type of streams groups in lists.
const streamsProtocol = "streams"

// streamsGroup is a group of the threads of a Kafka Streams application (KIP-1071): the broker has the application's topology,
// makes its internal topics, and gives the members its tasks. What it does follows Kafka 4.4.
type streamsGroup struct {
	*machine
	log ledger
	epochs
	validated  int32  // epoch of the topology for which the topics were found right, or -1
	assignedAt int64  // when targets were last worked out, ms; 0: never
	settings   string // what of the configuration they were worked out by

	topology *topology
	plan     *configured // of the topology, with the topics that there were; nil: not worked out yet
	members  map[string]*streamsMember
	static   map[string]string // member ids by instance

	// What a coordinator that begins does not know.
	delayBy   time.Duration // until when an empty group waits for more members
	endpoints int32         // counts changes of who has which partitions, for those that answer queries
	shutdown  string        // the member that asked all to end
}

// newStreamsGroup is the group as the image has it. Members get a full session timeout to be heard of: they could not have
// reached a coordinator that was not there.
func newStreamsGroup(m *machine, is *image.Group, now coordinator.Instant) kind {
	g := &streamsGroup{
		machine: m, validated: -1, delayBy: never, endpoints: -1,
		members: map[string]*streamsMember{}, static: map[string]string{},
	}
	g.log = newLedger(m, image.StreamsGroup, g.encode)
	if is != nil {
		g.load(is.State)
	}
	for _, mem := range g.members {
		mem.expires = now.Up + g.session()
		if mem.progress == revoking {
			mem.revokeBy = now.Up + mem.rebalance
		}
		g.enlist(mem)
	}
	return g
}

func (g *streamsGroup) session() time.Duration {
	return millis(g.machine.group(g.id).Streams.SessionTimeoutMs)
}

func (g *streamsGroup) is() image.GroupKind { return image.StreamsGroup }
func (g *streamsGroup) occupied() bool      { return len(g.members) > 0 }
func (g *streamsGroup) idle() bool          { return len(g.members) == 0 && g.log.settled() }

func (g *streamsGroup) summary() (state, protocolType string) {
	return g.state(), streamsProtocol
}

// state is Kafka's name of where the group stands.
func (g *streamsGroup) state() string {
	switch {
	case len(g.members) == 0:
		return "Empty"
	case g.topology == nil || g.topology.epoch != g.validated:
		return "NotReady"
	case g.epochs.group > g.assignment:
		return "Assigning"
	}
	for _, mem := range g.members {
		if !mem.reconciled(g.assignment) {
			return "Reconciling"
		}
	}
	return "Stable"
}

func (g *streamsGroup) deadline() time.Duration {
	at := min(g.delayBy, g.log.retryBy)
	for _, mem := range g.members {
		at = min(at, mem.expires, mem.revokeBy)
	}
	return at
}

// expire removes whoever was not heard of in time or did not give up its tasks in time, and ends the wait for more members.
func (g *streamsGroup) expire(now coordinator.Instant, fx *coordinator.Effects) {
	for _, mem := range g.sorted() {
		if mem.expires <= now.Up || mem.revokeBy <= now.Up {
			g.remove(mem, now)
		}
	}
	if g.delayBy <= now.Up {
		g.delayBy = never
		if len(g.members) > 0 && g.epochs.group > g.assignment {
			g.assign(now)
		}
	}
	g.log.flush(fx)
}

// topicsChanged does nothing: a heartbeat finds out, and nobody would hear of it before.
func (g *streamsGroup) topicsChanged(coordinator.Instant, *coordinator.Effects) {}

// stop ends the group, or keeps it from writing while it is being removed.
func (g *streamsGroup) stop(_ coordinator.Instant, fx *coordinator.Effects) {
	if g.dead {
		g.log.drop(fx)
	} else {
		g.log.close(fx)
	}
}

// revive writes all that there is: what was to be written may have been dropped.
func (g *streamsGroup) revive(_ coordinator.Instant, fx *coordinator.Effects) {
	g.log.markStored()
	g.log.mark(epochsKey, settingsKey, topologyKey)
	for id, mem := range g.members {
		g.mark(mem)
		g.log.mark(targetKey + id)
	}
	g.log.flush(fx)
}

// checkCommit lets members commit at their epoch, and of what they have had since before an earlier one also at that: the
// commit may have been on its way when the epoch changed (KIP-1251).
func (g *streamsGroup) checkCommit(c commitRequest) kerr.Code {
	if c.generation < 0 && len(g.members) == 0 {
		return kerr.None
	}
	mem := g.members[c.memberID]
	switch {
	case mem == nil:
		return kerr.UnknownMemberID
	case c.version < groupIDNotFoundVersion:
		return kerr.UnsupportedVersion
	case c.generation == mem.epoch:
		return kerr.None
	case c.generation > mem.epoch:
		return kerr.StaleMemberEpoch
	}
	for _, o := range c.offsets {
		if t, ok := g.taskOf(o.Topic, o.Partition); !ok || !mem.hadSince(t, c.generation) {
			return kerr.StaleMemberEpoch
		}
	}
	return kerr.None
}

func (mem *streamsMember) hadSince(t task, epoch int32) bool {
	since, has := mem.granted[t]
	return has && since <= epoch
}

// taskOf is the task that reads a partition.
func (g *streamsGroup) taskOf(topic image.TopicID, partition int32) (task, bool) {
	is, ok := g.image().Topic(topic)
	if !ok || g.topology == nil {
		return task{}, false
	}
	s := g.topology.reader(is.Name)
	if s == nil {
		return task{}, false
	}
	return task{s.id, partition}, true
}

func (g *streamsGroup) committed(coordinator.Instant, string) {} // only heartbeats keep a session

func (g *streamsGroup) checkFetch(memberID string, epoch int32) kerr.Code {
	if memberID == "" && epoch < 0 {
		return kerr.None
	}
	switch mem := g.members[memberID]; {
	case mem == nil:
		return kerr.UnknownMemberID
	case mem.epoch != epoch:
		return kerr.StaleMemberEpoch
	}
	return kerr.None
}

func (g *streamsGroup) checkOffsetDeletion() kerr.Code { return kerr.None }

func (g *streamsGroup) subscribes(topic string) bool {
	return len(g.members) > 0 && g.topology != nil && g.topology.reader(topic) != nil
}

// offsetsExpire counts from when the last member left: an application that is down for a while goes on where it was.
func (g *streamsGroup) offsetsExpire() (since int64, expire bool) { return g.epochs.since, true }
