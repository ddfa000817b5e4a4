package group

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// memoryLog agrees with everything, a millisecond later.
type memoryLog struct {
	mu       sync.Mutex
	img      atomic.Pointer[image.Image]
	watchers []image.Watcher
}

func newMemoryLog(t testing.TB) *memoryLog {
	l := &memoryLog{}
	l.img.Store(withTopic(t))
	return l
}

func (l *memoryLog) Image() *image.Image { return l.img.Load() }

func (l *memoryLog) Propose(ctx context.Context, recs ...image.Record) (image.Index, error) {
	err := l.ProposeEach(ctx, false, [][]image.Record{recs})[0]
	return l.Image().Index(), err
}

func (l *memoryLog) ProposeEach(ctx context.Context, _ bool, proposals [][]image.Record) []error {
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
		return slices.Repeat([]error{ctx.Err()}, len(proposals))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	img, delta, errs, err := l.Image().ApplyAll(l.Image().Index()+1, proposals)
	if err != nil {
		return slices.Repeat([]error{err}, len(proposals))
	}
	if delta != nil {
		l.img.Store(img)
		for _, w := range l.watchers {
			w.Apply(delta)
		}
	}
	return errs
}

func openCoordinator(l *memoryLog) *Coordinator {
	var ids atomic.Int32
	return New(Options{
		Log: l, Config: testConfig, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		NewMemberID: func(clientID string) string { return fmt.Sprintf("%s-%d", clientID, ids.Add(1)) },
	})
}

func newJoin(memberID, instance string) *kmsg.JoinGroupRequest {
	rq := kmsg.NewPtrJoinGroupRequest()
	rq.Group, rq.MemberID, rq.ProtocolType, rq.InstanceID = "g", memberID, consumerProtocol, optional(instance)
	rq.SessionTimeoutMillis, rq.RebalanceTimeoutMillis = 10_000, 30_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", subscribing("t")
	rq.Protocols = append(rq.Protocols, p)
	return rq
}

// client is a consumer as far as its group sees it.
type client struct {
	t          testing.TB
	c          *Coordinator
	name       string
	id         string
	generation int32
	assigned   string
}

// rejoin joins and syncs; the leader gives each member its own id as assignment.
func (c *client) rejoin(ctx context.Context) {
	from := Client{c.name, "/10.0.0.1"}
	resp := c.c.Join(ctx, from, 9, newJoin(c.id, ""))
	if kerr.Code(resp.ErrorCode) == kerr.MemberIDRequired {
		c.id = resp.MemberID
		resp = c.c.Join(ctx, from, 9, newJoin(c.id, ""))
	}
	if resp.ErrorCode != 0 || resp.Version != 9 {
		c.t.Errorf("%s joins: %v", c.name, kerr.Code(resp.ErrorCode))
		return
	}
	c.generation = resp.Generation
	rq := kmsg.NewPtrSyncGroupRequest()
	rq.Group, rq.MemberID, rq.Generation = "g", c.id, c.generation
	for _, m := range resp.Members {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = m.MemberID, []byte(m.MemberID)
		rq.GroupAssignment = append(rq.GroupAssignment, a)
	}
	synced := c.c.Sync(ctx, 5, rq)
	if kerr.Code(synced.ErrorCode) == kerr.RebalanceInProgress {
		c.rejoin(ctx)
		return
	}
	if synced.ErrorCode != 0 {
		c.t.Errorf("%s syncs: %v", c.name, kerr.Code(synced.ErrorCode))
	}
	c.assigned = string(synced.MemberAssignment)
}

func (c *client) heartbeat() kerr.Code {
	rq := kmsg.NewPtrHeartbeatRequest()
	rq.Group, rq.MemberID, rq.Generation = "g", c.id, c.generation
	return kerr.Code(c.c.Heartbeat(c.t.Context(), 4, rq).ErrorCode)
}

func (c *client) commit(offset int64) kerr.Code {
	rq := newCommit("g", "t", 0, offset)
	rq.MemberID, rq.Generation = c.id, c.generation
	return kerr.Code(c.c.OffsetCommit(c.t.Context(), 9, rq).Topics[0].Partitions[0].ErrorCode)
}

func newCommit(group, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	rq := kmsg.NewPtrOffsetCommitRequest()
	rq.Group = group
	topics := kmsg.NewOffsetCommitRequestTopic()
	topics.Topic = topic
	at := kmsg.NewOffsetCommitRequestTopicPartition()
	at.Partition, at.Offset, at.Metadata = partition, offset, text("m")
	topics.Partitions = append(topics.Partitions, at)
	rq.Topics = append(rq.Topics, topics)
	return rq
}

// together has clients rejoin at the same time.
func together(ctx context.Context, clients ...*client) {
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { c.rejoin(ctx) })
	}
	all.Wait()
}

