package group

import (
	"math"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// coordinates says whether a group is this broker's, by the newest image.
func (e *env) coordinates(group string) bool {
	return !e.shared || e.image().Coordinator(group) == e.self
}

// refuse says why this broker can't answer for a group: it is another one's, or nobody knows whose it is by now.
func (e *env) refuse(group string) error {
	if !e.coordinates(group) || e.serves != nil && !e.serves() {
		return coordinator.ErrNotMine
	}
	return nil
}

// owner is what records say of who made them: this broker as it is registered. Whoever has its groups by the time they
// arrive has them refused; and a broker that is not registered has nothing.
func (e *env) owner() (id image.BrokerID, epoch int64) {
	if !e.shared {
		return image.NoBroker, -1
	}
	if b, ok := e.image().Broker(e.self); ok {
		return e.self, b.Epoch
	}
	return e.self, math.MaxInt64
}
