package image

// coordinator is a broker that groups may be given to, with the number that speaks for it in the draw.
type coordinator struct {
	id   BrokerID
	salt uint64
}

// coordinatorsOf are the brokers that are not fenced, without those that are about to stop unless there are no others.
func coordinatorsOf(brokers []*Broker) []coordinator {
	pick := func(ok func(*Broker) bool) (list []coordinator) {
		for _, b := range brokers {
			if ok(b) {
				list = append(list, coordinator{b.ID, saltOf(b.ID)})
			}
		}
		return list
	}
	if list := pick((*Broker).Active); len(list) > 0 {
		return list
	}
	return pick(func(b *Broker) bool { return !b.Fenced })
}

// Coordinator is the broker that coordinates a group, NoBroker when none can: the one with the highest number drawn for
// the two together, so that a broker that comes or goes moves no groups but its own. Apply decides by it, so what is
// drawn must never change.
func (m *Image) Coordinator(group string) BrokerID { return draw(m.coordinators, group) }

// coordinators are those by the image in the making.
func (c *change) coordinators() []coordinator {
	if len(c.touchedBrokers.list) == 0 {
		return c.next.coordinators
	}
	var brokers []*Broker
	c.brokers.root().Walk(func(_ []byte, b *Broker) bool { brokers = append(brokers, b); return false })
	return coordinatorsOf(brokers)
}

func draw(from []coordinator, group string) BrokerID {
	best, highest := NoBroker, uint64(0)
	h := hash(group)
	for _, c := range from {
		if n := mix(h ^ c.salt); best == NoBroker || n > highest {
			best, highest = c.id, n
		}
	}
	return best
}

func saltOf(id BrokerID) uint64 { return mix(uint64(uint32(id)) + goldenRatio) }

// goldenRatio keeps small numbers from being mixed to small numbers: 2^64 by the golden ratio.
const goldenRatio = 0x9e3779b97f4a7c15

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix spreads every bit of its argument over the whole result: the last step of MurmurHash3.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
