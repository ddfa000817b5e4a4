package group

import (
	"math"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// tenure says whether a group is this broker's, by the newest image, and since when.
func (e *env) tenure(group string) (since int64, mine bool) {
	if !e.shared {
		return -1, true
	}
	id, since := e.image().CoordinatorSince(group)
	return since, id == e.self
}

func (e *env) coordinates(group string) bool {
	_, mine := e.tenure(group)
	return mine
}

// refuse says why this broker can't answer for a group: it is another one's, or nobody knows whose it is by now.
func (e *env) refuse(group string) error {
	if !e.coordinates(group) || e.serves != nil && !e.serves() {
		return coordinator.ErrNotMine
	}
	return nil
}

// owner is what records say of who made them: this broker as it is registered, in its tenure of the group. Whoever has the
// group by the time they arrive has them refused; and a broker that is not registered has nothing.
func (m *machine) owner() (id image.BrokerID, epoch, since int64) {
	if !m.shared {
		return image.NoBroker, -1, -1
	}
	if b, ok := m.image().Broker(m.self); ok {
		return m.self, b.Epoch, m.since
	}
	return m.self, math.MaxInt64, m.since
}