// A group forms, is taken over by a coordinator that knows only the log, and goes on in its generation; then one member
// is gone.
func TestARestartKeepsTheGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryLog(t)
		first := openCoordinator(l)
		a, b := &client{t: t, c: first, name: "a"}, &client{t: t, c: first, name: "b"}
		together(t.Context(), a, b)
		if a.assigned != a.id || b.assigned != b.id || a.generation != 1 || b.generation != 1 {
			t.Fatalf("%+v %+v", a, b)
		}
		if code := a.commit(7); code != kerr.None {
			t.Fatal(code)
		}
		first.Close()

		second := openCoordinator(l)
		defer second.Close()
		a.c, b.c = second, second
		<-time.After(9 * time.Second)
		if code := a.heartbeat(); code != kerr.None {
			t.Fatal("after the restart:", code)
		}
		<-time.After(2 * time.Second)
		if code := a.heartbeat(); code != kerr.RebalanceInProgress {
			t.Fatal("after the other's session ended:", code)
		}
		a.rejoin(t.Context())
		if code := b.heartbeat(); code != kerr.UnknownMemberID || a.generation != 2 {
			t.Fatal(code, a.generation)
		}
		if got := fetch(second, "g").Topics[0].Partitions[0]; got.Offset != 7 || *got.Metadata != "m" {
			t.Fatal(got)
		}
	})
}

func fetch(c *Coordinator, group string) kmsg.OffsetFetchResponseGroup {
	rq := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = group, nil
	rq.Groups = append(rq.Groups, g)
	return c.OffsetFetch(context.Background(), 8, rq).Groups[0]
}

// A client that went away while it waited must not hold up those that come later for longer than a session.
func TestAClientThatWentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCoordinator(newMemoryLog(t))
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gone := c.Join(ctx, Client{"gone", "h"}, 3, newJoin("", ""))
		if kerr.Code(gone.ErrorCode) != kerr.RequestTimedOut {
			t.Fatal(kerr.Code(gone.ErrorCode))
		}
		a := &client{t: t, c: c, name: "a"}
		begin := time.Now()
		a.rejoin(t.Context())
		if waited := time.Since(begin); waited > 16*time.Second || a.assigned != a.id {
			t.Errorf("%s until it had everything; assigned %q", waited, a.assigned)
		}
	})
}

func TestCloseAnswersWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCoordinator(newMemoryLog(t))
		answers := make(chan *kmsg.JoinGroupResponse)
		go func() { answers <- c.Join(t.Context(), Client{"a", "h"}, 3, newJoin("", "")) }()
		synctest.Wait()
		c.Close()
		if code := kerr.Code((<-answers).ErrorCode); code != kerr.CoordinatorNotAvailable {
			t.Error(code)
		}
		if code := (&client{t: t, c: c, id: "x"}).heartbeat(); code != kerr.CoordinatorNotAvailable {
			t.Error(code)
		}
	})
}

// Simple consumers' groups are seen by everybody who asks for groups.
func TestASimpleConsumersGroupMustBeVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCoordinator(newMemoryLog(t))
		defer c.Close()
		for _, group := range []string{"s2", "s1", ""} {
			resp := c.OffsetCommit(t.Context(), 5, newCommit(group, "t", 1, 3))
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 || resp.Version != 5 {
				t.Fatal(kerr.Code(code))
			}
		}
		list := c.ListGroups(t.Context(), 5, &kmsg.ListGroupsRequest{StatesFilter: []string{"empty"}, TypesFilter: []string{"Classic"}})
		var ids []string
		for _, g := range list.Groups {
			ids = append(ids, g.Group+" "+g.GroupState+" "+g.GroupType)
		}
		if want := []string{" Empty classic", "s1 Empty classic", "s2 Empty classic"}; !slices.Equal(ids, want) {
			t.Errorf("%q", ids)
		}
		if n := len(c.ListGroups(t.Context(), 5, &kmsg.ListGroupsRequest{TypesFilter: []string{"share"}}).Groups); n != 0 {
			t.Errorf("%d share groups", n)
		}
		described := c.DescribeGroups(t.Context(), 6, &kmsg.DescribeGroupsRequest{Groups: []string{"s1", "x"}}).Groups
		if described[0].State != "Empty" || described[1].State != "Dead" || kerr.Code(described[1].ErrorCode) != kerr.GroupIDNotFound {
			t.Errorf("%+v", described)
		}
		if old := c.DescribeGroups(t.Context(), 5, &kmsg.DescribeGroupsRequest{Groups: []string{"x"}}).Groups[0]; old.ErrorCode != 0 || old.State != "Dead" {
			t.Errorf("%+v", old)
		}
		deleted := c.DeleteGroups(t.Context(), 2, &kmsg.DeleteGroupsRequest{Groups: []string{"s1", "x"}}).Groups
		if deleted[0].ErrorCode != 0 || kerr.Code(deleted[1].ErrorCode) != kerr.GroupIDNotFound {
			t.Errorf("%+v", deleted)
		}
		if left := fetch(c, "s1"); len(left.Topics) != 0 {
			t.Errorf("%+v", left)
		}
	})
}

