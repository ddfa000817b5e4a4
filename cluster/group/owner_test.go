package group

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// shared is two brokers' coordinators over one log.
type shared struct {
	*testing.T
	log    *memoryLog
	of     map[image.BrokerID]*Coordinator
	serves map[image.BrokerID]*atomic.Bool
}

func share(t *testing.T) *shared {
	s := &shared{t, newMemoryLog(t), map[image.BrokerID]*Coordinator{}, map[image.BrokerID]*atomic.Bool{}}
	for id := image.BrokerID(1); id <= 2; id++ {
		s.propose(image.BrokerRecord{ID: id, Incarnation: uuid.UUID{byte(id)}})
		s.serves[id] = &atomic.Bool{}
		s.serves[id].Store(true)
	}
	var ids atomic.Int32
	for id := range s.serves {
		s.of[id] = New(Options{
			Log: s.log, Config: testConfig, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			Shared: true, Self: id, Serves: s.serves[id].Load,
			NewMemberID: func(client string) string { return fmt.Sprintf("%s-%d", client, ids.Add(1)) },
		})
		s.log.watchers = append(s.log.watchers, s.of[id])
	}
	return s
}

func (s *shared) propose(recs ...image.Record) {
	s.Helper()
	if _, err := s.log.Propose(s.Context(), recs...); err != nil {
		s.Fatal(err)
	}
}

// both are the coordinator of group g and the other broker.
func (s *shared) both() (is, other image.BrokerID) {
	is = s.log.Image().Coordinator("g")
	return is, 3 - is
}

func (s *shared) fence(id image.BrokerID, fenced bool) {
	b, _ := s.log.Image().Broker(id)
	s.propose(image.FenceRecord{ID: id, Epoch: b.Epoch, Fenced: fenced})
	synctest.Wait()
}

func (s *shared) close() {
	for _, c := range s.of {
		c.Close()
	}
}

// When a group's broker dies, its members go on at the next one where they were: generation, assignment and offsets are
// there, and nobody rebalances.
func TestGroupIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := share(t)
		defer s.close()
		is, other := s.both()
		member := &client{t: t, c: s.of[other], name: "m"}
		if code := member.heartbeat(); code != kerr.NotCoordinator {
			t.Errorf("at another broker: %v", code)
		}
		member.c = s.of[is]
		member.rejoin(t.Context())
		if code := member.commit(7); code != kerr.None {
			t.Fatal(code)
		}
		<-time.After(9 * time.Second) // the session is nearly over
		s.fence(is, true)
		if code := member.heartbeat(); code != kerr.NotCoordinator {
			t.Errorf("at the broker that had it: %v", code)
		}
		member.c = s.of[other]
		<-time.After(2 * time.Second) // a full session began with the new coordinator
		if code := member.heartbeat(); code != kerr.None {
			t.Errorf("at its new broker: %v", code)
		}
		if code := member.commit(8); code != kerr.None {
			t.Errorf("commit: %v", code)
		}
		if o, ok := s.log.Image().Offset("g", topicT, 0); !ok || o.Offset != 8 {
			t.Errorf("committed is %v", o.Offset)
		}
		<-time.After(11 * time.Second)
		if g, _ := s.log.Image().Group("g"); len(g.Members) != 0 {
			t.Errorf("a silent member stays for ever: %+v", g)
		}
	})
}

// Who waits in a rebalance is told to ask elsewhere when the group moves.
func TestWaitingMemberIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := share(t)
		defer s.close()
		is, _ := s.both()
		joined := make(chan kerr.Code, 1)
		first := s.of[is].Join(t.Context(), Client{ID: "m"}, 9, newJoin("", ""))
		go func() {
			joined <- kerr.Code(s.of[is].Join(t.Context(), Client{ID: "m"}, 9, newJoin(first.MemberID, "")).ErrorCode)
		}()
		synctest.Wait()
		begun := time.Now()
		s.fence(is, true)
		if code := <-joined; code != kerr.NotCoordinator || time.Since(begun) > time.Millisecond {
			t.Errorf("%v after %v", code, time.Since(begun))
		}
	})
}

