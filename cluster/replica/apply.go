package replica

import (
	"slices"

	"chronik/cluster/partlog"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
)

// Apply is image.Watcher's. It runs where the metadata is applied, so it does nothing that waits for a disk.
func (m *Manager) Apply(d *image.Delta) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.img = d.New
	m.newest.Store(d.New)
	if m.closed {
		return
	}
	for _, id := range d.Topics {
		if t, ok := d.New.Topic(id); ok {
			was, _ := d.Old.Topic(id)
			m.applyTopic(was, t)
		} else {
			m.removeTopic(id)
			m.forgetLeft(d.Old, id)
		}
	}
	m.applyConfigs(d)
	if len(d.Brokers) > 0 {
		m.disturb()
	}
}

// applyTopic leaves alone what did not change since was: when a broker comes back, a topic of a thousand partitions
// changes a thousand times. was is nil when nothing is known of it.
func (m *Manager) applyTopic(was, t *image.Topic) {
	parts := slices.Clone(m.topics[t.ID]) // readers hold the old one
	for len(parts) < len(t.Partitions) {
		parts = append(parts, nil)
	}
	var c *config.Topic
	for i, p := range t.Partitions {
		isHere := slices.Contains(p.Replicas, m.options.Self)
		if was != nil && i < len(was.Partitions) && was.Partitions[i] == p && isHere == (parts[i] != nil) {
			continue
		}
		if !isHere {
			m.leave(t.ID, p, parts[i])
			parts[i] = nil
			continue
		}
		if c == nil {
			c = m.options.Config(m.img, t.Name)
		}
		if parts[i] == nil {
			parts[i] = m.create(t, p, c)
		}
		if parts[i] != nil {
			parts[i].apply(p, m.options.Self)
			m.attend(parts[i])
		}
	}
	m.topics[t.ID] = parts
}

// attend starts what a partition's part needs in the background; the caller holds m.mu.
func (m *Manager) attend(p *Partition) {
	r := p.role.Load()
	if len(r.replicas) < 2 {
		m.unfollow(p) // the others may have left just now
		return
	}
	m.followLeader(p)
	if r.leads() {
		m.watchISR()
	}
}

// create opens the partition's log; nil while an earlier one is being given up, and when it cannot be done, which means that
// the disk and the metadata contradict each other: then nobody leads the partition here.
func (m *Manager) create(t *image.Topic, p *image.Partition, c *config.Topic) *Partition {
	id := partlog.ID{Stream: wal.StreamID(p.Stream), Topic: t.ID, Partition: p.Number}
	if m.leaving[id.Stream] {
		return nil // it comes when what there was has gone
	}
	l, err := m.options.Store.Log(id, c)
	if err != nil {
		m.options.Logger.Error("cannot open a partition", "topic", t.Name, "partition", p.Number, "error", err)
		return nil
	}
	return newPartition(m, l, t.ID, p.Number, id.Stream)
}

func (m *Manager) removeTopic(id image.TopicID) {
	for _, p := range m.topics[id] {
		m.remove(p, kerr.UnknownTopicOrPartition)
	}
	delete(m.topics, id)
}

// remove frees what this node holds of a partition that is gone.
func (m *Manager) remove(p *Partition, why kerr.Code) {
	if p == nil {
		return
	}
	p.resign(why)
	m.unfollow(p)
	m.deleteStream(p.stream)
}

// applyConfigs compiles the topics whose configuration changed, which with a broker's is all of them.
func (m *Manager) applyConfigs(d *image.Delta) {
	for _, r := range d.Configs {
		if r.Type == image.BrokerResource {
			d.New.Topics(func(t *image.Topic) bool {
				m.configure(t)
				return true
			})
			return
		}
	}
	for _, r := range d.Configs {
		if r.Type != image.TopicResource {
			continue
		}
		if t, ok := d.New.TopicNamed(r.Name); ok {
			m.configure(t)
		}
	}
}

func (m *Manager) configure(t *image.Topic) {
	parts := m.topics[t.ID]
	if len(parts) == 0 {
		return
	}
	c := m.options.Config(m.img, t.Name)
	for i, p := range parts {
		if p != nil {
			p.log.SetConfig(c)
			p.apply(t.Partitions[i], m.options.Self)
			m.attend(p)
		}
	}
}