// Each partition is answered for itself.
func TestCommitsOfWhatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCoordinator(newMemoryLog(t))
		defer c.Close()
		commit := func(version int16, topic string, id image.TopicID, partition int32, metadata string) kerr.Code {
			rq := newCommit("g", topic, partition, 1)
			rq.Topics[0].TopicID, rq.Topics[0].Partitions[0].Metadata = id, &metadata
			resp := c.OffsetCommit(t.Context(), version, rq)
			return kerr.Code(resp.Topics[0].Partitions[0].ErrorCode)
		}
		long := strings.Repeat("x", 4097)
		for _, got := range []struct{ is, want kerr.Code }{
			{commit(9, "t", image.TopicID{}, 0, ""), kerr.None},
			{commit(9, "u", image.TopicID{}, 0, ""), kerr.UnknownTopicOrPartition},
			{commit(9, "t", image.TopicID{}, 2, ""), kerr.UnknownTopicOrPartition},
			{commit(9, "t", image.TopicID{}, -1, ""), kerr.UnknownTopicOrPartition},
			{commit(9, "t", image.TopicID{}, 0, long), kerr.OffsetMetadataTooLarge},
			{commit(10, "", topicT, 1, ""), kerr.None},
			{commit(10, "t", image.TopicID{1}, 0, ""), kerr.UnknownTopicID},
		} {
			if got.is != got.want {
				t.Errorf("%v, want %v", got.is, got.want)
			}
		}
		rq := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "g"
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0, 1, 9}}, {Topic: "u", Partitions: []int32{0}}}
		rq.Groups = append(rq.Groups, g)
		var got []string
		for _, topic := range c.OffsetFetch(t.Context(), 9, rq).Groups[0].Topics {
			for _, p := range topic.Partitions {
				got = append(got, fmt.Sprintf("%s/%d=%d %s", topic.Topic, p.Partition, p.Offset, kerr.Code(p.ErrorCode)))
			}
		}
		if want := []string{"t/0=1 NONE", "t/1=1 NONE", "t/9=-1 NONE", "u/0=-1 NONE"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{TopicID: image.TopicID{1}, Partitions: []int32{0}}}
		rq.Groups[0] = g
		if p := c.OffsetFetch(t.Context(), 10, rq).Groups[0].Topics[0].Partitions[0]; kerr.Code(p.ErrorCode) != kerr.UnknownTopicID {
			t.Errorf("%+v", p)
		}
	})
}

func TestOffsetsOfAnAbandonedGroupExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCoordinator(newMemoryLog(t))
		defer c.Close()
		c.OffsetCommit(t.Context(), 5, newCommit("s", "t", 0, 3))
		<-time.After(testConfig().OffsetsRetention - time.Minute)
		if len(fetch(c, "s").Topics) != 1 {
			t.Fatal("expired early")
		}
		<-time.After(12 * time.Minute)
		if len(fetch(c, "s").Topics) != 0 || len(c.ListGroups(t.Context(), 5, &kmsg.ListGroupsRequest{}).Groups) != 0 {
			t.Fatal("still there")
		}
	})
}

// Versions 2 to 4 of OffsetCommit say for how long; an offset that is to be kept longer must not be lost with the others.
func TestOffsetsAreKeptAsLongAsTheirCommitSays(t *testing.T) {
	const hour = int64(time.Hour / time.Millisecond)
	synctest.Test(t, func(t *testing.T) {
		c := openCoordinator(newMemoryLog(t))
		defer c.Close()
		for version := range int16(6) {
			for name, retention := range map[string]int64{"short": hour, "long": 1000 * hour, "forever": math.MaxInt64, "none": -1} {
				rq := newCommit(fmt.Sprint(name, version), "t", 0, 3)
				rq.RetentionTimeMillis = retention
				c.OffsetCommit(t.Context(), version, rq)
			}
		}
		for _, until := range []struct {
			wait time.Duration
			left []string // in the versions that can say so; others have what none has
		}{
			{30 * time.Minute, []string{"short", "long", "forever", "none"}},
			{time.Hour, []string{"long", "forever", "none"}},
			{testConfig().OffsetsRetention, []string{"long", "forever"}},
			{1000 * time.Hour, []string{"forever"}},
		} {
			<-time.After(until.wait)
			for version := range int16(6) {
				for _, name := range []string{"short", "long", "forever", "none"} {
					says := name
					if version < 2 || version > 4 {
						says = "none"
					}
					if kept := len(fetch(c, fmt.Sprint(name, version)).Topics) == 1; kept != slices.Contains(until.left, says) {
						t.Errorf("version %d, %s, after another %v: kept is %v", version, name, until.wait, kept)
					}
				}
			}
		}
	})
}

