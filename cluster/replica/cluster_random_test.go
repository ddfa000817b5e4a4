package replica

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal/campaign"
	"chronik/wal/vfs"
)

// trial does everything to a cluster by chance: power cuts, nodes that nobody reaches, nodes that hear late of the metadata,
// leaders that change and change back, replicas that move to other nodes and back. Elections are clean, as the controller's are. What producers were told, and what
// consumers have seen, must stay true.
type trial struct {
	*nodes
	r      *rand.Rand
	counts campaign.Counts
	cutOff map[image.BrokerID]bool // nobody reaches it
	stale  map[image.BrokerID]bool // it does not hear of the metadata
	setCut func(image.BrokerID, bool)
	count  int

	seen sync.Mutex               // guards what follows
	told map[int64]string         // acknowledged with acks=all: offset -> value
	read map[int64]string         // what a consumer has read: offset -> epoch:value
	by   map[int32]image.BrokerID // who acknowledged in a leader epoch
	last map[int32]int64          // the greatest high watermark seen in a leader epoch
}

func newTrial(t *testing.T, seed uint64) *trial {
	r := rand.New(rand.NewPCG(seed, 7))
	c := &trial{
		nodes: newNodesOf(t, 4, 3, 1+r.Int32N(2)), r: r, counts: campaign.Counts{},
		cutOff: map[image.BrokerID]bool{}, stale: map[image.BrokerID]bool{},
		told: map[int64]string{}, read: map[int64]string{}, by: map[int32]image.BrokerID{}, last: map[int32]int64{},
	}
	var mu sync.Mutex
	c.part(func(from, to image.BrokerID) bool {
		mu.Lock()
		defer mu.Unlock()
		return c.cutOff[from] || c.cutOff[to] ||
			slices.ContainsFunc(c.all, func(m *member) bool { return (m.id == from || m.id == to) && m.frozen.Load() })
	})
	c.setCut = func(id image.BrokerID, cut bool) {
		mu.Lock()
		defer mu.Unlock()
		c.cutOff[id] = cut
	}
	return c
}

func (c *trial) step() {
	m := c.all[c.r.IntN(len(c.all))]
	if leader := c.partition().Leader; leader != image.NoBroker && c.r.IntN(2) == 0 {
		m = c.node(leader)
	}
	c.arrive()
	switch n := c.r.IntN(33); {
	case n < 14:
		c.produceSome(m)
	case n < 18:
		c.consume(m)
	case n < 19:
		c.fail(m)
	case n < 21:
		c.setCut(m.id, c.r.IntN(2) == 0)
	case n < 22:
		c.stale[m.id] = !c.stale[m.id]
		m.lagBehind(c.stale[m.id])
	case n < 25:
		c.reelect()
	case n < 27:
		pass(time.Duration(c.r.IntN(2000)) * time.Millisecond)
	case n < 28:
		pass(c.lag + time.Second)
	case n < 31:
		c.reassign()
	default:
		if m.manager() == nil {
			c.revive(m)
		}
	}
}

// produceSome sends to a node, leader or not, several at once; nobody needs to answer.
func (c *trial) produceSome(m *member) {
	var all sync.WaitGroup
	acks := int16(-1)
	if c.r.IntN(4) == 0 {
		acks = 1
	}
	for range 1 + c.r.IntN(3) {
		value := "v" + strconv.Itoa(c.count)
		c.count++
		all.Go(func() {
			base, epoch, err := m.produced(acks, value, time.Second)
			if err == nil && acks == -1 && !m.frozen.Load() {
				c.acknowledged(m, base, epoch, value)
			}
		})
	}
	victim := c.all[c.r.IntN(len(c.all))]
	if c.r.IntN(3) == 0 {
		victim.arm(1+c.r.IntN(4), []vfs.Pick{vfs.Oldest, vfs.Random(c.r.Uint64())}[c.r.IntN(2)])
	}
	all.Wait()
	if victim.disarm() {
		c.fail(victim)
	}
}

func (c *trial) acknowledged(m *member, base int64, epoch int32, value string) {
	c.seen.Lock()
	defer c.seen.Unlock()
	c.counts["acknowledged"]++
	if was, twice := c.told[base]; twice {
		c.t.Errorf("offset %d was given to %s and to %s", base, was, value)
	}
	c.told[base] = value
	if was, other := c.by[epoch]; other && was != m.id {
		c.t.Errorf("both %d and %d have acknowledged in epoch %d", was, m.id, epoch)
	}
	c.by[epoch] = m.id
}

