package image

import (
	"slices"
	"strconv"

	"chronik/kafka/kerr"
)

// EligibleLeaders is the ELR of p once its ISR is isr (KIP-966). While fewer than minISR replicas are in the ISR nothing
// is committed: so whoever was in it, or in the ELR, when it fell below has all that is, and may lead when nobody in the
// ISR can. It is in order of the replicas.
func EligibleLeaders(p *Partition, isr []BrokerID, minISR int) []BrokerID {
	if len(isr) >= min(max(minISR, 1), p.Factor()) {
		return nil
	}
	var elr []BrokerID
	for _, id := range p.Replicas {
		if !slices.Contains(isr, id) && (slices.Contains(p.ISR, id) || slices.Contains(p.ELR, id)) {
			elr = append(elr, id)
		}
	}
	return elr
}

func (c *change) isr(r ISRRecord) error {
	t, err := c.ownTopic(r.Topic)
	if err != nil {
		return err
	}
	if r.Partition < 0 || int(r.Partition) >= len(t.Partitions) {
		return kerr.Detail(kerr.UnknownTopicOrPartition, "'%s' has no partition %d", t.Name, r.Partition)
	}
	p := *t.Partitions[r.Partition]
	switch {
	case r.Leader == NoBroker || p.Leader != r.Leader || p.LeaderEpoch != r.LeaderEpoch:
		return kerr.Detail(kerr.FencedLeaderEpoch, "%s-%d is led by %d in epoch %d", t.Name, p.Number, p.Leader, p.LeaderEpoch)
	case p.Epoch != r.From:
		return kerr.Detail(kerr.InvalidUpdateVersion, "partition epoch of %s-%d is %d, not %d", t.Name, p.Number, p.Epoch, r.From)
	}
	isr, err := c.members(&p, r.ISR)
	if err != nil {
		return err
	}
	if !slices.Contains(isr, r.Leader) {
		return kerr.Detail(kerr.InvalidRequest, "the ISR of %s-%d is without its leader %d", t.Name, p.Number, r.Leader)
	}
	needed := int(r.MinISR)
	if n, ok := c.minISR(t.Name); ok {
		needed = min(needed, n)
	}
	p.ELR = EligibleLeaders(&p, isr, needed)
	p.ISR = isr
	c.replace(t, p)
	return nil
}

// members is the ISR that a leader asks for, each member of it such that it may be there.
func (c *change) members(p *Partition, asked []ISRMember) ([]BrokerID, error) {
	var isr []BrokerID
	for _, m := range asked {
		b, ok := c.brokers.get(brokerKey(m.ID))
		switch {
		case slices.Contains(isr, m.ID):
			return nil, kerr.Detail(kerr.InvalidRequest, "broker %d is twice in the ISR", m.ID)
		case !ok || !b.Active() || !slices.Contains(p.Replicas, m.ID):
			return nil, kerr.Detail(kerr.IneligibleReplica, "broker %d can not be in the ISR", m.ID)
		case b.Epoch != m.Epoch:
			return nil, kerr.Detail(kerr.IneligibleReplica, "broker %d is of epoch %d, not %d", m.ID, b.Epoch, m.Epoch)
		}
		isr = append(isr, m.ID)
	}
	return isr, nil
}

// replace puts p in its place in t, which this change owns, with the next partition epoch.
func (c *change) replace(t *Topic, p Partition) {
	was := t.Partitions[p.Number]
	p.Epoch = was.Epoch + 1
	p.succeeds(was)
	t.Partitions[p.Number] = &p
}

// giveUp takes a broker out of every ISR and ELR: what it had is gone. Where it was the last that had everything, nobody
// is left who may lead but by an unclean election.
func (c *change) giveUp(id BrokerID) error {
	return c.eachPartition(func(p *Partition) bool {
		if !slices.Contains(p.ISR, id) && !slices.Contains(p.ELR, id) && p.Leader != id {
			return false
		}
		p.ISR, p.ELR = without(p.ISR, id), without(p.ELR, id)
		if p.Leader == id {
			p.Leader = NoBroker
			p.LeaderEpoch++
		}
		return true
	})
}

// leadAnew gives what a broker leads a new leader epoch: it was away, and what it wrote since must not look like what it
// wrote before. Where it has the only replica there is nobody to tell the difference.
func (c *change) leadAnew(id BrokerID) error {
	return c.eachPartition(func(p *Partition) bool {
		if p.Leader != id || len(p.Replicas) < 2 {
			return false
		}
		p.LeaderEpoch++
		return true
	})
}

// eachPartition goes through all partitions; edit changes the copy that it is given and says that it did.
func (c *change) eachPartition(edit func(*Partition) bool) error {
	for _, t := range c.topics() {
		if err := c.partitionsOf(t, edit); err != nil {
			return err
		}
	}
	return nil
}

// topics is a list, since what goes through a tree must not change it.
func (c *change) topics() (all []*Topic) {
	c.topicIDs.root().Walk(func(_ []byte, t *Topic) bool { all = append(all, t); return false })
	return all
}

func (c *change) partitionsOf(t *Topic, edit func(*Partition) bool) error {
	for _, was := range t.Partitions {
		p := *was
		if !edit(&p) {
			continue
		}
		own, err := c.ownTopic(t.ID)
		if err != nil {
			return err
		}
		c.replace(own, p)
	}
	return nil
}

// minISRConfig is the one config that this package knows: it decides what an ELR is good for.
const minISRConfig = "min.insync.replicas"

// MinISR is min.insync.replicas as it is set for a topic, or for the cluster; false when it is not.
func (m *Image) MinISR(topic string) (int, bool) {
	return minISR(m.Configs(Resource{TopicResource, topic}), m.Configs(Resource{Type: BrokerResource}))
}

func (c *change) minISR(topic string) (int, bool) {
	own, _ := c.configs.get(Resource{TopicResource, topic}.key())
	all, _ := c.configs.get(Resource{Type: BrokerResource}.key())
	return minISR(own, all)
}

func minISR(sets ...map[string]string) (int, bool) {
	for _, set := range sets {
		if text, ok := set[minISRConfig]; ok {
			n, err := strconv.Atoi(text)
			return n, err == nil
		}
	}
	return 0, false
}

// minISRChanged drops the ELR of the partitions that r is about where their ISR now suffices: what is committed from now
// on, the ELR has not.
func (c *change) minISRChanged(r Resource) error {
	check := func(t *Topic) error {
		needed, known := c.minISR(t.Name)
		return c.partitionsOf(t, func(p *Partition) bool {
			if len(p.ELR) == 0 || len(p.ISR) == 0 || known && len(p.ISR) < min(needed, p.Factor()) {
				return false
			}
			p.ELR = nil
			return true
		})
	}
	switch r.Type {
	case TopicResource:
		if t, ok := c.topicNames.get([]byte(r.Name)); ok {
			return check(t)
		}
	case BrokerResource:
		for _, t := range c.topics() {
			if err := check(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// without is list without id, nil when nothing is left; list stays as it is.
func without(list []BrokerID, id BrokerID) (rest []BrokerID) {
	for _, other := range list {
		if other != id {
			rest = append(rest, other)
		}
	}
	return rest
}
