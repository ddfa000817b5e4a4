package replica

import (
	"slices"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// A partition whose records turn out to be damaged here is withdrawn: this node neither serves it nor copies it from its
// leader, until it has left the ISR. Then what it has is given up, and it is copied again from the beginning.

// Withdraw stops this node's part in the partition; false when it has none, or did so before.
func (m *Manager) Withdraw(topic image.TopicID, partition int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.held(topic, partition)
	if p == nil || !p.withdraw(true) {
		return false
	}
	m.unfollow(p)
	p.dismiss(kerr.NotLeaderOrFollower)
	return true
}

// Return takes the part up again that was withdrawn: nobody else has the partition.
func (m *Manager) Return(topic image.TopicID, partition int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.held(topic, partition); p != nil && p.withdraw(false) && !m.closed {
		m.attend(p)
	}
}

// GiveUp has what this node holds of a withdrawn partition removed, and begins with an empty log when that is done. Nobody
// may rely on it any more.
func (m *Manager) GiveUp(topic image.TopicID, partition int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.img.Topic(topic)
	p := m.held(topic, partition)
	if !ok || p == nil || m.closed {
		return
	}
	parts := slices.Clone(m.topics[topic]) // readers hold the old one
	parts[partition] = nil
	m.topics[topic] = parts
	m.leave(topic, t.Partitions[partition], p)
}

// held is the partition, nil when this node has no part in it; the caller holds m.mu.
func (m *Manager) held(topic image.TopicID, partition int32) *Partition {
	parts := m.topics[topic]
	if partition < 0 || int(partition) >= len(parts) {
		return nil
	}
	return parts[partition]
}

// withdraw is false when nothing has changed. An append that has begun ends before.
func (p *Partition) withdraw(yes bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.withdrawn.Swap(yes) != yes
}