// A coordinator that does not know yet that it is none cannot record anything, and one that the controller has not heard
// of answers nothing.
func TestDeposedCoordinatorIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := share(t)
		defer s.close()
		is, _ := s.both()
		b, _ := s.log.Image().Broker(is)
		done := make(chan kerr.Code, 1)
		go func() {
			done <- kerr.Code(s.of[is].OffsetCommit(t.Context(), 9, newCommit("g", "t", 0, 5)).Topics[0].Partitions[0].ErrorCode)
		}()
		synctest.Wait() // it is on its way
		s.log.mu.Lock()
		img, delta, err := s.log.Image().Apply(s.log.Image().Index()+1, []image.Record{image.FenceRecord{ID: is, Epoch: b.Epoch, Fenced: true}})
		if err != nil {
			t.Fatal(err)
		}
		s.log.img.Store(img)
		s.log.mu.Unlock()
		if code := <-done; code != kerr.NotCoordinator {
			t.Errorf("a commit that came too late: %v", code)
		}
		if _, ok := s.log.Image().Offset("g", topicT, 0); ok {
			t.Error("it is there")
		}
		for _, w := range s.log.watchers {
			w.Apply(delta)
		}
		s.fence(is, false)
		s.serves[is].Store(false)
		for what, code := range s.everything(is) {
			if code != kerr.NotCoordinator {
				t.Errorf("%s without a lease: %v", what, code)
			}
		}
	})
}

// everything asks a broker all that can be asked about group g.
func (s *shared) everything(id image.BrokerID) map[string]kerr.Code {
	c, ctx := s.of[id], s.Context()
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g"}}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "g"
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group = "g"
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"g"}
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"g"}
	offsets := kmsg.NewPtrOffsetDeleteRequest()
	offsets.Group = "g"
	member := client{t: s.T, c: c, id: "m"}
	return map[string]kerr.Code{
		"join":      kerr.Code(c.Join(ctx, Client{}, 9, newJoin("", "")).ErrorCode),
		"sync":      kerr.Code(c.Sync(ctx, 5, sync).ErrorCode),
		"heartbeat": member.heartbeat(),
		"leave":     kerr.Code(c.Leave(ctx, 5, leave).ErrorCode),
		"commit":    member.commit(1),
		"fetch":     kerr.Code(c.OffsetFetch(ctx, 9, fetch).Groups[0].ErrorCode),
		"describe":  kerr.Code(c.DescribeGroups(ctx, 5, describe).Groups[0].ErrorCode),
		"delete":    kerr.Code(c.DeleteGroups(ctx, 2, remove).Groups[0].ErrorCode),
		"offsets":   kerr.Code(c.OffsetDelete(ctx, 0, offsets).ErrorCode),
	}
}

// A broker whose image is behind, while the controller hears of it, takes itself for the coordinator of groups that have
// moved on. It must not show the offsets of before.
func TestABrokerThatIsBehindMustNotShowOldOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := share(t)
		defer s.close()
		is, other := s.both()
		s.fence(is, true)
		s.of[other].catchUp = func(ctx context.Context) error { s.fence(is, false); return nil }
		fetch := kmsg.NewPtrOffsetFetchRequest()
		fetch.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g"}}
		ask := func() kerr.Code { return kerr.Code(s.of[other].OffsetFetch(t.Context(), 9, fetch).Groups[0].ErrorCode) }
		if code := ask(); code != kerr.NotCoordinator {
			t.Errorf("it was behind: %v", code)
		}
		s.fence(is, true)
		s.of[other].catchUp = func(context.Context) error { return nil }
		if code := ask(); code != kerr.None {
			t.Errorf("it has everything: %v", code)
		}
		s.of[other].catchUp = func(context.Context) error { return kerr.NotController }
		if code := ask(); code != kerr.NotCoordinator {
			t.Errorf("nobody knows whether it has: %v", code)
		}
	})
}
