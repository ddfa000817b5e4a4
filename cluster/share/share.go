// Package share is share groups (KIP-932) where their records are: on the leader of each partition. What a group has
// acquired, acknowledged and released there is a deterministic machine (partition.go and the files about one request each),
// run by cluster/coordinator; Manager knows the log that the records are in and the members' sessions. Who is a member of
// a group and which partitions it has is cluster/group's. The package knows no socket, no clock and no disk.
package share

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"chronik/cluster/coordinator"
	"chronik/cluster/replica"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Log is the metadata log as far as it is used here (metalog.Log).
type Log interface {
	Image() *image.Image
	ProposeEach(ctx context.Context, low bool, proposals [][]image.Record) []error
}

// Options of New.
type Options struct {
	Log         Log
	Parts       *replica.Manager
	Self        image.BrokerID
	Config      func(group string) config.ShareGroup
	MaxSessions func() int       // group.share.max.share.sessions
	Now         func() time.Time // time.Now
	Logger      *slog.Logger
}

// Key names a share partition: a group's state of a partition.
type Key struct {
	Group     string
	Partition image.TopicPartition
}

func (k Key) String() string {
	return string(binary.BigEndian.AppendUint32(k.Partition.Topic[:], uint32(k.Partition.Partition))) + k.Group
}

func parseKey(s string) Key {
	k := Key{Group: s[20:], Partition: image.TopicPartition{Partition: int32(binary.BigEndian.Uint32([]byte(s[16:20])))}}
	copy(k.Partition.Topic[:], s)
	return k
}

// tenure is who leads a partition, and since when in the sense of cluster/coordinator: in which leader epoch and of which
// state epoch it decides.
type tenure struct {
	leader image.BrokerID
	since  int64
}

func (t tenure) leaderEpoch() int32 { return int32(t.since >> 32) }
func (t tenure) stateEpoch() int32  { return int32(t.since) }

func sinceOf(leaderEpoch, stateEpoch int32) int64 {
	return int64(leaderEpoch)<<32 | int64(uint32(stateEpoch))
}

// Manager answers for the share partitions that this node leads. All methods may be called concurrently.
type Manager struct {
	options  Options
	machines *coordinator.Runtime[*partition]
	bells    bells
	sessions sessions
}

// New starts with what the image holds: a share partition is made when somebody asks for it.
func New(o Options) *Manager {
	m := &Manager{options: o}
	m.machines = coordinator.New(coordinator.Options[*partition]{
		Log: o.Log, Now: o.Now, Logger: o.Logger, Mine: m.tenure, New: m.machine,
	})
	m.machines.Every(func() time.Duration { return time.Minute }, func(context.Context) { m.machines.Evict() })
	return m
}

// Close ends the timers, and whoever waits.
func (m *Manager) Close() { m.machines.Close() }

// Apply is image.Watcher's: who waits for a partition is woken when its group's state comes, goes or is set anew.
func (m *Manager) Apply(d *image.Delta) {
	for _, group := range d.Groups {
		m.bells.each(group, func(p image.TopicPartition) bool {
			was, had := d.Old.ShareState(group, p)
			is, has := d.New.ShareState(group, p)
			return had != has || has && was.StateEpoch != is.StateEpoch
		})
	}
}

func (m *Manager) tenure(key string) (since int64, mine bool) {
	k, img := parseKey(key), m.options.Log.Image()
	t, ok := img.Topic(k.Partition.Topic)
	if !ok || k.Partition.Partition < 0 || int(k.Partition.Partition) >= len(t.Partitions) {
		return 0, false
	}
	p := t.Partitions[k.Partition.Partition]
	s, ok := img.ShareState(k.Group, k.Partition)
	if !ok || p.Leader != m.options.Self {
		return 0, false
	}
	return sinceOf(p.LeaderEpoch, s.StateEpoch), true
}

func (m *Manager) machine(key string, since int64, _ coordinator.Instant) *partition {
	k := parseKey(key)
	s, ok := m.options.Log.Image().ShareState(k.Group, k.Partition)
	if !ok {
		s = &image.ShareState{} // it has just gone: what is decided is refused
	}
	return newPartition(k, tenure{m.options.Self, since}, s,
		func() config.ShareGroup { return m.options.Config(k.Group) }, func() { m.bells.ring(k) })
}

// Config is the group's configuration.
func (m *Manager) Config(group string) config.ShareGroup { return m.options.Config(group) }

// Waits is an answer that comes when it is agreed on.
type Waits struct {
	manager *Manager
	key     Key
	err     error
	calling *coordinator.Calling[*partition]
}

// Wait is the outcome: nil, INVALID_RECORD_STATE or INVALID_REQUEST for what the member has not acquired, or what says that
// another broker leads. REQUEST_TIMED_OUT when ctx ends first: then nobody knows.
func (w *Waits) Wait(ctx context.Context) error {
	if w.err != nil {
		return w.err
	}
	body, err := w.calling.Wait(ctx)
	if err != nil {
		return w.manager.unanswered(w.key, err)
	}
	return body.(outcome).err
}

// Acknowledge takes over what a member says of records that it has acquired: all of the batches, or none. They must have
// passed CheckBatches. Somebody has to Wait.
func (m *Manager) Acknowledge(k Key, member string, batches []Batch) *Waits {
	return m.begin(k, func(p *partition, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		p.acknowledge(now, t, member, batches, fx)
	})
}

// Release gives back what a member has acquired. Somebody has to Wait.
func (m *Manager) Release(k Key, member string) *Waits {
	return m.begin(k, func(p *partition, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		p.release(now, t, member, fx)
	})
}

func (m *Manager) begin(k Key, fn func(*partition, coordinator.Instant, coordinator.Ticket, *coordinator.Effects)) *Waits {
	w := &Waits{manager: m, key: k}
	if _, w.err = m.options.Parts.Leader(k.Partition.Topic, k.Partition.Partition, -1); w.err != nil {
		return w
	}
	c, err := m.machines.Begin(k.String(), fn)
	if err != nil {
		w.err = m.unanswered(k, err)
	}
	w.calling = c
	return w
}

// unanswered is the error for a call that the runtime gave up on.
func (m *Manager) unanswered(k Key, err error) error {
	switch {
	case errors.Is(err, coordinator.ErrNotMine):
		if _, err := m.options.Parts.Leader(k.Partition.Topic, k.Partition.Partition, -1); err != nil {
			return err
		}
		return kerr.Detail(kerr.UnknownTopicOrPartition, "group %q has no state of the partition", k.Group)
	case errors.Is(err, coordinator.ErrClosed):
		return kerr.NotLeaderOrFollower
	}
	return kerr.RequestTimedOut
}

// give is Release without anybody who waits for it.
func (m *Manager) give(k Key, member string) {
	_ = m.machines.Tell(k.String(), func(p *partition, now coordinator.Instant, fx *coordinator.Effects) {
		p.release(now, 0, member, fx)
	})
}
