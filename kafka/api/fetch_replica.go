package api

import (
	"slices"
	"time"

	"chronik/cluster/replica"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// staleWait is how long a follower may go on with a high watermark, or a log start, that has moved: long enough that new records, which bring
// the new one along, come first where there are any.
const staleWait = 20 * time.Millisecond

// replica says which follower fetches, if one does, and whether it may: the brokers of this cluster, by their own listener,
// as of their newest registration.
func (c *fetchCall) replica() (*replica.Follower, error) {
	id, epoch := c.req.ReplicaID, int64(-1)
	if c.req.Version >= 15 {
		id, epoch = c.req.ReplicaState.ID, c.req.ReplicaState.Epoch
	}
	if id < 0 {
		return nil, nil
	}
	if c.rq.Peer.Listener != image.InternalListener || c.req.Version < 15 {
		return nil, kerr.ClusterAuthorizationFailed
	}
	b, ok := c.broker.Meta.Image().Broker(image.BrokerID(id))
	switch {
	case !ok:
		return nil, kerr.BrokerIDNotRegistered
	case epoch < b.Epoch:
		return nil, kerr.StaleBrokerEpoch
	}
	return &replica.Follower{ID: b.ID, Epoch: epoch}, nil
}

// readAsFollower fills in one partition's answer for a follower, unless this node has been deposed meanwhile: what it read last,
// the high watermark above all, may be of its successor's log then, which the follower's was not compared with.
func (c *fetchCall) readAsFollower(a *answer, room int) (int, error) {
	n, err := c.readLed(a, room)
	if it := a.item; it.at != nil && !it.at.LeadsIn(it.part.CurrentLeaderEpoch) {
		releaseAll(a.Records)
		a.FetchPartition = unanswered(a.Partition)
		return 0, kerr.NotLeaderOrFollower
	}
	return n, err
}

// readLed is what is durable here, replicated or not.
func (c *fetchCall) readLed(a *answer, room int) (int, error) {
	it := a.item
	in := &it.part
	it.rests = false
	p, known, err := c.led(it)
	if err != nil {
		return 0, err
	}
	var d replica.Divergence
	var diverges bool
	if !c.tried || !known { // later it is still the same fetch
		d, diverges, err = p.Followed(*c.follower, replica.Place{
			Offset: in.FetchOffset, LastEpoch: in.LastFetchedEpoch, LeaderEpoch: in.CurrentLeaderEpoch, Start: in.LogStartOffset,
		})
		if diverges {
			a.DivergingEpoch, a.DivergingEnd = d.Epoch, d.End
		}
		if err != nil && kerr.Of(err) != kerr.OffsetOutOfRange {
			return 0, err
		}
	}
	m := p.Marks()
	a.HighWatermark, a.LastStable, a.LogStart = m.HighWatermark, m.LastStable, m.LogStart // also where it must begin anew
	if err != nil || diverges {
		return 0, err
	}
	c.stale = c.stale || it.told && (it.toldHW != m.HighWatermark || it.toldStart != m.LogStart)
	if in.FetchOffset >= m.LogEnd || p.HoldsBack(c.follower.ID) {
		it.rests = in.FetchOffset >= m.LogEnd && p.InSync(c.follower.ID)
		return 0, nil
	}
	if c.gathers {
		return 0, nil
	}
	a.Records, err = p.ReadAsFollower(nil, in.FetchOffset, max(0, min(room, int(in.PartitionMaxBytes))), c.bytes == 0)
	if err != nil {
		return 0, err
	}
	return a.sized(p), nil
}

// led is the item's partition, and whether it was known before: it is looked up once in a session, and watched from then on.
// Whether this node may lead at all is asked when the answer goes out.
func (c *fetchCall) led(it *fetchItem) (p *replica.Partition, known bool, err error) {
	if it.at != nil && it.at.LeadsIn(it.part.CurrentLeaderEpoch) {
		return it.at, true, nil
	}
	p, err = c.partition(it)
	it.at = p
	c.fed.watch(it.own, p)
	return p, false, err
}

// count counts what a follower is sent against the replication quota.
func (c *fetchCall) count() {
	if c.follower == nil {
		return
	}
	for i := range c.answers {
		if a := &c.answers[i]; len(a.Records) > 0 {
			a.from.Sent(a.size)
		}
	}
}

// hints collects where partitions are led, for clients that asked the wrong broker (KIP-951). The zero value is ready.
type hints struct{ leaders []image.BrokerID }

// add returns the leader and its epoch when err says that the client has the wrong one.
func (h *hints) add(img *image.Image, topic image.TopicID, partition int32, err kerr.Code) (leader, epoch int32) {
	if err != kerr.NotLeaderOrFollower && err != kerr.FencedLeaderEpoch {
		return -1, -1
	}
	t, ok := img.Topic(topic)
	if !ok || partition < 0 || int(partition) >= len(t.Partitions) {
		return -1, -1
	}
	p := t.Partitions[partition]
	if p.Leader != image.NoBroker && !slices.Contains(h.leaders, p.Leader) {
		h.leaders = append(h.leaders, p.Leader)
	}
	return int32(p.Leader), p.LeaderEpoch
}

// endpoints is where these brokers are reached.
func (b *Broker) endpoints(img *image.Image, ids []image.BrokerID, peer *wire.Peer) []wire.Node {
	var nodes []wire.Node
	for _, id := range ids {
		n, ok := img.Broker(id)
		if !ok {
			continue
		}
		if host, port := b.endpoint(n, peer); port >= 0 {
			nodes = append(nodes, wire.Node{ID: int32(id), Host: host, Port: port, Rack: n.Rack})
		}
	}
	return nodes
}
