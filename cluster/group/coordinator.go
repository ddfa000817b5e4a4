// Package group is consumer groups of the classic protocol with their committed offsets. Each group is a deterministic
// state machine (machine.go and the files about one request each): given a request and the time it says what to record
// and what to answer, now or later. Coordinator runs the machines over cluster/coordinator and translates between names
// of topics and their ids. The package knows no socket, no clock and no disk; what lasts is records in the metadata log.
package group

import (
	"context"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/metalog/image"
)

// Log is the metadata log as far as groups use it (metalog.Log).
type Log interface {
	Image() *image.Image
	Propose(ctx context.Context, recs ...image.Record) (image.Index, error)
	ProposeLow(ctx context.Context, recs ...image.Record) (image.Index, error)
}

// Config is what of the broker's configuration groups go by. The names in the comments are Kafka's.
type Config struct {
	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size, members
	OffsetMetadataMax     int           // offset.metadata.max.bytes
	OffsetsRetention      time.Duration // offsets.retention.minutes
	OffsetsCheckInterval  time.Duration // offsets.retention.check.interval.ms; 0: ten minutes
}

// Options of New.
type Options struct {
	Log         Log
	Config      func() Config                // asked for every request: one atomic load
	Now         func() time.Time             // time.Now
	NewMemberID func(clientID string) string // a fresh member id; for a static member clientID is its group.instance.id
	Logger      *slog.Logger
}

// Client is who sent a request, as DescribeGroups shows it.
type Client struct{ ID, Host string }

// Coordinator answers the requests of classic groups. All methods may be called concurrently. They take requests in the
// form of kmsg's highest version, whatever version the client spoke; version says which behaviour it expects. The answer
// has Version set to the request's and keeps none of the request's bytes.
//
// Join and Sync wait for other members. When ctx ends first, the answer has REQUEST_TIMED_OUT and goes nowhere; the
// member stays in its group until its session ends.
type Coordinator struct{ groups }

// New starts with the groups that the image holds: members of a stable group have a full session timeout to be heard of.
func New(o Options) *Coordinator { panic("unwritten") }

// Close ends the timers and answers whoever waits with COORDINATOR_NOT_AVAILABLE.
func (c *Coordinator) Close() { panic("unwritten") }

// Join serves JoinGroup (key 11), versions 0-9. Below version 1, which has no rebalance timeout, the session timeout
// takes its place.
func (c *Coordinator) Join(ctx context.Context, from Client, version int16, rq *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	panic("unwritten")
}

// Sync serves SyncGroup (key 14), versions 0-5.
func (c *Coordinator) Sync(ctx context.Context, version int16, rq *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	panic("unwritten")
}

// Heartbeat serves key 12, versions 0-4.
func (c *Coordinator) Heartbeat(ctx context.Context, version int16, rq *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	panic("unwritten")
}

// Leave serves LeaveGroup (key 13), versions 0-5: below 3 the one member of MemberID, from 3 on those of Members.
func (c *Coordinator) Leave(ctx context.Context, version int16, rq *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	panic("unwritten")
}

// OffsetCommit serves key 8, versions 0-10, and answers when the offsets are in the metadata log. Version 0 must come
// with Generation -1. From version 10 on topics are named by id.
func (c *Coordinator) OffsetCommit(ctx context.Context, version int16, rq *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	panic("unwritten")
}

// OffsetFetch serves key 9. It reads and fills Groups, the form of versions 8 and up, for every version: below 8 the
// caller moves its one group there and back. Nil Topics asks for all. From version 10 on topics are named by id.
func (c *Coordinator) OffsetFetch(ctx context.Context, version int16, rq *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	panic("unwritten")
}

// OffsetDelete serves key 47, version 0.
func (c *Coordinator) OffsetDelete(ctx context.Context, version int16, rq *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	panic("unwritten")
}

// ListGroups serves key 16, versions 0-5: this node's groups, by id, whose state and type the filters name.
func (c *Coordinator) ListGroups(ctx context.Context, version int16, rq *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	panic("unwritten")
}

// DescribeGroups serves key 15, versions 0-6. AuthorizedOperations is left at its default.
func (c *Coordinator) DescribeGroups(ctx context.Context, version int16, rq *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	panic("unwritten")
}

// DeleteGroups serves key 42, versions 0-3: empty groups with their offsets.
func (c *Coordinator) DeleteGroups(ctx context.Context, version int16, rq *kmsg.DeleteGroupsRequest) *kmsg.DeleteGroupsResponse {
	panic("unwritten")
}

type groups struct{}
