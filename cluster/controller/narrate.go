package controller

import (
	"slices"

	"chronik/metalog/image"
)

// narrate writes what has happened to brokers and partitions into this node's log, a line each, by Kafka's names. It does
// so behind the goroutine that applies the metadata, which has no time to write.
func (c *Controller) narrate(t *tenure) {
	t.mu.Lock()
	deltas, dropped := t.deltas, t.dropped
	t.deltas, t.dropped = nil, 0
	t.mu.Unlock()
	for _, d := range deltas {
		for _, id := range d.Brokers {
			c.reportBroker(d, id)
		}
		for _, id := range d.Topics {
			c.reportTopic(d, id)
		}
	}
	if dropped > 0 {
		c.o.Logger.Warn("changes of the metadata came faster than they could be logged", "entries", dropped)
	}
}

func (c *Controller) reportBroker(d *image.Delta, id image.BrokerID) {
	was, had := d.Old.Broker(id)
	is, has := d.New.Broker(id)
	switch {
	case !has:
		if had {
			c.o.Logger.Info("broker unregistered", "brokerId", id)
		}
	case !had || was.Epoch != is.Epoch:
		c.o.Logger.Info("broker registered", "brokerId", id, "brokerEpoch", is.Epoch, "isFenced", is.Fenced,
			"newDirectory", had && was.Incarnation != is.Incarnation)
	case was.Fenced != is.Fenced:
		c.o.Logger.Info("broker fencing changed", "brokerId", id, "brokerEpoch", is.Epoch, "isFenced", is.Fenced)
	case was.ShuttingDown != is.ShuttingDown:
		c.o.Logger.Info("broker in controlled shutdown", "brokerId", id, "brokerEpoch", is.Epoch)
	}
}

// reportTopic tells of partitions that were there before: a new one is no election.
func (c *Controller) reportTopic(d *image.Delta, id image.TopicID) {
	was, had := d.Old.Topic(id)
	is, has := d.New.Topic(id)
	if !had || !has {
		return
	}
	for i, p := range is.Partitions {
		if i >= len(was.Partitions) || was.Partitions[i] == p {
			continue
		}
		old := was.Partitions[i]
		c.reportReassignment(is, old, p)
		if old.Leader != p.Leader || old.LeaderEpoch != p.LeaderEpoch {
			c.o.Logger.Info("leader elected", "topic", is.Name, "partition", p.Number, "leader", p.Leader, "leaderEpoch", p.LeaderEpoch,
				"isr", p.ISR, "eligibleLeaderReplicas", p.ELR, "partitionEpoch", p.Epoch, "previousLeader", old.Leader, "unclean", isUnclean(old, p))
		} else if !slices.Equal(old.ISR, p.ISR) || !slices.Equal(old.ELR, p.ELR) {
			c.o.Logger.Info("ISR changed", "topic", is.Name, "partition", p.Number, "leader", p.Leader, "leaderEpoch", p.LeaderEpoch,
				"isr", p.ISR, "eligibleLeaderReplicas", p.ELR, "partitionEpoch", p.Epoch, "previousIsr", old.ISR)
		}
	}
}

func (c *Controller) reportReassignment(t *image.Topic, old, p *image.Partition) {
	log := func(what string) {
		c.o.Logger.Info(what, "topic", t.Name, "partition", p.Number, "replicas", p.Replicas, "addingReplicas", p.Adding,
			"removingReplicas", p.Removing, "isr", p.ISR, "leader", p.Leader, "leaderEpoch", p.LeaderEpoch,
			"partitionEpoch", p.Epoch, "previousReplicas", old.Replicas)
	}
	moves := !slices.Equal(old.Adding, p.Adding) || !slices.Equal(old.Removing, p.Removing)
	switch {
	case p.Reassigning() && moves:
		log("partition reassignment started")
	case p.Reassigning() || !old.Reassigning() && slices.Equal(old.Replicas, p.Replicas):
	case old.Reassigning() && !slices.Equal(old.Target(), p.Replicas):
		log("partition reassignment cancelled")
	default:
		log("partition reassignment completed")
	}
}

// isUnclean says whether the new leader may lack records that were committed.
func isUnclean(old, p *image.Partition) bool {
	return p.Leader != image.NoBroker && !slices.Contains(old.ISR, p.Leader) && !slices.Contains(old.ELR, p.Leader)
}
