package group

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Log is the metadata log as far as groups use it (metalog.Log).
type Log interface {
	Image() *image.Image
	ProposeEach(ctx context.Context, low bool, proposals [][]image.Record) []error
}

// Config is what of the broker's configuration groups go by. The names in the comments are Kafka's.
type Config struct {
	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size, members
	OffsetMetadataMax     int           // offset.metadata.max.bytes
	CommitTimeout         time.Duration // offsets.commit.timeout.ms, also for groups' own records; asked for once
	OffsetsRetention      time.Duration // offsets.retention.minutes
	OffsetsCheckInterval  time.Duration // offsets.retention.check.interval.ms; 0: ten minutes

	ConsumerMaxSize   int      // group.consumer.max.size, members
	ConsumerAssignors []string // group.consumer.assignors; the first is the default
	ShareMaxSize      int      // group.share.max.size, members
	StreamsMaxSize    int      // group.streams.max.size, members
	Upgrade           bool     // group.consumer.migration.policy lets a classic group become a consumer group ...
	Downgrade         bool     // ... and a consumer group a classic one
}

// Options of New.
type Options struct {
	Log Log

	// Shared says that groups belong to one broker each, by the image, and this one is Self: it answers for its own with
	// NOT_COORDINATOR for the others, and its records carry its epoch. Serves, when set, says whether this broker may
	// answer now: one that the controller has not heard of for a session must not.
	Shared bool
	Self   image.BrokerID
	Serves func() bool

	// Sync waits until the image has all that was agreed on before (metalog.Log.Sync); nil where this broker is alone. One that
	// is behind may take itself for the coordinator of a group that has moved on.
	Sync func(ctx context.Context) error

	Config      func() Config                               // asked for every request: one atomic load
	Group       func(id string) config.Group                // a group's own configs
	End         func(at image.TopicPartition) (int64, bool) // where readers find a partition's end, as far as this node knows; nil: it does not
	Now         func() time.Time                            // time.Now
	NewMemberID func(clientID string) string                // a fresh member id; for a static member clientID is its group.instance.id
	Logger      *slog.Logger
}

// Client is who sent a request, as DescribeGroups shows it.
type Client struct{ ID, Host string }

// Coordinator answers the requests of groups. All methods may be called concurrently. They take requests in the
// form of kmsg's highest version, whatever version the client spoke; version says which behaviour it expects. The answer
// has Version set to it. It may share the request's bytes; what outlives the call is copied.
//
// Join and Sync wait for other members. When ctx ends first, the answer has REQUEST_TIMED_OUT and is of no use; the
// member stays in its group until its session ends.
type Coordinator struct {
	env
	newMemberID func(clientID string) string
	end         func(image.TopicPartition) (int64, bool)
	catchUp     func(ctx context.Context) error // Options.Sync
	machines    *coordinator.Runtime[*machine]
	moved       chan struct{} // holds one token when groups may have come or gone ...
	changed     chan struct{} // ... and when topics have
	stop        chan struct{}
	moving      sync.WaitGroup
}

// New starts with the groups that the image holds: members of a stable group have a full session timeout to be heard of.
func New(o Options) *Coordinator {
	c := &Coordinator{
		env:         env{image: o.Log.Image, config: o.Config, group: o.Group, self: o.Self, shared: o.Shared, serves: o.Serves},
		newMemberID: o.NewMemberID, catchUp: o.Sync, moved: make(chan struct{}, 1), changed: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	if c.end = o.End; c.end == nil {
		c.end = func(image.TopicPartition) (int64, bool) { return 0, false }
	}
	c.machines = coordinator.New(coordinator.Options[*machine]{
		Log: o.Log, Now: o.Now, Logger: o.Logger, Timeout: o.Config().CommitTimeout, Mine: c.tenure,
		New: func(id string, since int64, now coordinator.Instant) *machine {
			return newMachine(c.env, id, since, now)
		},
	})
	c.load()
	c.machines.Every(c.checkInterval, c.expireOffsets)
	c.moving.Go(c.move)
	return c
}

// Apply is image.Watcher's: with the brokers, groups come and go; with the topics, what their members have to share.
func (c *Coordinator) Apply(d *image.Delta) {
	if len(d.Brokers) > 0 {
		signal(c.moved)
	}
	if slices.ContainsFunc(d.Topics, func(id image.TopicID) bool { return resized(d, id) }) {
		signal(c.changed)
	}
}

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// resized says whether a topic came, went, or has another number of partitions: who leads them is nothing to groups.
func resized(d *image.Delta, id image.TopicID) bool {
	was, before := d.Old.Topic(id)
	is, after := d.New.Topic(id)
	return before != after || before && len(was.Partitions) != len(is.Partitions)
}

// move lets groups go and takes groups on, and tells those that are there of topics, behind the goroutine that applies the
// metadata: an image can hold many.
func (c *Coordinator) move() {
	for {
		select {
		case <-c.moved:
			c.machines.Evict()
			c.load()
		case <-c.changed:
			for _, id := range c.machines.Keys() {
				_ = c.machines.Tell(id, (*machine).topicsChanged) // its coordinator does
			}
		case <-c.stop:
			return
		}
	}
}

// load makes the machines of this broker's groups that have members: their sessions run.
func (c *Coordinator) load() {
	img := c.image()
	for id := range img.Groups {
		if g, ok := img.Group(id); ok && len(g.Members)+g.State.Len() > 0 && c.coordinates(id) {
			c.machines.Load(id)
		}
	}
}

// Close ends the timers and answers whoever waits with COORDINATOR_NOT_AVAILABLE.
func (c *Coordinator) Close() {
	close(c.stop)
	c.moving.Wait()
	c.machines.Close()
}

// Join serves JoinGroup (key 11), versions 0-9. Below version 1, which has no rebalance timeout, the session timeout
// takes its place.
func (c *Coordinator) Join(ctx context.Context, from Client, version int16, rq *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	resp := c.join(ctx, from, version, rq)
	resp.Version = version
	return resp
}

func (c *Coordinator) join(ctx context.Context, from Client, version int16, rq *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	if rq.Group == "" {
		return joinRefused(rq.MemberID, kerr.InvalidGroupID)
	}
	j := joinRequest{
		version: version, from: from, memberID: rq.MemberID, instance: value(rq.InstanceID), protocolType: rq.ProtocolType,
		session: millis(rq.SessionTimeoutMillis), rebalance: millis(rq.RebalanceTimeoutMillis),
	}
	if config := c.config(); j.session < config.MinSessionTimeout || j.session > config.MaxSessionTimeout {
		return joinRefused(rq.MemberID, kerr.InvalidSessionTimeout)
	}
	if version < 1 {
		j.rebalance = j.session
	}
	if j.memberID == "" && j.instance != "" {
		j.newMemberID = c.newMemberID(j.instance)
	} else if j.memberID == "" {
		j.newMemberID = c.newMemberID(from.ID)
	}
	for _, p := range rq.Protocols {
		j.protocols = append(j.protocols, protocol{p.Name, bytes.Clone(p.Metadata)})
	}
	body, err := c.call(ctx, rq.Group, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		j.ticket = t
		m.join(now, j, fx)
	})
	if err != nil {
		return joinRefused(rq.MemberID, unanswered(err))
	}
	return body.(*kmsg.JoinGroupResponse)
}

