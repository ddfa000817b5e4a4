package image

import (
	"slices"
	"strconv"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
)

func (m *model) register(index Index, r BrokerRecord) kerr.Code {
	was, ok := m.brokers[r.ID]
	older := ok && was.Run != uuid.Nil && !slices.Contains([]uuid.UUID{r.Run, r.Before}, was.Run)
	if ok && !was.Fenced && (was.Incarnation != r.Incarnation || older) {
		return kerr.DuplicateBrokerRegistration
	}
	m.brokers[r.ID] = Broker{
		ID: r.ID, Incarnation: r.Incarnation, Epoch: int64(index), Rack: r.Rack, Endpoints: r.Endpoints,
		Features: r.Features, Fenced: r.Fenced || was.Fenced, Run: r.Run,
	}
	if ok && was.Incarnation != r.Incarnation || older {
		m.lose(r.ID)
	} else if ok {
		m.each(func(p *Partition) bool {
			p.LeaderEpoch++
			return p.Leader == r.ID && len(p.Replicas) > 1
		})
	}
	return kerr.None
}

func (m *model) broker(id BrokerID, epoch int64, edit func(*Broker)) kerr.Code {
	b, ok := m.brokers[id]
	switch {
	case !ok:
		return kerr.BrokerIDNotRegistered
	case b.Epoch != epoch:
		return kerr.StaleBrokerEpoch
	}
	edit(&b)
	m.brokers[id] = b
	return kerr.None
}

func (m *model) unregister(r UnregisterBrokerRecord) kerr.Code {
	alive := false
	code := m.broker(r.ID, r.Epoch, func(b *Broker) { alive = !b.Fenced })
	if alive {
		return kerr.InvalidRequest
	}
	if code == kerr.None {
		delete(m.brokers, r.ID)
		m.lose(r.ID)
	}
	return code
}

// lose is what becomes of the partitions of a broker whose disk is gone.
func (m *model) lose(id BrokerID) {
	m.each(func(p *Partition) bool {
		isr, elr := len(p.ISR), len(p.ELR)
		is := func(other BrokerID) bool { return other == id }
		p.ISR, p.ELR = slices.DeleteFunc(slices.Clone(p.ISR), is), slices.DeleteFunc(slices.Clone(p.ELR), is)
		changed := isr != len(p.ISR) || elr != len(p.ELR) || p.Leader == id
		if p.Leader == id {
			p.Leader = NoBroker
			p.LeaderEpoch++
		}
		return changed
	})
}

// each lets edit change a copy of each partition, which replaces it, an epoch on, when edit says so.
func (m *model) each(edit func(*Partition) bool) {
	for id, t := range m.topics {
		parts := slices.Clone(t.Partitions)
		for i := range parts {
			p := *parts[i]
			if edit(&p) {
				deposed(parts[i], &p)
				p.Epoch++
				parts[i] = &p
			}
		}
		t.Partitions = parts
		m.topics[id] = t
	}
}

// tenure is which broker has a group, and since which entry.
type tenure struct {
	owner BrokerID
	since Index
}

func (m *model) tenure(group string, now Index) tenure {
	if owner := m.owner(group); owner != m.came[group].owner {
		return tenure{owner, now}
	}
	return m.came[group]
}

func (m *model) owns(group string, owner BrokerID, epoch, since int64, now Index) bool {
	if epoch <= 0 {
		return true
	}
	if best := m.owner(group); best == NoBroker || owner != best || m.brokers[owner].Epoch != epoch {
		return false
	}
	if since < 0 {
		return true
	}
	is := tenure{}
	if m.came != nil {
		is = m.tenure(group, now)
	}
	if since != int64(is.since) {
		return false
	}
	if m.came == nil {
		m.came = map[string]tenure{}
		for _, g := range someNames {
			m.came[g] = tenure{owner: m.owner(g)}
		}
	}
	return true
}

