package controller

import (
	"slices"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// election is which replicas may lead beyond those that are in sync.
type election int8

const (
	clean      election = iota // of the ISR, or of the ELR when that is empty
	unclean                    // any live replica when there is no such one: records may be lost
	byTopic                    // as the topic's unclean.leader.election.enable says
	preference                 // clean, and the first replica whoever leads now
)

// electorate is the brokers as elections see them.
type electorate struct {
	img  *image.Image
	cfg  *config.Broker
	live map[image.BrokerID]bool // active; what is here and false is shutting down: it may go on but takes nothing on
	base *config.Topic           // of topics without configs
}

func newElectorate(img *image.Image, cfg *config.Broker) *electorate {
	e := &electorate{img: img, cfg: cfg, live: map[image.BrokerID]bool{}}
	for _, b := range img.Brokers() {
		if !b.Fenced {
			e.live[b.ID] = b.Active()
		}
	}
	return e
}

// planElections returns the changes that bring every partition in line with who is alive: members that are not leave the
// ISR, leaders that are not are replaced, partitions without a leader get one, and reassignments that can be are completed.
// An image that is in line gives none.
func planElections(img *image.Image, cfg *config.Broker) (recs []image.Record) {
	e := newElectorate(img, cfg)
	for t := range img.Topics {
		for _, p := range t.Partitions {
			if e.inLine(p) {
				continue
			}
			if next, changed := e.elect(t, p, byTopic); changed {
				recs = append(recs, image.PartitionChange{Topic: t.ID, From: p.Epoch, Partition: next})
			}
		}
	}
	return recs
}

// inLine is the answer for nearly all partitions, and quick.
func (e *electorate) inLine(p *image.Partition) bool {
	for _, id := range p.ISR {
		if !e.live[id] {
			return false
		}
	}
	return p.Leader != image.NoBroker && e.live[p.Leader] && !arrived(p)
}

// elect is p with the ISR and the leader that it should have, and without replicas that have nothing left to do.
func (e *electorate) elect(t *image.Topic, p *image.Partition, how election) (next image.Partition, changed bool) {
	next = *p
	next.ISR = e.remaining(p.ISR)
	if len(next.ISR) != len(p.ISR) {
		next.ELR = image.EligibleLeaders(p, next.ISR, e.minISR(t))
	}
	next = arrive(next)
	if leader := e.leader(t, &next, how); leader != p.Leader {
		e.install(t, &next, leader)
	} else if len(next.Replicas) < len(p.Replicas) {
		next.LeaderEpoch++ // what replicas that have gone said of themselves must not count for them when they come back
	}
	changed = next.Leader != p.Leader || next.Reassigning() != p.Reassigning() || !slices.Equal(next.ISR, p.ISR) || !slices.Equal(next.ELR, p.ELR)
	return next, changed
}

// remaining is the ISR without those that are gone, and without those that are about to go unless that left nobody: until
// they have gone they serve, and when they have, they may come back.
func (e *electorate) remaining(isr []image.BrokerID) []image.BrokerID {
	here := func(ok func(id image.BrokerID) bool) (list []image.BrokerID) {
		for _, id := range isr {
			if ok(id) {
				list = append(list, id)
			}
		}
		return list
	}
	if staying := here(func(id image.BrokerID) bool { return e.live[id] }); len(staying) > 0 {
		return staying
	}
	return here(func(id image.BrokerID) bool { _, ok := e.live[id]; return ok })
}

// leader is who should lead p, whose ISR is without those that are gone.
func (e *electorate) leader(t *image.Topic, p *image.Partition, how election) image.BrokerID {
	if how != preference && slices.Contains(p.ISR, p.Leader) {
		return p.Leader
	}
	if id := e.first(p, p.ISR); id != image.NoBroker {
		return id
	}
	if len(p.ISR) > 0 { // of brokers that are about to go: whoever leads goes on, and nobody begins
		if slices.Contains(p.ISR, p.Leader) {
			return p.Leader
		}
		return image.NoBroker
	}
	if id := e.first(p, p.ELR); id != image.NoBroker {
		return id
	}
	if how == unclean || how == byTopic && e.topic(t).UncleanLeaderElection {
		if id := e.first(p, p.Original()); id != image.NoBroker {
			return id // who is only on its way has least
		}
		return e.first(p, p.Replicas)
	}
	return image.NoBroker
}

// first is the first live replica that is among the candidates.
func (e *electorate) first(p *image.Partition, candidates []image.BrokerID) image.BrokerID {
	for _, id := range p.Replicas {
		if e.live[id] && slices.Contains(candidates, id) {
			return id
		}
	}
	return image.NoBroker
}

// install makes leader, or nobody, lead p in a new epoch. Who leads is in the ISR: one of the ELR has all that was
// committed and is it alone now; one that was in neither makes its own log the truth.
func (e *electorate) install(t *image.Topic, p *image.Partition, leader image.BrokerID) {
	p.Leader = leader
	p.LeaderEpoch++
	if leader == image.NoBroker || slices.Contains(p.ISR, leader) {
		return
	}
	isr := []image.BrokerID{leader}
	if slices.Contains(p.ELR, leader) {
		p.ELR = image.EligibleLeaders(p, isr, e.minISR(t))
	} else {
		p.ELR = nil
	}
	p.ISR = isr
}

// minISR is min.insync.replicas as all brokers have it, which the controller sees to; else as this one has it.
func (e *electorate) minISR(t *image.Topic) int {
	if n, ok := e.img.MinISR(t.Name); ok {
		return n
	}
	return int(e.topic(t).MinInsyncReplicas)
}

// topic is the topic's compiled configs. What was let in compiles; should it not, the defaults hold.
func (e *electorate) topic(t *image.Topic) *config.Topic {
	set := e.img.Configs(image.Resource{Type: image.TopicResource, Name: t.Name})
	if len(set) > 0 {
		if c, err := e.cfg.CompileTopic(set); err == nil {
			return c
		}
	}
	if e.base == nil {
		e.base, _ = e.cfg.CompileTopic(nil)
	}
	return e.base
}

// planPreferred returns the changes that give partitions back to their first replica where that is in sync, most of them
// at a time.
func planPreferred(img *image.Image, cfg *config.Broker, most int) (recs []image.Record) {
	e := newElectorate(img, cfg)
	for t := range img.Topics {
		for _, p := range t.Partitions {
			if len(recs) == most {
				return recs
			}
			if next, err := e.prefer(t, p); err == nil {
				recs = append(recs, image.PartitionChange{Topic: t.ID, From: p.Epoch, Partition: next})
			}
		}
	}
	return recs
}

// prefer is p led by its first replica, or why it is not: ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE.
func (e *electorate) prefer(t *image.Topic, p *image.Partition) (next image.Partition, err error) {
	if len(p.Replicas) == 0 || p.Leader == p.Replicas[0] {
		return next, kerr.ElectionNotNeeded
	}
	next, _ = e.elect(t, p, preference)
	if next.Leader != p.Replicas[0] {
		return next, kerr.PreferredLeaderNotAvailable
	}
	return next, nil
}

// rescue is p led by any live replica if nobody led it, or why it is not: ELECTION_NOT_NEEDED, ELIGIBLE_LEADERS_NOT_AVAILABLE.
func (e *electorate) rescue(t *image.Topic, p *image.Partition) (next image.Partition, err error) {
	if _, ok := e.live[p.Leader]; ok {
		return next, kerr.ElectionNotNeeded
	}
	next, _ = e.elect(t, p, unclean)
	if next.Leader == image.NoBroker {
		return next, kerr.EligibleLeadersNotAvailable
	}
	return next, nil
}