// consume reads what a node shows below its high watermark, leader or not: nobody may ever read something else there.
func (c *trial) consume(m *member) {
	mgr := m.manager()
	if mgr == nil {
		return
	}
	p, err := mgr.find(topicID, 0)
	if err != nil {
		return // it has not heard of it since its start
	}
	epoch, hw := p.role.Load().epoch, p.highWatermarkNow()
	all := contentOf(c.t, p, hw)
	c.seen.Lock()
	defer c.seen.Unlock()
	for _, s := range all {
		at, rest, _ := strings.Cut(s, "/")
		offset, _ := strconv.ParseInt(at, 10, 64)
		if was, ok := c.read[offset]; ok && was != rest {
			c.t.Errorf("node %d shows %s at offset %d, where %s was read", m.id, rest, offset, was)
		}
		c.read[offset] = rest
	}
	if p.Leads() && p.role.Load().epoch == epoch {
		if hw < c.last[epoch] {
			c.t.Errorf("the high watermark of epoch %d went from %d back to %d", epoch, c.last[epoch], hw)
		}
		c.last[epoch] = hw
	}
}

// fail is a power cut; the controller notices, mostly.
func (c *trial) fail(m *member) {
	if m.manager() == nil {
		return
	}
	c.counts["crashes"]++
	m.crash([]vfs.Pick{vfs.Oldest, vfs.Newest, vfs.Random(c.r.Uint64())}[c.r.IntN(3)])
	if c.r.IntN(3) > 0 {
		c.fenceAndElect(m.id)
	} else if c.r.IntN(2) == 0 {
		c.revive(m)
	}
}

func (c *trial) revive(m *member) {
	m.start()
	b, _ := c.image().Broker(m.id)
	c.must(image.BrokerRecord{ID: m.id, Incarnation: b.Incarnation})
	b, _ = c.image().Broker(m.id)
	c.must(image.FenceRecord{ID: m.id, Epoch: b.Epoch})
	c.reelect()
}

// fenceAndElect is the controller's: the node leaves the ISR unless it is the last, and somebody else of it leads.
func (c *trial) fenceAndElect(id image.BrokerID) {
	b, _ := c.image().Broker(id)
	c.must(image.FenceRecord{ID: id, Epoch: b.Epoch, Fenced: true})
	c.decide(func(p *image.Partition) {
		isr := slices.DeleteFunc(slices.Clone(p.ISR), func(other image.BrokerID) bool { return other == id })
		if len(isr) > 0 {
			p.ELR = image.EligibleLeaders(p, isr, int(c.minISR))
			p.ISR = isr
		}
	})
}

// reelect has another one of the ISR lead, or the first when nobody does.
func (c *trial) reelect() { c.decide(func(*image.Partition) {}) }

// decide changes the partition, and has one of its ISR lead; it decides anew when the partition has changed meanwhile.
func (c *trial) decide(change func(*image.Partition)) {
	for {
		p := *c.partition()
		from := p.Epoch
		change(&p)
		c.lead(&p)
		_, err := c.propose(image.PartitionChange{Topic: topicID, From: from, Partition: p})
		if err == nil {
			return
		}
		if kerr.Of(err) != kerr.InvalidUpdateVersion {
			c.t.Fatal(err)
		}
	}
}

// reassign has the replicas move to other nodes, in place of the move that is on its way, which may be taken back by that.
// Who goes at once must leave somebody behind that has all that was committed.
func (c *trial) reassign() {
	var target []image.BrokerID
	for _, i := range c.r.Perm(len(c.all))[:1+c.r.IntN(len(c.all))] {
		target = append(target, c.all[i].id)
	}
	c.decide(func(p *image.Partition) {
		original, next := p.Original(), *p
		if c.r.IntN(3) == 0 {
			target = original
		}
		next.Adding, next.Removing = outside(target, original), outside(original, target)
		next.Replicas = slices.Concat(target, next.Removing)
		next.ISR = inside(p.ISR, next.Replicas)
		next.ELR = image.EligibleLeaders(&next, next.ISR, int(c.minISR))
		if len(next.ISR) > 0 || len(next.ELR) > 0 {
			c.counts["reassignments"]++
			c.settle(p, &next)
		}
	})
}