// owner asks every broker for its draw, as Coordinator must.
func (m *model) owner(group string) BrokerID {
	candidates := func(ok func(Broker) bool) (ids []BrokerID) {
		for id, b := range m.brokers {
			if ok(b) {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids
	}
	ids := candidates(func(b Broker) bool { return !b.Fenced && !b.ShuttingDown })
	if len(ids) == 0 {
		ids = candidates(func(b Broker) bool { return !b.Fenced })
	}
	if len(ids) == 0 {
		return NoBroker
	}
	drawn := func(id BrokerID) uint64 { return mix(hash(group) ^ mix(uint64(id)+goldenRatio)) }
	return slices.MaxFunc(ids, func(a, b BrokerID) int {
		if drawn(a) < drawn(b) {
			return -1
		}
		return 1
	})
}

func (m *model) isr(r ISRRecord) kerr.Code {
	t, ok := m.topics[r.Topic]
	switch {
	case !ok:
		return kerr.UnknownTopicID
	case int(r.Partition) >= len(t.Partitions):
		return kerr.UnknownTopicOrPartition
	}
	p := *t.Partitions[r.Partition]
	if p.Leader != r.Leader || p.Leader == NoBroker || p.LeaderEpoch != r.LeaderEpoch {
		return kerr.FencedLeaderEpoch
	}
	if p.Epoch != r.From {
		return kerr.InvalidUpdateVersion
	}
	var isr []BrokerID
	for _, member := range r.ISR {
		if slices.Contains(isr, member.ID) {
			return kerr.InvalidRequest
		}
		b, ok := m.brokers[member.ID]
		if !ok || b.Fenced || b.ShuttingDown || b.Epoch != member.Epoch || !slices.Contains(p.Replicas, member.ID) {
			return kerr.IneligibleReplica
		}
		isr = append(isr, member.ID)
	}
	if !slices.Contains(isr, p.Leader) {
		return kerr.InvalidRequest
	}
	least := int(r.MinISR)
	if set, ok := m.least(t.Name); ok && set < least {
		least = set
	}
	if least < 1 {
		least = 1
	}
	for _, moving := range [][]BrokerID{p.Adding, p.Removing} {
		if n := len(p.Replicas) - len(moving); least > n {
			least = n
		}
	}
	var elr []BrokerID
	for _, id := range p.Replicas {
		had := slices.Contains(p.ISR, id) || slices.Contains(p.ELR, id)
		if had && len(isr) < least && !slices.Contains(isr, id) {
			elr = append(elr, id)
		}
	}
	p.ISR, p.ELR, p.Epoch = isr, elr, p.Epoch+1
	t.Partitions = slices.Clone(t.Partitions)
	t.Partitions[r.Partition] = &p
	m.topics[r.Topic] = t
	return kerr.None
}

// least is min.insync.replicas as it is set.
func (m *model) least(topic string) (int, bool) {
	text, ok := m.configs[Resource{TopicResource, topic}][minISRConfig]
	if !ok {
		text = m.configs[Resource{Type: BrokerResource}][minISRConfig]
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// configured is what a config does to the ELRs.
func (m *model) configured(r ConfigRecord) {
	if r.Name != minISRConfig || r.Resource.Type == GroupResource {
		return
	}
	for id, t := range m.topics {
		if r.Resource.Type == TopicResource && r.Resource.Name != t.Name {
			continue
		}
		one := &model{topics: map[TopicID]Topic{id: t}}
		one.each(func(p *Partition) bool {
			least, ok := m.least(t.Name)
			had := len(p.ELR) > 0
			p.ELR = nil
			return had && len(p.ISR) > 0 && (!ok || suffices(p, least))
		})
		m.topics[id] = one.topics[id]
	}
}

// suffices says whether what the ISR has counts as committed.
func suffices(p *Partition, least int) bool {
	return len(p.ISR) > 0 && (len(p.ISR) >= least || len(p.ISR) >= len(p.Replicas)-len(p.Adding) || len(p.ISR) >= len(p.Replicas)-len(p.Removing))
}
