package controller

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

func ids(list ...image.BrokerID) []image.BrokerID { return list }

// brokersOf registers brokers 1 to 4 in these states: 'l' live, 's' shutting down, 'f' fenced, '-' not registered.
func brokersOf(t testing.TB, states string) *image.Image {
	m := image.Empty()
	for i, s := range states {
		id := image.BrokerID(i + 1)
		recs := []image.Record{image.BrokerRecord{ID: id, Incarnation: uuid.UUID{byte(id)}, Fenced: s == 'f'}}
		if s == '-' {
			continue
		}
		if s == 's' {
			recs = append(recs, image.ControlledShutdownRecord{ID: id, Epoch: int64(m.Index() + 1)})
		}
		m = with(t, m, recs...)
	}
	return m
}

func with(t interface{ Fatal(...any) }, m *image.Image, recs ...image.Record) *image.Image {
	next, _, err := m.Apply(m.Index()+1, recs)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func compiled(t testing.TB, static config.Static) *config.Broker {
	b, err := config.CompileBroker(static, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var topicID = uuid.UUID{1}

// What becomes of a partition of replicas 2, 1, 3 with a leader epoch of 7 when brokers are in a state.
func TestElections(t *testing.T) {
	none := image.NoBroker
	for _, c := range []struct {
		name     string
		brokers  string
		minISR   string
		unclean  string
		isr, elr []image.BrokerID
		leader   image.BrokerID

		wantISR, wantELR []image.BrokerID
		want             image.BrokerID
	}{
		{"nothing to do", "lll", "1", "false", ids(1, 2, 3), nil, 1, ids(1, 2, 3), nil, 1},
		{"a follower dies", "llf", "1", "false", ids(1, 2, 3), nil, 1, ids(1, 2), nil, 1},
		{"the leader dies", "fll", "1", "false", ids(1, 2, 3), nil, 1, ids(2, 3), nil, 2},
		{"in the order of the replicas", "lfl", "1", "false", ids(3, 1, 2), nil, 2, ids(3, 1), nil, 1},
		{"not from outside the ISR", "fll", "1", "false", ids(1, 3), nil, 1, ids(3), nil, 3},
		{"too few are left to commit", "llf", "3", "false", ids(1, 2, 3), nil, 1, ids(1, 2), ids(3), 1},
		{"all die", "fff", "1", "false", ids(1, 2), nil, 1, nil, ids(2, 1), none},
		{"all die, one was behind", "fff", "2", "false", ids(1), ids(2), 1, nil, ids(2, 1), none},
		{"the last of the ISR comes back", "lff", "1", "false", nil, ids(2, 1), none, ids(1), nil, 1},
		{"of the ELR by the order of the replicas", "llf", "2", "false", nil, ids(1, 2), none, ids(2), ids(1), 2},
		{"who was behind comes back", "ffl", "1", "false", nil, ids(2, 1), none, nil, ids(2, 1), none},
		{"who was behind may lead", "ffl", "1", "true", nil, ids(2, 1), none, ids(3), nil, 3},
		{"the ELR before an unclean one", "lfl", "2", "true", nil, ids(1), none, ids(1), nil, 1},
		{"nothing is left of what was in sync", "lll", "1", "false", nil, nil, none, nil, nil, none},
		{"... and that is accepted", "lll", "1", "true", nil, nil, none, ids(2), nil, 2},
		{"the leader shuts down", "sll", "1", "false", ids(1, 2), nil, 1, ids(2), nil, 2},
		{"a follower shuts down", "lsl", "2", "false", ids(1, 2), nil, 1, ids(1), ids(2), 1},
		{"the only one shuts down", "sll", "1", "false", ids(1), nil, 1, ids(1), nil, 1},
		{"it is not replaced by the ELR while it serves", "sll", "2", "false", ids(1), ids(2), 1, ids(1), ids(2), 1},
		{"... but when it has gone", "fll", "2", "false", ids(1), ids(2), 1, ids(2), ids(1), 2},
		{"the others die before it has gone", "sff", "1", "false", ids(2, 1), nil, 2, ids(1), nil, none},
		{"an unregistered broker is gone", "-ll", "1", "false", ids(1, 2), nil, 1, ids(2), nil, 2},
	} {
		cfg := compiled(t, config.Static{minISRConfig: c.minISR, "unclean.leader.election.enable": c.unclean})
		was := image.Partition{
			Stream: 1, Replicas: ids(2, 1, 3), ISR: c.isr, ELR: c.elr, Leader: c.leader, LeaderEpoch: 7,
		}
		m := with(t, brokersOf(t, c.brokers), image.TopicRecord{ID: topicID, Name: "t"}, image.PartitionRecord{Topic: topicID, Partition: was})
		recs := planElections(m, cfg)
		m = with(t, m, recs...)
		topic, _ := m.Topic(topicID)
		p := topic.Partitions[0]
		wantEpoch := int32(7)
		if c.want != c.leader {
			wantEpoch++
		}
		if !slices.Equal(p.ISR, c.wantISR) || !slices.Equal(p.ELR, c.wantELR) || p.Leader != c.want || p.LeaderEpoch != wantEpoch {
			t.Errorf("%s: ISR %v, ELR %v, leader %d in epoch %d; want %v, %v, %d in %d",
				c.name, p.ISR, p.ELR, p.Leader, p.LeaderEpoch, c.wantISR, c.wantELR, c.want, wantEpoch)
		}
		if again := planElections(m, cfg); len(again) > 0 {
			t.Errorf("%s: it does not come to rest: %+v", c.name, again)
		}
	}
}

func TestPreferredAndUncleanElections(t *testing.T) {
	cfg := compiled(t, nil)
	for _, c := range []struct {
		name     string
		brokers  string
		isr, elr []image.BrokerID
		leader   image.BrokerID
		kind     int8
		want     image.BrokerID
		err      kerr.Code
	}{
		{"back to the first", "lll", ids(1, 2), nil, 1, preferredElection, 2, kerr.None},
		{"it leads", "lll", ids(1, 2), nil, 2, preferredElection, 2, kerr.ElectionNotNeeded},
		{"it is not in sync", "lll", ids(1, 3), nil, 3, preferredElection, 3, kerr.PreferredLeaderNotAvailable},
		{"it is on its way out", "lsl", ids(1, 2), nil, 1, preferredElection, 1, kerr.PreferredLeaderNotAvailable},
		{"it is in the ELR, and nobody leads", "fll", nil, ids(2), image.NoBroker, preferredElection, 2, kerr.None},
		{"nobody has all", "ffl", nil, ids(2), image.NoBroker, uncleanElection, 3, kerr.None},
		{"somebody leads", "lll", ids(1), nil, 1, uncleanElection, 1, kerr.ElectionNotNeeded},
		{"nobody lives", "fff", nil, ids(2), image.NoBroker, uncleanElection, image.NoBroker, kerr.EligibleLeadersNotAvailable},
		{"no such kind", "lll", ids(1), nil, 1, 2, 1, kerr.InvalidRequest},
	} {
		p := image.Partition{Stream: 1, Replicas: ids(2, 1, 3), ISR: c.isr, ELR: c.elr, Leader: c.leader}
		m := with(t, brokersOf(t, c.brokers), image.TopicRecord{ID: topicID, Name: "t"}, image.PartitionRecord{Topic: topicID, Partition: p})
		recs, err := newElectorate(m, cfg).planElection(electionAsked{"t", 0}, c.kind)
		m = with(t, m, recs...)
		topic, _ := m.Topic(topicID)
		if got := topic.Partitions[0].Leader; got != c.want || kerr.Of(err) != c.err {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, got, err, c.want, c.err)
		}
	}
}

// replicated is a partition with what each replica has on disk. Followers copy from the leader, the leader asks for its
// ISR and commits what the whole of it has; the controller elects. Whatever dies, comes back or loses its disk: what was
// committed stays, unless an election is unclean.
type replicated struct {
	t         *rapid.T
	m         *image.Image
	cfg       *config.Broker
	disk      map[image.BrokerID][]string
	committed []string
	leaders   map[int32]image.BrokerID
	next      int
	lost      map[image.BrokerID]byte // which disk a broker has
}

func (r *replicated) partition() image.Partition {
	topic, _ := r.m.Topic(topicID)
	return *topic.Partitions[0]
}

func (r *replicated) apply(recs ...image.Record) { r.m = with(r.t, r.m, recs...) }

// try is apply for what may be refused.
func (r *replicated) try(recs ...image.Record) {
	if next, _, err := r.m.Apply(r.m.Index()+1, recs); err == nil {
		r.m = next
	}
}

func (r *replicated) broker(id image.BrokerID) *image.Broker { b, _ := r.m.Broker(id); return b }

func (r *replicated) minISR() int {
	n, _ := r.m.MinISR("t")
	return min(n, 3)
}

func (r *replicated) step() {
	p := r.partition()
	id := image.BrokerID(rapid.IntRange(1, 3).Draw(r.t, "broker"))
	b := r.broker(id)
	switch rapid.IntRange(0, 9).Draw(r.t, "step") {
	case 0:
		r.apply(image.FenceRecord{ID: id, Epoch: b.Epoch, Fenced: true})
	case 1:
		r.apply(image.FenceRecord{ID: id, Epoch: b.Epoch})
	case 2:
		r.apply(image.ControlledShutdownRecord{ID: id, Epoch: b.Epoch})
	case 3: // a restart
		r.apply(image.BrokerRecord{ID: id, Incarnation: uuid.UUID{byte(id), r.lost[id]}})
	case 4: // a new disk, after which others must still have all
		if b.Fenced && rapid.IntRange(0, 3).Draw(r.t, "lose") == 0 {
			r.lost[id]++
			r.disk[id] = nil
			r.apply(image.BrokerRecord{ID: id, Incarnation: uuid.UUID{byte(id), r.lost[id]}})
		}
	case 5:
		r.configure()
	case 6:
		if p.Leader != image.NoBroker {
			r.next++
			r.disk[p.Leader] = append(slices.Clone(r.disk[p.Leader]), fmt.Sprintf("%d@%d", r.next, p.LeaderEpoch))
		}
	case 7, 8:
		r.follow(p, id)
	case 9:
		r.alter(p)
	}
	r.commit()
	if rapid.Bool().Draw(r.t, "elect") {
		plan := planElections(r.m, r.cfg)
		if rapid.Bool().Draw(r.t, "late") { // its records come behind others
			r.configure()
		}
		r.try(plan...)
		r.commit()
	}
	r.check()
}

func (r *replicated) configure() {
	value := fmt.Sprint(rapid.IntRange(1, 3).Draw(r.t, "minISR"))
	r.apply(image.ConfigRecord{Resource: image.Resource{Type: image.BrokerResource}, Name: minISRConfig, Value: &value})
}

// follow is one fetch: a follower drops what the leader has not, and takes one record more.
func (r *replicated) follow(p image.Partition, id image.BrokerID) {
	if p.Leader == image.NoBroker || p.Leader == id || r.broker(id).Fenced || r.broker(p.Leader).Fenced {
		return
	}
	leader, mine := r.disk[p.Leader], r.disk[id]
	same := 0
	for same < min(len(leader), len(mine)) && leader[same] == mine[same] {
		same++
	}
	r.disk[id] = slices.Clone(leader[:min(same+1, len(leader))])
}

// alter is the leader's wish: whoever has all that is committed may be in the ISR, and anybody may be left out.
func (r *replicated) alter(p image.Partition) {
	rec := image.ISRRecord{
		Topic: topicID, From: p.Epoch, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, MinISR: int16(r.minISR()),
	}
	for id := image.BrokerID(1); id <= 3; id++ {
		covered := len(r.disk[id]) >= len(r.committed) && slices.Equal(r.disk[id][:len(r.committed)], r.committed)
		if id == p.Leader || covered && rapid.Bool().Draw(r.t, "in") {
			rec.ISR = append(rec.ISR, image.ISRMember{ID: id, Epoch: r.broker(id).Epoch})
		}
	}
	r.try(rec)
}

// commit moves the high watermark: to what the whole ISR has, while it is large enough.
func (r *replicated) commit() {
	p := r.partition()
	if p.Leader == image.NoBroker || len(p.ISR) < r.minISR() {
		return
	}
	high := len(r.disk[p.Leader])
	for _, id := range p.ISR {
		high = min(high, len(r.disk[id]))
	}
	for _, id := range p.ISR {
		if !slices.Equal(r.disk[id][:high], r.disk[p.Leader][:high]) {
			return // it is about to truncate
		}
	}
	if high > len(r.committed) {
		r.committed = slices.Clone(r.disk[p.Leader][:high])
	}
}

func (r *replicated) check() {
	p := r.partition()
	if p.Leader == image.NoBroker {
		return
	}
	if had, ok := r.leaders[p.LeaderEpoch]; ok && had != p.Leader {
		r.t.Fatalf("%d and %d both lead in epoch %d", had, p.Leader, p.LeaderEpoch)
	}
	r.leaders[p.LeaderEpoch] = p.Leader
	disk := r.disk[p.Leader]
	if len(disk) < len(r.committed) || !slices.Equal(disk[:len(r.committed)], r.committed) {
		r.t.Fatalf("%d leads with %v, committed is %v: %+v", p.Leader, disk, r.committed, p)
	}
	if !slices.Contains(p.ISR, p.Leader) {
		r.t.Fatalf("the leader is not in the ISR: %+v", p)
	}
}

func TestElectionsKeepWhatIsCommitted(t *testing.T) {
	cfg := compiled(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		r := &replicated{
			t: t, m: image.Empty(), cfg: cfg, disk: map[image.BrokerID][]string{}, leaders: map[int32]image.BrokerID{},
			lost: map[image.BrokerID]byte{},
		}
		r.configure()
		for id := image.BrokerID(1); id <= 3; id++ {
			r.apply(image.BrokerRecord{ID: id, Incarnation: uuid.UUID{byte(id), 0}})
		}
		p := image.Partition{Stream: 1, Replicas: ids(2, 1, 3), ISR: ids(2, 1, 3), Leader: 2}
		r.apply(image.TopicRecord{ID: topicID, Name: "t"}, image.PartitionRecord{Topic: topicID, Partition: p})
		for range 150 {
			r.step()
		}
	})
}
