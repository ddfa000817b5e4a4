package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/metalog/image"
)

// Servers are written as their ids, which begin with the node's number: V votes, n does not, + keeps up.
func TestVoters(t *testing.T) {
	for _, c := range []struct{ servers, promote, remove string }{
		{"1V+", "", ""},
		{"1V+ 2n+", "", ""},
		{"1V+ 2n+ 3n", "", ""},
		{"1V+ 2n+ 3n+", "2", ""},
		{"1V+ 2V+ 3n+", "3", ""},
		{"1V+ 2V+ 3n", "", ""},
		{"1V+ 2V+ 3V+ 4n+", "", ""},
		{"1V+ 2V+ 3V+ 4n+ 5n+", "4", ""},
		{"1V+ 2V+ 3V+ 4V+ 5n+ 6n+", "5", ""},
		{"1V+ 2V+ 3V+ 4V+ 5V+ 6n+ 7n+", "", ""},
		{"1V+ 2V+ 3V 3bn", "", ""},
		{"1V+ 2V+ 3V+ 3bn+", "", "3"},
		{"1V+ 2V+ 3n 3bn", "", "3"},
		{"1V+ 2V+ 3bn+", "3b", ""},
	} {
		var servers []Server
		up := map[image.BrokerID]bool{}
		for _, f := range strings.Fields(c.servers) {
			s := Server{ID: strings.TrimRight(f, "Vn+"), Voter: strings.Contains(f, "V")}
			fmt.Sscan(f[:1], &s.Node)
			up[s.Node] = strings.Contains(f, "+")
			servers = append(servers, s)
		}
		promote, remove := planVoters(servers, func(id image.BrokerID) bool { return up[id] })
		if promote != c.promote || remove != c.remove {
			t.Errorf("%s: promote %q, remove %q; want %q, %q", c.servers, promote, remove, c.promote, c.remove)
		}
	}
}

// Each partition is in as many racks as it has replicas, and the leaders are spread evenly, whatever the racks hold.
func TestReplicasAreSpreadOverRacks(t *testing.T) {
	m := image.Empty()
	racks := map[image.BrokerID]string{1: "a", 2: "a", 3: "a", 4: "b", 5: "c"}
	for id := image.BrokerID(1); id <= 5; id++ {
		m = with(t, m, image.BrokerRecord{ID: id, Rack: racks[id]})
	}
	s, leaders := newSpread(m), map[image.BrokerID]int{}
	for stream := range uint64(500) {
		replicas := s.place(stream, 3)
		used := map[string]bool{}
		for _, id := range replicas {
			used[racks[id]] = true
		}
		if leaders[replicas[0]]++; len(used) != 3 || len(replicas) != 3 {
			t.Fatalf("partition %d: %v", stream, replicas)
		}
		if all := s.place(stream, 5); len(all) != 5 {
			t.Fatalf("partition %d: %v", stream, all)
		}
	}
	for id, n := range leaders {
		if n != 100 {
			t.Errorf("broker %d leads %d", id, n)
		}
	}
}

// A broker that an operator empties gets nothing new while others can hold it, also when those are down; and everything when
// it is the last one that lives.
func TestNewPartitionsStayAwayFromCordonedBrokers(t *testing.T) {
	star := "*"
	cordon := func(id string) image.ConfigRecord {
		return image.ConfigRecord{Resource: image.Resource{Type: image.BrokerResource, Name: id}, Name: cordonConfig, Value: &star}
	}
	for _, c := range []struct {
		brokers  string // as brokersOf has it
		cordoned []string
		factor   int
		never    image.BrokerID
		isr      int
	}{
		{"lll", []string{"2"}, 2, 2, 2},
		{"lfl", []string{"1"}, 2, 1, 1},
		{"lll", []string{"2"}, 3, 0, 3},
		{"lff", []string{"1"}, 3, 0, 1},
		{"lll", []string{"1", "2", "3"}, 2, 0, 2},
		{"lfl", []string{"1", "2"}, 2, 2, 2},
	} {
		m := brokersOf(t, c.brokers)
		for _, id := range c.cordoned {
			m = with(t, m, cordon(id))
		}
		s := newSpread(m)
		for stream := range uint64(50) {
			replicas := s.place(stream, c.factor)
			p, ok := s.partition(0, stream, replicas)
			if !ok || len(replicas) != c.factor || slices.Contains(replicas, c.never) || len(p.ISR) != c.isr || p.Leader != replicas[0] {
				t.Fatalf("%s without %v: %+v", c.brokers, c.cordoned, p)
			}
		}
	}
	if m := with(t, brokersOf(t, "ll"), cordon("")); !Cordoned(m, 1) || newSpread(m).check(2) != nil {
		t.Error("all of them")
	}
}

// fakeVoters is the members of a metadata log.
type fakeVoters struct {
	handedOver bool
	fail       error // of the next change
	mu         sync.Mutex
	servers    []Server
}

func (v *fakeVoters) Servers() ([]Server, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.servers), nil
}

func (v *fakeVoters) Promote(_ context.Context, id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.servers {
		v.servers[i].Voter = v.servers[i].Voter || v.servers[i].ID == id
	}
	return nil
}

func (v *fakeVoters) Demote(_ context.Context, id string) error {
	for i := range v.servers {
		if v.servers[i].ID == id {
			v.servers[i].Voter = false
		}
	}
	return nil
}

func (v *fakeVoters) Handover(context.Context) error { v.handedOver = true; return nil }

func (v *fakeVoters) RemoveServer(_ context.Context, id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.fail; err != nil {
		v.fail = nil
		return err
	}
	v.servers = slices.DeleteFunc(v.servers, func(s Server) bool { return s.ID == id })
	return nil
}

func (v *fakeVoters) text() string {
	servers, _ := v.Servers()
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "%s:%v ", s.ID, s.Voter)
	}
	return b.String()
}

// A member votes when it has kept up for ten seconds, and one that falls behind begins to count anew.
func TestMembersThatKeepUpBecomeVoters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 3, nil, []int32{1})
		r.end()
		v := &fakeVoters{servers: []Server{{"a", 1, true}, {"b", 2, false}, {"c", 3, false}}}
		r.o.Voters = v
		r.reign()
		defer func() { r.end() }()
		r.pass(5*time.Second, 1, 2, 3)
		for range 4 { // broker 3 applies nothing while the log grows
			r.AllocateProducerIDs(t.Context(), 1)
			r.pass(time.Second, 1, 2)
			r.beat(3, func(rq *kmsg.BrokerHeartbeatRequest) { rq.CurrentMetadataOffset = 1 })
		}
		r.pass(5*time.Second, 1, 2, 3)
		if got := v.text(); got != "a:true b:false c:false " {
			t.Errorf("one keeps up, which would make two voters: %s", got)
		}
		r.pass(10*time.Second, 1, 2, 3)
		if got := v.text(); got != "a:true b:true c:true " {
			t.Errorf("both keep up: %s", got)
		}
		q, err := r.Quorum()
		if err != nil || len(q.Replicas) != 3 || q.Replicas[2].Applied != int64(r.log.Image().Index()) {
			t.Errorf("%+v, %v", q, err)
		}
	})
}