// arrive is the controller's: replicas that are to go do so when all others are in sync.
func (c *trial) arrive() {
	if c.partition().Reassigning() {
		c.decide(func(p *image.Partition) {
			next := *p
			c.settle(p, &next)
		})
	}
}

// settle completes the move if it can be, and begins another leader epoch where a replica has gone.
func (c *trial) settle(p, next *image.Partition) {
	if len(outside(next.Target(), next.ISR)) == 0 && next.Reassigning() {
		next.Replicas = next.Target()
		next.ISR, next.ELR, next.Adding, next.Removing = inside(next.ISR, next.Replicas), nil, nil, nil
		c.counts["arrivals"]++
	}
	if len(outside(p.Replicas, next.Replicas)) > 0 {
		next.LeaderEpoch++
	}
	*p = *next
}

func outside(list, others []image.BrokerID) []image.BrokerID {
	return slices.DeleteFunc(slices.Clone(list), func(id image.BrokerID) bool { return slices.Contains(others, id) })
}

func inside(list, others []image.BrokerID) []image.BrokerID {
	return outside(list, outside(list, others))
}

// candidate is one of the ISR, or else of the ELR, that is not fenced; it may well be down, or be cut off.
func (c *trial) candidate(p *image.Partition) image.BrokerID {
	for _, from := range [][]image.BrokerID{p.ISR, p.ELR} {
		var live []image.BrokerID
		for _, id := range from {
			if b, _ := c.image().Broker(id); b.Active() {
				live = append(live, id)
			}
		}
		if len(live) > 0 {
			return live[c.r.IntN(len(live))]
		}
	}
	return image.NoBroker
}

func (c *trial) lead(p *image.Partition) {
	leader := c.candidate(p)
	if leader != p.Leader {
		c.counts["elections"]++
		p.Leader = leader
		p.LeaderEpoch++
	}
	if leader != image.NoBroker && !slices.Contains(p.ISR, leader) { // of the ELR
		p.ISR, p.ELR = []image.BrokerID{leader}, nil
	}
}

// heal has everything work again, and holds what is there against what was told and seen.
func (c *trial) heal() {
	for _, m := range c.all {
		c.setCut(m.id, false)
		c.stale[m.id] = false
		m.lagBehind(false)
		if m.manager() == nil {
			m.start()
		}
		b, _ := c.image().Broker(m.id)
		c.must(image.BrokerRecord{ID: m.id, Incarnation: b.Incarnation})
		b, _ = c.image().Broker(m.id)
		c.must(image.FenceRecord{ID: m.id, Epoch: b.Epoch})
	}
	c.reelect()
	c.await("the replicas have moved", func() bool {
		c.arrive()
		return !c.partition().Reassigning()
	})
	at := map[int64]string{}
	for i, s := range c.whole() {
		offset, rest, _ := strings.Cut(s, "/")
		if offset != strconv.Itoa(i) {
			c.t.Fatalf("offset %d is missing: %s", i, s)
		}
		at[int64(i)] = rest
	}
	for offset, value := range c.told {
		if _, got, _ := strings.Cut(at[offset], ":"); got != value {
			c.t.Errorf("%s was acknowledged at offset %d, where %q is", value, offset, got)
		}
	}
	for offset, rest := range c.read {
		if at[offset] != rest {
			c.t.Errorf("%s was read at offset %d, where %q is", rest, offset, at[offset])
		}
	}
}

func TestFaultsReplicasLoseNothingAndAgree(t *testing.T) {
	plan := campaign.Plan{Name: "replicas of four nodes: power cuts, partitions, elections, reassignments", Unit: "steps", Glance: 1500, Share: 20_000, Soak: 400_000}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		counts := campaign.Counts{}
		synctest.Test(t, func(t *testing.T) {
			drainProduces()
			defer drainProduces()
			c := newTrial(t, seed)
			defer c.close()
			for range 60 {
				if c.step(); t.Failed() {
					break
				}
				c.counts["steps"]++
			}
			if !t.Failed() {
				c.heal()
			}
			if t.Failed() {
				t.Logf("%+v", *c.partition())
			}
			counts = c.counts
		})
		return counts
	})
}
