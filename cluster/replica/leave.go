package replica

import (
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
)

// leave gives up what this node holds of a partition whose replicas are elsewhere now. p is nil when the node did so before,
// or has just started: its end may have come before it was done. Giving up takes the disk and is done in the background;
// until then the partition is not created again, should it come back. The caller holds m.mu.
func (m *Manager) leave(topic image.TopicID, in *image.Partition, p *Partition) {
	stream := wal.StreamID(in.Stream)
	if p != nil {
		p.resign(kerr.NotLeaderOrFollower)
		m.unfollow(p)
	}
	if m.leaving[stream] || p == nil && !m.options.Store.Holds(stream) {
		return
	}
	m.leaving[stream] = true
	m.left = append(m.left, left{topic, in.Number, stream})
	if !m.givingUp {
		m.givingUp = true
		m.tasks.Go(m.giveUp)
	}
}

// left is a partition whose log is to be given up.
type left struct {
	topic  image.TopicID
	number int32
	stream wal.StreamID
}

// giveUp works on m.left until nothing is left. There is one at a time: a partition that is given up twice at once may have come
// back in between.
func (m *Manager) giveUp() {
	for {
		l, ok := m.nextLeft()
		if !ok {
			return
		}
		err := m.options.Store.Remove(l.stream)
		if err != nil {
			m.options.Logger.Error("what was left of a partition that has moved away was not removed", "topic", l.topic,
				"partition", l.number, "error", err)
		} else {
			m.options.Logger.Info("removed what was left of a partition that has moved away", "topic", l.topic, "partition", l.number)
		}
		m.gaveUp(l)
	}
}

func (m *Manager) nextLeft() (l left, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.givingUp = len(m.left) > 0 && !m.closed; !m.givingUp {
		return l, false
	}
	return m.left[0], true
}

// gaveUp creates the partition anew if it has come back meanwhile.
func (m *Manager) gaveUp(l left) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = m.left[1:]
	delete(m.leaving, l.stream)
	if m.closed {
		return
	}
	if t, ok := m.img.Topic(l.topic); ok {
		m.applyTopic(nil, t)
	} else {
		m.deleteStream(l.stream)
	}
}

// forgetLeft removes what is still here of a deleted topic's partitions that have moved away before; the caller holds m.mu.
func (m *Manager) forgetLeft(old *image.Image, id image.TopicID) {
	t, ok := old.Topic(id)
	if !ok {
		return
	}
	for _, p := range t.Partitions {
		m.deleteStream(wal.StreamID(p.Stream))
	}
}

func (m *Manager) deleteStream(stream wal.StreamID) {
	if err := m.options.Store.Delete(stream); err != nil {
		m.options.Logger.Error("cannot delete a partition", "stream", stream, "error", err)
	}
}
