package controller

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// reign is a leading controller with time that only passes when all wait.
type reign struct {
	*testing.T
	*Controller
	log  *fakeLog
	text bytes.Buffer // of the controller's log; read it when the tenure has ended
	end  func()       // ends the tenure and waits for it
}

// lead begins a tenure over n brokers and a topic t of those partitions.
func lead(t *testing.T, n int, refused map[image.BrokerID]bool, partitions ...[]int32) *reign {
	c, l := cluster(t, n)
	r := &reign{T: t, Controller: c, log: l}
	if len(partitions) > 0 {
		expect(t, create(c, assigned("t", -1, -1, partitions...)), []string{"t: ok"})
	}
	l.watch = c
	c.o.Logger = slog.New(slog.NewTextHandler(&r.text, nil))
	c.o.Probe = func(ctx context.Context, b *image.Broker) error {
		if refused[b.ID] {
			return fmt.Errorf("probe: %w", syscall.ECONNREFUSED)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	r.reign()
	return r
}

func (r *reign) reign() {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error)
	go func() { done <- r.Lead(ctx, 1) }()
	synctest.Wait()
	r.end = func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
	}
}

func (r *reign) beat(id image.BrokerID, edit ...func(*kmsg.BrokerHeartbeatRequest)) *kmsg.BrokerHeartbeatResponse {
	rq := kmsg.NewPtrBrokerHeartbeatRequest()
	rq.BrokerID, rq.CurrentMetadataOffset = int32(id), int64(r.log.Image().Index())
	if b, ok := r.log.Image().Broker(id); ok {
		rq.BrokerEpoch = b.Epoch
	}
	for _, e := range edit {
		e(rq)
	}
	return r.Heartbeat(r.Context(), rq)
}

// pass lets d go by, with heartbeats of those brokers.
func (r *reign) pass(d time.Duration, alive ...image.BrokerID) {
	const interval = 250 * time.Millisecond
	for ; d > 0; d -= interval {
		for _, id := range alive {
			r.beat(id)
		}
		<-time.After(min(d, interval))
		synctest.Wait()
	}
}

// state is who is fenced, and the partitions of topic t.
func (r *reign) state() string {
	var b strings.Builder
	img := r.log.Image()
	for _, n := range img.Brokers() {
		if n.Fenced {
			fmt.Fprintf(&b, "%d fenced, ", n.ID)
		}
	}
	topic, _ := img.TopicNamed("t")
	for _, p := range topic.Partitions {
		fmt.Fprintf(&b, "%v leader %d epoch %d; ", p.ISR, p.Leader, p.LeaderEpoch)
	}
	return strings.TrimRight(b.String(), "; ")
}

func (r *reign) expect(when, want string) {
	r.Helper()
	if got := r.state(); got != want {
		r.Errorf("%s: %s\nwant %s", when, got, want)
	}
}

func TestSilentBrokerIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 3, nil, []int32{1, 2, 3}, []int32{2, 3, 1})
		defer r.end()
		r.pass(3*time.Second, 1, 2, 3)
		r.expect("all are heard", "[1 2 3] leader 1 epoch 0; [2 3 1] leader 2 epoch 0")
		r.pass(time.Second, 1, 3)
		r.expect("silent for less than a session", "[1 2 3] leader 1 epoch 0; [2 3 1] leader 2 epoch 0")
		r.pass(500*time.Millisecond, 1, 3)
		r.expect("silent for a session", "2 fenced, [1 3] leader 1 epoch 0; [3 1] leader 3 epoch 1")
		b, _ := r.log.Image().Broker(2)
		if _, err := r.RegisterBroker(t.Context(), image.BrokerRecord{ID: 2, Incarnation: b.Incarnation, Endpoints: b.Endpoints}); err != nil {
			t.Fatal(err)
		}
		if resp := r.beat(2, func(rq *kmsg.BrokerHeartbeatRequest) { rq.CurrentMetadataOffset = 1 }); !resp.IsFenced || resp.IsCaughtUp {
			t.Errorf("a broker that has not applied its registration: %+v", resp)
		}
		if resp := r.beat(2); resp.IsFenced || !resp.IsCaughtUp || resp.ErrorCode != 0 {
			t.Errorf("a broker that is back: %+v", resp)
		}
		r.expect("it leads nothing until it is in sync", "[1 3] leader 1 epoch 0; [3 1] leader 3 epoch 1")
	})
}

// The last of the ISR is fenced and comes back: nobody else may lead meanwhile, and nothing else is needed then.
func TestLastReplicaComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 3, map[image.BrokerID]bool{2: true}, []int32{2})
		defer r.end()
		r.expect("nobody listens where it was", "2 fenced, [] leader -1 epoch 1")
		r.beat(2)
		r.expect("it is back", "[2] leader 2 epoch 2")
	})
}

func TestNewControllerGivesAFullSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 3, nil, []int32{1, 2, 3})
		r.pass(1250 * time.Millisecond)
		r.end()
		r.reign()
		defer func() { r.end() }()
		r.pass(1250 * time.Millisecond)
		r.expect("less than a session into the tenure", "[1 2 3] leader 1 epoch 0")
		r.pass(500*time.Millisecond, 1, 2)
		r.expect("after it", "3 fenced, [1 2] leader 1 epoch 0")
	})
}

// A new controller that finds nobody listening where a broker was does not wait.
func TestRefusedConnectionFences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 3, map[image.BrokerID]bool{3: true}, []int32{3, 2, 1})
		r.expect("at once", "3 fenced, [2 1] leader 2 epoch 1")
		r.end()
		for _, want := range []string{
			`msg="broker fencing changed" brokerId=3 brokerEpoch=3 isFenced=true`,
			`msg="leader elected" topic=t partition=0 leader=2 leaderEpoch=1 isr="[2 1]" eligibleLeaderReplicas=[] partitionEpoch=1 previousLeader=3 unclean=false`,
		} {
			if strings.Count(r.text.String(), want) != 1 {
				t.Errorf("the log has no line, or several, with\n%s:\n%s", want, &r.text)
			}
		}
	})
}

// Who does not answer the metadata log's leader is looked for at once, and until its port is closed too: a process closes
// its connections one after the other when it ends.
func TestWhoIsMissedIsLookedForAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 3, nil, []int32{3, 2, 1})
		defer r.end()
		r.pass(time.Second, 1, 2, 3)
		asked := 0
		r.o.Probe = func(context.Context, *image.Broker) error {
			if asked++; asked < 3 {
				return io.EOF
			}
			return syscall.ECONNREFUSED
		}
		r.Missed(3)
		r.Missed(4)
		<-time.After(3 * probeAgain)
		synctest.Wait()
		r.expect("before it has been silent", "3 fenced, [2 1] leader 2 epoch 1")
	})
}

// A broker that is missed and answers goes on.
func TestWhoIsMissedAndAnswersIsNotFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 3, nil, []int32{3, 2, 1})
		defer r.end()
		r.pass(time.Second, 1, 2, 3)
		asked := 0
		r.o.Probe = func(context.Context, *image.Broker) error { asked++; return nil }
		r.Missed(3)
		r.pass(time.Second, 1, 2, 3)
		r.expect("it answers", "[3 2 1] leader 3 epoch 0")
		if asked != 1 {
			t.Errorf("it was looked for %d times", asked)
		}
	})
}

func TestControlledShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 3, nil, []int32{2, 1, 3}, []int32{1, 2, 3})
		defer r.end()
		r.pass(time.Second, 1, 2, 3)
		begun := time.Now()
		resp := r.beat(2, func(rq *kmsg.BrokerHeartbeatRequest) { rq.WantShutdown = true })
		if !resp.ShouldShutdown || resp.ErrorCode != 0 || time.Since(begun) > 0 {
			t.Errorf("%+v after %v", resp, time.Since(begun))
		}
		r.expect("what others can lead they do", "[1 3] leader 1 epoch 1; [1 3] leader 1 epoch 0")
		b, _ := r.log.Image().Broker(2)
		if _, err := r.RegisterBroker(t.Context(), image.BrokerRecord{ID: 2, Incarnation: b.Incarnation, Endpoints: b.Endpoints}); err != nil {
			t.Fatal(err)
		}
		if resp := r.beat(2); resp.ShouldShutdown || resp.IsFenced {
			t.Errorf("started again: %+v", resp)
		}
		if b, _ := r.log.Image().Broker(2); !b.Active() {
			t.Errorf("%+v", b)
		}
	})
}

// What nobody else has is served to the end.
func TestOnlyReplicaShutsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 2, nil, []int32{2}, []int32{1})
		defer r.end()
		if resp := r.beat(2, func(rq *kmsg.BrokerHeartbeatRequest) { rq.WantShutdown = true }); !resp.ShouldShutdown {
			t.Errorf("%+v", resp)
		}
		r.expect("it may go", "[2] leader 2 epoch 0; [1] leader 1 epoch 0")
		r.pass(3*time.Second, 1)
		r.expect("it has gone", "2 fenced, [] leader -1 epoch 1; [1] leader 1 epoch 0")
	})
}

func TestNodeAloneIsNeverFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 1, map[image.BrokerID]bool{1: true}, []int32{1})
		defer r.end()
		entries := r.log.entries
		r.pass(time.Minute)
		if resp := r.beat(1, func(rq *kmsg.BrokerHeartbeatRequest) { rq.WantShutdown = true }); !resp.ShouldShutdown {
			t.Errorf("%+v", resp)
		}
		r.expect("silent, and told to stop", "[1] leader 1 epoch 0")
		if r.log.entries != entries {
			t.Errorf("%d entries for nothing", r.log.entries-entries)
		}
	})
}

func TestHeartbeatsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 2, nil, []int32{1, 2})
		for _, c := range []struct {
			rq   kmsg.BrokerHeartbeatRequest
			want kerr.Code
		}{
			{kmsg.BrokerHeartbeatRequest{BrokerID: 7, BrokerEpoch: 1}, kerr.BrokerIDNotRegistered},
			{kmsg.BrokerHeartbeatRequest{BrokerID: 1, BrokerEpoch: 9}, kerr.StaleBrokerEpoch},
		} {
			if resp := r.Heartbeat(t.Context(), &c.rq); kerr.Code(resp.ErrorCode) != c.want {
				t.Errorf("%+v: %v, want %v", c.rq, kerr.Code(resp.ErrorCode), c.want)
			}
		}
		r.end()
		if resp := r.beat(1); kerr.Code(resp.ErrorCode) != kerr.NotController {
			t.Errorf("after the tenure: %v", kerr.Code(resp.ErrorCode))
		}
	})
}

// Leaders change their ISR while the controller plans; the plan is made anew, for all partitions.
func TestElectionsSurviveISRChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var partitions [][]int32
		for range 3000 {
			partitions = append(partitions, []int32{2, 1, 3})
		}
		r := lead(t, 3, nil, partitions...)
		defer r.end()
		r.pass(time.Second, 1, 2, 3)
		topic, _ := r.log.Image().TopicNamed("t")
		changes := 0
		var meddle func(l *fakeLog)
		meddle = func(l *fakeLog) {
			p := topic.Partitions[changes]
			if changes++; changes < 10 {
				l.before = meddle
			}
			if _, err := l.apply(image.ISRRecord{Topic: topic.ID, Partition: p.Number, Leader: 2, MinISR: 1, ISR: []image.ISRMember{{ID: 2, Epoch: 2}, {ID: 1, Epoch: 1}}}); err != nil {
				t.Error(err)
			}
		}
		r.log.mu.Lock()
		r.log.before = meddle
		r.log.mu.Unlock()
		r.pass(2*time.Second, 1, 3)
		topic, _ = r.log.Image().TopicNamed("t")
		for _, p := range topic.Partitions {
			if p.Leader != 1 || p.LeaderEpoch != 1 {
				t.Fatalf("%+v", p)
			}
		}
		if changes < 9 || r.log.largest > entryCap {
			t.Errorf("%d changes came between, the largest entry has %d bytes", changes, r.log.largest)
		}
	})
}

// A broker with another disk has nothing, whoever was the last that had all.
func TestNewDiskIsNotElected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 2, map[image.BrokerID]bool{2: true}, []int32{2})
		defer r.end()
		b, _ := r.log.Image().Broker(2)
		if _, err := r.RegisterBroker(t.Context(), image.BrokerRecord{ID: 2, Incarnation: uuid.UUID{1}, Endpoints: b.Endpoints}); err != nil {
			t.Fatal(err)
		}
		r.beat(2)
		r.expect("it lives", "[] leader -1 epoch 1")
		rq := kmsg.NewPtrElectLeadersRequest()
		rq.ElectionType = uncleanElection
		if got := r.ElectLeaders(t.Context(), rq); len(got) != 1 || got[0].Partitions[0].ErrorCode != 0 {
			t.Errorf("%+v", got)
		}
		r.expect("and leads when that is asked for", "[2] leader 2 epoch 2")
	})
}

// laggard is the log as a node sees it that does not lead: what it was refused for, it learns by Sync.
type laggard struct {
	*fakeLog
	img *image.Image
}

func (l *laggard) Image() *image.Image        { return l.img }
func (l *laggard) Sync(context.Context) error { l.img = l.fakeLog.Image(); return nil }

func TestProducerIDsAreGivenOutOnceByManyNodes(t *testing.T) {
	first, log := cluster(t, 2)
	other := &laggard{log, log.Image()}
	second := New(Options{Self: 2, Log: other, Config: first.o.Config, Sync: other.Sync})
	seen := map[int64]bool{}
	for range 3 * producerIDBlock {
		for _, c := range []*Controller{first, second} {
			id, err := c.ProducerID(t.Context())
			if err != nil || seen[id] {
				t.Fatal(id, err)
			}
			seen[id] = true
		}
	}
}
