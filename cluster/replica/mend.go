package replica

import (
	"fmt"
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
	if p := m.held(topic, partition); p != nil {
		m.beginAnew(p)
	}
}

// abandon is GiveUp for a log that begins beyond where the leader's of that epoch goes another way. What it lacks was
// committed once, so the leader came by an unclean election, and this node is not in the ISR. Where it went on from its own
// beginning, it would lack what the leader has taken until there.
func (m *Manager) abandon(p *Partition, leaderEpoch int32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, o := p.role.Load(), p.log.Offsets()
	if m.held(p.topic, p.number) != p || r.leads() || r.epoch != leaderEpoch || p.withdrawn.Load() {
		return kerr.FencedLeaderEpoch
	}
	if slices.Contains(r.isr, m.options.Self) {
		return fmt.Errorf("in sync, with a log that begins at %d, beyond the leader's: %w", o.LogStart, kerr.OffsetOutOfRange)
	}
	m.options.Logger.Warn("the leader's log goes another way before where this one begins, which is given up and copied again",
		"topic", p.topic, "partition", p.number, "start", o.LogStart, "end", o.LogEnd, "leaderEpoch", leaderEpoch)
	m.beginAnew(p)
	return nil
}

// beginAnew has the log removed, and created anew when that is done; the caller holds m.mu.
func (m *Manager) beginAnew(p *Partition) {
	t, ok := m.img.Topic(p.topic)
	if !ok || m.closed {
		return
	}
	parts := slices.Clone(m.topics[p.topic]) // readers hold the old one
	parts[p.number] = nil
	m.topics[p.topic] = parts
	m.leave(p.topic, t.Partitions[p.number], p)
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
