// Package replica is this node's part in each partition: it leads, or follows, as the metadata says. It knows the high
// watermark and who is in sync, wakes who waits for records, and answers producers when their records are replicated. It
// does not know the protocol that clients' requests come in, how other brokers are reached, nor how a log is stored.
//
// What comes and goes: apply.go, leave.go. Where this node leads: partition.go, lead.go (followers and the high watermark),
// isr.go, feed.go (what followers are told). Where it follows: follow.go (one partition), fetcher.go (all that have one leader). Both sides' quotas: throttle.go.
package replica

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/partlog"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
)

// Link is how followers ask their leaders.
type Link interface {
	// Fetch sends rq to broker to. The records of the answer lie in buf, which the caller releases; buf may be nil when there
	// are none. When ctx ends the request is given up, and the next one must not wait behind it.
	Fetch(ctx context.Context, to image.BrokerID, rq *kmsg.FetchRequest) (resp *kmsg.FetchResponse, buf *arena.Buf, err error)
}

// Options of New.
type Options struct {
	Self   image.BrokerID
	Store  *partlog.Store
	Config func(*image.Image, string) *config.Topic // of the topic with that name, compiled
	Logger *slog.Logger

	// Propose has the metadata changed (metalog.Log.Propose), and Link reaches other brokers. A node that is alone needs
	// neither.
	Propose func(context.Context, ...image.Record) (image.Index, error)
	Link    Link
	Now     func() time.Time // with a monotonic part; nil: time.Now

	// Rates are the replication quotas now; nil: there are none.
	Rates func() Rates

	LagTimeMax            time.Duration // replica.lag.time.max.ms; 0: thirty seconds
	FetchWaitMax          time.Duration // replica.fetch.wait.max.ms; 0: half a second
	FetchMaxBytes         int32         // replica.fetch.max.bytes; 0: 1 MiB
	FetchResponseMaxBytes int32         // replica.fetch.response.max.bytes; 0: 10 MiB
}

func (o *Options) fill() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rates == nil {
		o.Rates = func() Rates { return Rates{math.MaxInt64, math.MaxInt64} }
	}
	if o.LagTimeMax == 0 {
		o.LagTimeMax = 30 * time.Second
	}
	if o.FetchWaitMax == 0 {
		o.FetchWaitMax = 500 * time.Millisecond
	}
	if o.FetchMaxBytes == 0 {
		o.FetchMaxBytes = 1 << 20
	}
	if o.FetchResponseMaxBytes == 0 {
		o.FetchResponseMaxBytes = 10 << 20
	}
}

// Manager holds the partitions of this node. It is an image.Watcher: it creates, reconfigures and deletes logs as the
// metadata changes (apply.go).
type Manager struct {
	options Options
	lease   lease
	sends   bucket // as a leader, of replicas that are throttled
	fetches bucket // as a follower

	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	tasks sync.WaitGroup

	newest atomic.Pointer[image.Image]

	mu       sync.RWMutex // guards what follows; Apply alone writes it
	img      *image.Image
	topics   map[image.TopicID][]*Partition // by number; nil where this node has no replica
	closed   bool
	fetchers map[image.BrokerID]*fetcher
	inSync   *inSync // nil until this node leads something that others follow
	leaving  map[wal.StreamID]bool
	left     []left // of leaving, in order; the first is being given up
	givingUp bool   // somebody works on left
}

// New returns a manager without partitions; register it with metalog.Watch.
func New(o Options) *Manager {
	o.fill()
	m := &Manager{options: o, img: image.Empty(), topics: map[image.TopicID][]*Partition{}, fetchers: map[image.BrokerID]*fetcher{}, leaving: map[wal.StreamID]bool{}}
	m.newest.Store(m.img)
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.lease.init(o.Now, m.expire)
	m.sends.now, m.fetches.now = o.Now, o.Now
	return m
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
	case p.withdrawn.Load() || !m.lease.holds():
		return nil, kerr.NotLeaderOrFollower
	}
	return p, nil
}

// LeadsIn says whether this node leads the partition in that leader epoch, as far as the metadata goes: Serving says whether
// it may.
func (p *Partition) LeadsIn(epoch int32) bool {
	r := p.role.Load()
	return r.leads() && r.epoch == epoch && !p.withdrawn.Load()
}

// Replica is Leader, and also returns a partition that this node follows: consumers may read there up to its high
// watermark (KIP-392).
func (m *Manager) Replica(topic image.TopicID, partition, currentEpoch int32) (*Partition, error) {
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
	case r.leader == image.NoBroker || p.withdrawn.Load() || !m.lease.holds():
		return nil, kerr.NotLeaderOrFollower
	}
	return p, nil
}

// Held returns the partition when this node has a replica of it, whatever its part.
func (m *Manager) Held(topic image.TopicID, partition int32) (*Partition, bool) {
	p, err := m.find(topic, partition)
	return p, err == nil
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

// Close releases every waiter with kerr.NotLeaderOrFollower and waits for what runs in the background.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	m.each(func(p *Partition) { p.resign(kerr.NotLeaderOrFollower) })
	m.mu.Unlock()
	m.lease.end()
	m.stop()
	m.tasks.Wait()
}

// each goes through the partitions; the caller holds m.mu.
func (m *Manager) each(fn func(*Partition)) {
	for _, parts := range m.topics {
		for _, p := range parts {
			if p != nil {
				fn(p)
			}
		}
	}
}
