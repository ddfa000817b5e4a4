package metalog

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal/campaign"
)

// storm is three nodes under random faults, with proposals from everywhere. What must hold: what was acknowledged is in
// every image from then on; what was answered with NOT_CONTROLLER is in none; nothing is applied twice; images of the same
// entry have the same bytes.
type storm struct {
	*trio
	r     *rand.Rand
	disks []*faulty

	mu       sync.Mutex // held while a node is opened or closed
	outcomes map[string]error
	acked    []string
	more     chan struct{} // a token when something was acknowledged
	images   map[image.Index]uint64
}

func (s *storm) node(i int) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs[i]
}

// propose has a topic of its own created: a second time it would be refused.
func (s *storm) propose(at int, name string) {
	l := s.node(at)
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Second)
	defer cancel()
	propose := l.Propose
	if len(name)%2 == 0 {
		propose = proposeLow(l)
	}
	_, err := propose(ctx, topic(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[name] = err
	if err == nil {
		s.acked = append(s.acked, name)
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
}

// look asks any node for what was acknowledged last.
func (s *storm) look(at int) {
	s.mu.Lock()
	l := s.logs[at]
	acked := s.acked[max(0, len(s.acked)-5):]
	s.mu.Unlock()
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	if l.Sync(ctx) != nil {
		return
	}
	for _, name := range acked {
		if _, there := l.Image().TopicNamed(name); !there {
			s.t.Errorf("%s was acknowledged, and node %d does not see it", name, at+1)
		}
	}
}

// bytesSeen compares each 16th image of a node with what another had of the same entry.
type bytesSeen struct{ *storm }

func (b bytesSeen) Apply(d *image.Delta) {
	if d.New.Index()%16 != 0 {
		return
	}
	h := fnv.New64a()
	if err := d.New.Encode(h); err != nil {
		b.t.Error(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if was, known := b.images[d.New.Index()]; known && was != h.Sum64() {
		b.t.Errorf("two images of entry %d", d.New.Index())
	}
	b.images[d.New.Index()] = h.Sum64()
}

func (s *storm) reopen(i int) {
	s.disks[i] = &faulty{}
	l, err := open(Options{Dir: s.path(i), NodeID: image.BrokerID(i + 1), Net: s.ports[i], Logger: testLogger(i + 1), trailing: s.trailing},
		func(b backend) backend { s.disks[i].backend = b; return s.disks[i] })
	if err != nil {
		s.t.Fatalf("node %d: %v", i+1, err)
	}
	l.Watch(bytesSeen{s})
	s.mu.Lock()
	s.logs[i] = l
	s.mu.Unlock()
}

func (s *storm) stop(i int) {
	s.mu.Lock()
	l := s.logs[i]
	s.logs[i] = nil
	s.mu.Unlock()
	if err := l.Close(); err != nil {
		s.t.Errorf("node %d: %v", i+1, err)
	}
}

// pass waits for a few acknowledgements, or a moment.
func (s *storm) pass() {
	late := time.After(time.Duration(s.r.IntN(400)) * time.Millisecond)
	for range s.r.IntN(40) {
		select {
		case <-s.more:
		case <-late:
			return
		}
	}
}

// event does something to a node, lets time pass, and undoes it.
func (s *storm) event() string {
	i := s.r.IntN(3)
	l := s.node(i)
	switch s.r.IntN(5) {
	case 0:
		s.stop(i)
		s.pass()
		s.reopen(i)
		return "stop"
	case 1:
		s.disks[i].failing.Store(true)
		s.pass()
		s.stop(i)
		s.pass()
		s.reopen(i)
		return "disk"
	case 2:
		s.fabric.isolate(s.ports[i].addr, true)
		s.pass()
		s.fabric.isolate(s.ports[i].addr, false)
		return "isolate"
	case 3:
		_ = l.Handover(expired(s.t, time.Second)) // it may not succeed
		return "handover"
	}
	_ = l.Snapshot() // there may be nothing new
	return "snapshot"
}

func (s *storm) run() campaign.Counts {
	done := campaign.Counts{}
	ctx, end := context.WithCancel(s.t.Context())
	var work sync.WaitGroup
	for at := range 3 {
		for k := range 3 {
			work.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					s.propose(at, fmt.Sprint("t", at, "-", k, "-", i))
				}
			})
		}
		work.Go(func() {
			for ctx.Err() == nil {
				s.look(at)
			}
		})
	}
	for range 12 {
		done[s.event()]++
		s.pass()
	}
	end()
	work.Wait()
	s.check(done)
	return done
}

func (s *storm) check(done campaign.Counts) {
	s.same()
	img := s.logs[0].Image()
	for name, err := range s.outcomes {
		_, there := img.TopicNamed(name)
		code := kerr.Of(err)
		switch {
		case err == nil && !there:
			s.t.Errorf("%s was acknowledged and is lost", name)
		case code == kerr.NotController && there:
			s.t.Errorf("%s is there, and was said not to be proposed: %v", name, err)
		case code == kerr.TopicAlreadyExists:
			s.t.Errorf("%s was proposed twice", name)
		case err != nil && code != kerr.NotController:
			done["unknown outcomes"]++
		}
	}
	done["acknowledged"] += int64(len(s.acked))
}

func TestFaultsThreeNodesKeepWhatTheyAcknowledge(t *testing.T) {
	plan := campaign.Plan{Name: "metadata log: three nodes under faults", Unit: "storms", Glance: 1, Share: 20, Soak: 300}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		s := &storm{trio: founded(t, 3), r: rand.New(rand.NewPCG(seed, 5)), disks: make([]*faulty, 3),
			outcomes: map[string]error{}, more: make(chan struct{}, 1000), images: map[image.Index]uint64{}}
		s.trailing = 20
		for i := range 3 {
			s.close(i)
			s.reopen(i)
		}
		return s.run()
	})
}