// Sync serves SyncGroup (key 14), versions 0-5.
func (c *Coordinator) Sync(ctx context.Context, version int16, rq *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	resp := c.sync(ctx, rq)
	resp.Version = version
	return resp
}

func (c *Coordinator) sync(ctx context.Context, rq *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	if rq.Group == "" {
		return syncRefused(kerr.InvalidGroupID)
	}
	s := syncRequest{
		memberID: rq.MemberID, instance: value(rq.InstanceID), generation: rq.Generation,
		protocolType: rq.ProtocolType, protocol: rq.Protocol, assignments: make(map[string][]byte, len(rq.GroupAssignment)),
	}
	for _, a := range rq.GroupAssignment {
		s.assignments[a.MemberID] = bytes.Clone(a.MemberAssignment)
	}
	body, err := c.call(ctx, rq.Group, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		s.ticket = t
		m.sync(now, s, fx)
	})
	if err != nil {
		return syncRefused(unanswered(err))
	}
	return body.(*kmsg.SyncGroupResponse)
}

// Heartbeat serves key 12, versions 0-4.
func (c *Coordinator) Heartbeat(_ context.Context, version int16, rq *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version, resp.ErrorCode = version, int16(kerr.InvalidGroupID)
	if rq.Group != "" {
		err := c.refuse(rq.Group)
		if err == nil {
			err = c.machines.Tell(rq.Group, func(m *machine, now coordinator.Instant, _ *coordinator.Effects) {
				resp.ErrorCode = int16(m.heartbeat(now, rq.MemberID, value(rq.InstanceID), rq.Generation))
			})
		}
		if err != nil {
			resp.ErrorCode = int16(unanswered(err))
		}
	}
	return resp
}

// Leave serves LeaveGroup (key 13), versions 0-5: below 3 the one member of MemberID, from 3 on those of Members.
func (c *Coordinator) Leave(ctx context.Context, version int16, rq *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.Version = version
	leavers := []leaver{{memberID: rq.MemberID}}
	if version >= 3 {
		leavers = leavers[:0]
		for _, m := range rq.Members {
			leavers = append(leavers, leaver{m.MemberID, value(m.InstanceID)})
		}
	}
	codes, code := c.leave(ctx, rq.Group, leavers)
	if code == kerr.None && version < 3 {
		code = codes[0]
	}
	resp.ErrorCode = int16(code)
	if version < 3 || code != kerr.None {
		return resp
	}
	for i, m := range rq.Members {
		left := kmsg.NewLeaveGroupResponseMember()
		left.MemberID, left.InstanceID, left.ErrorCode = m.MemberID, m.InstanceID, int16(codes[i])
		resp.Members = append(resp.Members, left)
	}
	return resp
}

func (c *Coordinator) leave(ctx context.Context, group string, leavers []leaver) ([]kerr.Code, kerr.Code) {
	if group == "" {
		return nil, kerr.InvalidGroupID
	}
	body, err := c.call(ctx, group, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		m.leave(now, t, leavers, fx)
	})
	if err != nil {
		return nil, unanswered(err)
	}
	if code, ok := body.(kerr.Code); ok {
		return nil, code
	}
	return body.([]kerr.Code), kerr.None
}

// call is machines.Call for a group that this broker may answer for, also when the answer has come.
func (c *Coordinator) call(ctx context.Context, group string, fn func(*machine, coordinator.Instant, coordinator.Ticket, *coordinator.Effects)) (any, error) {
	if err := c.refuse(group); err != nil {
		return nil, err
	}
	body, err := c.machines.Call(ctx, group, fn)
	if err == nil {
		err = c.refuse(group)
	}
	return body, err
}

// unanswered is the code for a call that the runtime gave up on.
func unanswered(err error) kerr.Code {
	switch {
	case errors.Is(err, coordinator.ErrClosed):
		return kerr.CoordinatorNotAvailable
	case errors.Is(err, coordinator.ErrNotMine):
		return kerr.NotCoordinator
	}
	return kerr.RequestTimedOut
}

func millis(ms int32) time.Duration { return time.Duration(max(ms, 0)) * time.Millisecond }

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
