package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/wal/campaign"
)

// clients are all that work against one broker or one cluster, and what they know of it; a seed says what they do.
type clients struct {
	t         *testing.T
	seed      uint64
	dice      *rand.Rand
	addresses func() []string
	dial      func(ctx context.Context, kind, address string) (net.Conn, error)
	ended     func() <-chan struct{} // what it returns is closed when the one broker has ended by itself
	replicas  int16                  // of each partition
	ledger    *ledger
	lasting   []*producer
	producers uint32 // how many there were
	loads     int    // how many there were
	heavy     bool
	late      bool            // what clients that are gone have asked for may still come
	most      int             // bytes of a value; 0: as many as there may be
	options   []kgo.Opt       // of all clients, beside the usual ones
	crashing  atomic.Bool     // from here on an error is no news
	counts    campaign.Counts // guarded by the ledger's lock
}

func newClients(t *testing.T, seed uint64) *clients {
	t.Helper()
	l := &clients{t: t, seed: seed, replicas: 1, ledger: newLedger(), counts: campaign.Counts{}}
	l.dice = l.newDice(0)
	t.Cleanup(func() {
		for _, p := range l.lasting {
			p.client.Close()
		}
	})
	return l
}

// newDice: each goroutine has its own, so that none changes what another one throws.
func (l *clients) newDice(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(l.seed, stream)) }

func (l *clients) count(what string, n int64) { l.ledger.with(func() { l.counts[what] += n }) }

// lastingTopics are there all the time; how many partitions each has at first.
var lastingTopics = []int32{1, 2, 4}

// furnish creates what is needed before the first load.
func (l *clients) furnish(kinds []producerKind) {
	l.t.Helper()
	client := l.newClient()
	defer client.Close()
	c := &changer{clients: l, kadm: kadm.NewClient(client)}
	for n, partitions := range lastingTopics {
		if !c.createTopic(l.t.Context(), fmt.Sprintf("lasting-%d", n), partitions, true) {
			l.t.Fatal(l.ledger.wrong)
		}
	}
	for _, kind := range kinds {
		l.lasting = append(l.lasting, l.newProducer(kind))
	}
}

func (l *clients) newClient() *kgo.Client {
	l.t.Helper()
	client, err := kgo.NewClient(l.clientOptions()...)
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}

// change makes a change and notes what is known of it; it says whether it was made. What it is must be in the plural.
func (l *clients) change(what string, r *register, v int64, make func() error) bool {
	l.ledger.with(func() { r.ask(v) })
	err := make()
	l.ledger.with(func() {
		switch {
		case err == nil:
			r.settle(done)
			l.counts[what]++
		case !l.crashing.Load():
			l.ledger.complain("one of the %s, to %d, was refused: %v", what, v, err)
		}
	})
	return err == nil
}

// A worker works against the broker until its context ends; then its client goes, with all that was not answered.
type worker struct {
	run    func(context.Context)
	client *kgo.Client // nil: it lasts
}

func (l *clients) workers() (all []worker) {
	l.t.Helper()
	for _, p := range l.lasting {
		all = append(all, worker{p.run, nil})
	}
	for n := range 3 {
		p := l.newProducer(producerKinds[(int(l.producers)+n)%len(producerKinds)])
		p.heavy = l.heavy
		all = append(all, worker{p.run, p.client})
	}
	w := l.newWatcher()
	all = append(all, worker{w.run, w.client})
	admin := l.newClient()
	l.producers++
	c := &changer{l, l.newDice(uint64(l.producers)), kadm.NewClient(admin)}
	all = append(all, worker{c.run, admin})
	for _, group := range groups {
		l.producers++
		c := &committer{l, l.newDice(uint64(l.producers)), kadm.NewClient(admin), group}
		all = append(all, worker{c.run, nil})
	}
	return all
}

// work has the workers work during what happens meanwhile.
func (l *clients) work(workers []worker, meanwhile func()) {
	l.t.Helper()
	l.loads++
	ctx, cancel := context.WithCancel(l.t.Context())
	defer cancel()
	var running sync.WaitGroup
	for _, w := range workers {
		running.Go(func() { w.run(ctx) })
	}
	meanwhile()
	cancel()
	running.Wait()
	for _, w := range workers {
		if w.client != nil {
			w.client.Close()
		}
	}
	l.count("records acknowledged", l.ledger.takeAcked())
}