// refusing is a log that will not have what is proposed, or never says whether it does.
type refusing struct {
	*memoryLog
	err error // nil: no answer
}

func (l refusing) ProposeEach(ctx context.Context, _ bool, proposals [][]image.Record) []error {
	err := l.err
	if err == nil {
		<-ctx.Done()
		err = ctx.Err()
	}
	return slices.Repeat([]error{err}, len(proposals))
}

// A commit that is too large for the log will be so again: a client that is told to retry would do so for ever.
func TestCommitsThatAreNotTaken(t *testing.T) {
	for _, c := range []struct {
		err  error
		want kerr.Code
		wait time.Duration
	}{
		{kerr.Detail(kerr.RecordListTooLarge, "2 MiB"), kerr.InvalidCommitOffsetSize, 0},
		{kerr.NotController, kerr.NotCoordinator, 0},
		{nil, kerr.CoordinatorNotAvailable, 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			group := New(Options{
				Log: refusing{newMemoryLog(t), c.err}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
				Config: func() Config { return Config{OffsetMetadataMax: 100, CommitTimeout: 3 * time.Second} },
			})
			defer group.Close()
			begin := time.Now()
			resp := group.OffsetCommit(t.Context(), 9, newCommit("g", "t", 0, 1))
			if got := kerr.Code(resp.Topics[0].Partitions[0].ErrorCode); got != c.want || time.Since(begin) != c.wait {
				t.Errorf("%v: %v after %v", c.err, got, time.Since(begin))
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCoordinator(newMemoryLog(t))
		defer c.Close()
		short := newJoin("", "")
		short.SessionTimeoutMillis = 5_999
		nameless := newJoin("", "")
		nameless.Group = ""
		leave := c.Leave(t.Context(), 2, &kmsg.LeaveGroupRequest{Group: "x", MemberID: "m"})
		batch := c.Leave(t.Context(), 5, &kmsg.LeaveGroupRequest{Group: "x", Members: []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}})
		for i, got := range []struct {
			is   int16
			want kerr.Code
		}{
			{c.Join(t.Context(), Client{}, 9, short).ErrorCode, kerr.InvalidSessionTimeout},
			{c.Join(t.Context(), Client{}, 9, nameless).ErrorCode, kerr.InvalidGroupID},
			{c.Join(t.Context(), Client{}, 9, newJoin("m", "")).ErrorCode, kerr.UnknownMemberID},
			{c.Sync(t.Context(), 5, &kmsg.SyncGroupRequest{}).ErrorCode, kerr.InvalidGroupID},
			{c.Sync(t.Context(), 5, &kmsg.SyncGroupRequest{Group: "x", MemberID: "m"}).ErrorCode, kerr.UnknownMemberID},
			{c.Heartbeat(t.Context(), 4, &kmsg.HeartbeatRequest{}).ErrorCode, kerr.InvalidGroupID},
			{c.Leave(t.Context(), 5, &kmsg.LeaveGroupRequest{}).ErrorCode, kerr.InvalidGroupID},
			{leave.ErrorCode, kerr.UnknownMemberID},
			{batch.ErrorCode, kerr.None},
			{batch.Members[0].ErrorCode, kerr.UnknownMemberID},
			{c.OffsetDelete(t.Context(), 0, &kmsg.OffsetDeleteRequest{}).ErrorCode, kerr.InvalidGroupID},
			{c.OffsetDelete(t.Context(), 0, &kmsg.OffsetDeleteRequest{Group: "x"}).ErrorCode, kerr.GroupIDNotFound},
		} {
			if kerr.Code(got.is) != got.want {
				t.Errorf("%d: %v, want %v", i, kerr.Code(got.is), got.want)
			}
		}
	})
}

// BenchmarkOffsetCommit is 400 clients that commit one partition each, over a log that takes a millisecond an entry.
func BenchmarkOffsetCommit(b *testing.B) {
	c := openCoordinator(newMemoryLog(b))
	defer c.Close()
	var clients atomic.Int32
	b.SetParallelism(200)
	b.RunParallel(func(pb *testing.PB) {
		rq := newCommit(fmt.Sprintf("g%d", clients.Add(1)), "t", 0, 1)
		for pb.Next() {
			if resp := c.OffsetCommit(context.Background(), 9, rq); resp.Topics[0].Partitions[0].ErrorCode != 0 {
				b.Error(kerr.Code(resp.Topics[0].Partitions[0].ErrorCode))
			}
		}
	})
}
