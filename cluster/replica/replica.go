// Package replica is this node's part in each partition: it leads, or will follow, as the metadata says; it knows the
// high watermark, wakes who waits for records, and answers producers when their records are replicated. It does not know
// the protocol that requests came in, nor how a log is stored.
package replica

import (
	"log/slog"
	"sync"

	"chronik/cluster/partlog"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Options of New.
type Options struct {
	Self   image.BrokerID
	Store  *partlog.Store
	Config func(*image.Image, string) *config.Topic // of the topic with that name, compiled
	Logger *slog.Logger
}

// Manager holds the partitions of this node. It is an image.Watcher: it creates, reconfigures and deletes logs as the
// metadata changes (apply.go).
type Manager struct {
	options Options

	mu     sync.RWMutex // guards what follows; Apply alone writes it
	img    *image.Image
	topics map[image.TopicID][]*Partition // by number; nil where this node has no replica
	closed bool
}

// New returns a manager without partitions; register it with metalog.Watch.
func New(o Options) *Manager {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Manager{options: o, img: image.Empty(), topics: map[image.TopicID][]*Partition{}}
}

// Leader returns the partition when this node leads it: else kerr.UnknownTopicID, UnknownTopicOrPartition or
// NotLeaderOrFollower. currentEpoch is the client's, -1 when it gave none: FencedLeaderEpoch, UnknownLeaderEpoch.
func (m *Manager) Leader(topic image.TopicID, partition, currentEpoch int32) (*Partition, error) {
	p, err := m.find(topic, partition)
	if err != nil {
		return nil, err
	}
	r := p.role.Load()
	switch {
	case currentEpoch >= 0 && currentEpoch < r.epoch:
		return nil, kerr.FencedLeaderEpoch
	case currentEpoch > r.epoch:
		return nil, kerr.UnknownLeaderEpoch
	case r.refuses != nil:
		return nil, r.refuses
	}
	return p, nil
}

func (m *Manager) find(topic image.TopicID, partition int32) (*Partition, error) {
	m.mu.RLock()
	parts, img := m.topics[topic], m.img
	m.mu.RUnlock()
	if partition >= 0 && int(partition) < len(parts) && parts[partition] != nil {
		return parts[partition], nil
	}
	t, known := img.Topic(topic)
	switch {
	case !known:
		return nil, kerr.UnknownTopicID
	case partition < 0 || int(partition) >= len(t.Partitions):
		return nil, kerr.UnknownTopicOrPartition
	}
	return nil, kerr.NotLeaderOrFollower
}

// Commit has what was produced written; called once after all partitions of a request.
func (m *Manager) Commit() { m.options.Store.Commit() }

// CommitSoon is Commit for callers that have something better to do than to write themselves.
func (m *Manager) CommitSoon() { m.options.Store.CommitSoon() }

// Close releases every waiter with kerr.NotLeaderOrFollower.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, parts := range m.topics {
		for _, p := range parts {
			if p != nil {
				p.resign(kerr.NotLeaderOrFollower)
			}
		}
	}
}
