package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chronik/wal/campaign"
)

// Whole nodes keep their promises, whatever happens to them: what was acknowledged is there, once and in order; what was
// read stays; committed offsets do not go back; replicas have the same bytes and nodes the same metadata; and when nothing
// is wrong any more, everything works again soon.
func TestFaultsSimulatedClusterKeepsItsPromises(t *testing.T) {
	plan := campaign.Plan{Name: "whole nodes in simulated time", Unit: "virtual minutes", Glance: 1, Share: 600, Soak: 3_000}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) (counts campaign.Counts) {
		dir := memoryDir(t)
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, dir)
			began := time.Now()
			w.live()
			w.close()
			w.report()
			counts = w.sum()
			counts["virtual minutes"] = int64(time.Since(began).Minutes())
		})
		forgetPools()
		return counts
	})
}

// forgetPools empties the program's sync.Pools: channels that were made in one bubble may not be used in another.
func forgetPools() {
	runtime.GC()
	runtime.GC()
}

// memoryDir is a directory in memory where there is one: files on a disk would only take longer.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "chronik-sim-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A trial has up to so many rounds, and each so much time for things to go wrong.
const (
	mostRounds = 3
	roundTime  = 8 * time.Minute
)

// live starts the cluster and lets things go wrong, round by round; after each everything is mended and looked at.
func (w *world) live() {
	for _, m := range w.machines {
		m.start()
	}
	if !w.await(w.whole) || !w.createLasting() || !w.await(w.whole) {
		return
	}
	for range 1 + w.r.IntN(mostRounds) {
		w.round()
		if w.failed() || !w.await(w.whole) {
			return
		}
		w.check()
		if w.failed() {
			return
		}
	}
}

func (w *world) newHost() *host { return w.net.host(fmt.Sprintf("10.0.1.%d", len(w.clients)+1)) }

func (w *world) addClient(name string) *client {
	c := w.newClient(name, w.newHost(), w.r.Uint64())
	w.clients = append(w.clients, c)
	return c
}

func (w *world) createLasting() bool {
	a := admin{client: w.addClient("maker")}
	for _, t := range []struct{ name, minISR string }{{"a", "2"}, {"b", "1"}} {
		a.insist("the creation of topic "+t.name, func(ctx context.Context) bool { return a.create(ctx, t.name, 2, t.minISR) })
		w.lasting = append(w.lasting, spot{t.name, 0}, spot{t.name, 1})
	}
	return !w.failed()
}

// round is some minutes of load and faults, and what is under way in the end is waited for.
func (w *world) round() {
	load, end := context.WithCancel(w.ctx)
	defer end()
	var clients sync.WaitGroup
	for i := range 2 {
		p := &producer{client: w.addClient("producer"), number: len(w.clients)*10 + i}
		clients.Go(func() { p.run(load, 300*time.Millisecond) })
	}
	for i := range 2 {
		c := w.addClient("consumer")
		k := &consumer{client: c, group: fmt.Sprint("g", len(w.clients)), spot: w.lasting[(i*2)%len(w.lasting)]}
		clients.Go(func() { k.run(load, 400*time.Millisecond) })
	}
	a := &admin{client: w.addClient("admin"), count: len(w.clients) * 1000}
	clients.Go(func() { a.run(load, 20*time.Second) })

	w.mend(time.Time{})
	n := &nemesis{w: w, r: rand.New(rand.NewPCG(w.r.Uint64(), 6))}
	over, stop := context.WithCancel(w.ctx)
	defer stop()
	var struck sync.WaitGroup
	struck.Go(func() { n.run(over, 15*time.Second) })
	for began := time.Now(); time.Since(began) < roundTime && !w.failed(); {
		<-time.After(time.Second)
	}
	stop()
	struck.Wait()
	w.mend(time.Now())
	end()
	clients.Wait()
}
