package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chronik/cluster/partlog"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
)

// repairPatience bounds how long a node tries to be relieved of what it is about to forget.
const repairPatience = 30 * time.Second

// openRepaired opens the store, or has what is damaged copied again from other replicas: a partition whose log does not
// hold together, or all of them when the write-ahead log itself is damaged or gone. What only this node has is never given
// up: then the start is refused, as it is for a node alone.
func (n *Node) openRepaired(ctx context.Context, o Options) error {
	err := n.openStore(ctx, o)
	var corrupt *wal.CorruptError
	if n.peers == nil || !errors.As(err, &corrupt) && !errors.Is(err, errLost) {
		return err
	}
	if again := n.beginAnew(ctx, o, err); again != nil {
		return errors.Join(err, again)
	}
	return n.openStore(ctx, o)
}

// beginAnew makes this node a new replica of all its partitions, as a new disk would: nobody relies on it any more when its
// logs are set aside, and the data that comes has another incarnation.
func (n *Node) beginAnew(ctx context.Context, o Options, why error) error {
	if o.FS != nil {
		return errors.New("its files are not in the data directory: they cannot be set aside")
	}
	all := map[replicaOf]error{}
	for t := range n.Meta.Image().Topics {
		for _, p := range t.Partitions {
			if slices.Contains(p.Replicas, n.ID) {
				all[replicaOf{t.ID, p.Number}] = why
			}
		}
	}
	n.logger.Error("the write-ahead log is damaged: this node becomes a new replica of all its partitions, which are copied again from the others",
		"partitions", len(all), "error", why)
	if err := n.leaveReplicas(ctx, all); err != nil {
		return err
	}
	if err := n.Meta.Renew(); err != nil {
		return fmt.Errorf("another incarnation: %w", err)
	}
	return errors.Join(setAside(o, "wal"), setAside(o, "partitions"))
}

// forgetDamaged is partlog.Options.Repair.
func (n *Node) forgetDamaged(ctx context.Context, damage []partlog.Damage) error {
	hurt := map[replicaOf]error{}
	for _, d := range damage {
		hurt[replicaFor(d.ID)] = d.Err
		n.logger.Error("a partition's records are damaged: this node leaves its ISR, and copies them again from another replica", "error", d.Err)
	}
	return n.leaveReplicas(ctx, hurt)
}

// leaveReplicas returns when no other node counts on what this one has of the partitions that are hurt. It empties hurt.
func (n *Node) leaveReplicas(ctx context.Context, hurt map[replicaOf]error) error {
	ctx, cancel := context.WithTimeout(ctx, repairPatience)
	defer cancel()
	for {
		recs, err := planForget(n.Meta.Image(), n.ID, hurt)
		if err != nil || len(recs) == 0 {
			return err
		}
		recs = recs[:min(len(recs), leaveMost)]
		_, err = n.Meta.Propose(ctx, recs...)
		switch kerr.Of(err) {
		case kerr.None:
			for _, r := range recs {
				c := r.(image.PartitionChange)
				delete(hurt, replicaOf{c.Topic, c.Partition.Number})
			}
			continue
		case kerr.InvalidUpdateVersion, kerr.FencedLeaderEpoch, kerr.NotController, kerr.UnknownTopicID:
		default:
			return fmt.Errorf("leave the ISR: %w", err)
		}
		select {
		case <-time.After(leavePause): // something else has changed the partitions meanwhile
		case <-ctx.Done():
			return fmt.Errorf("leave the ISR: %w", err)
		}
	}
}

const (
	leaveMost  = 200 // partitions in one proposal
	leavePause = 20 * time.Millisecond
)

// isHurt is partlog.Options.Damaged. What finds no room is found again by the next reader.
func (n *Node) isHurt(d partlog.Damage) {
	select {
	case n.hurt <- d:
	default:
	}
}

// mendAgain is how long damage that only this node could repair is left alone: the other replicas may have come back.
const mendAgain = time.Minute

// mend has partitions copied again whose records turn out to be damaged while the node runs.
func (n *Node) mend() {
	defer n.watching.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.watching.Go(func() { <-n.stop; cancel() })
	refused := map[replicaOf]time.Time{}
	for {
		select {
		case d := <-n.hurt:
			if which := replicaFor(d.ID); time.Since(refused[which]) > mendAgain && !n.mendOne(ctx, which, d.Err) {
				refused[which] = time.Now()
			}
			n.forgetHurt(replicaFor(d.ID))
		case <-n.stop:
			return
		}
	}
}

// forgetHurt drops what else readers have said of a partition: it is of the same damage, mostly.
func (n *Node) forgetHurt(which replicaOf) {
	for range len(n.hurt) {
		if d := <-n.hurt; replicaFor(d.ID) != which {
			n.isHurt(d)
		}
	}
}

// mendOne is false when the damage must stay.
func (n *Node) mendOne(ctx context.Context, which replicaOf, why error) bool {
	if !n.Replicas.Withdraw(which.topic, which.partition) {
		return true // it is on its way
	}
	n.logger.Error("a partition's records are damaged: this node leaves its ISR, and copies them again from another replica", "error", why)
	if err := n.leaveReplicas(ctx, map[replicaOf]error{which: why}); err != nil {
		n.logger.Error("damaged records cannot be copied again, and are not served", "damage", why, "error", err)
		n.Replicas.Return(which.topic, which.partition)
		return false
	}
	n.Replicas.GiveUp(which.topic, which.partition)
	return true
}
