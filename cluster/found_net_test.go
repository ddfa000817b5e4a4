package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"chronik/cluster/member"
	"chronik/cluster/peer"
	"chronik/metalog"
	"chronik/metalog/image"
)

// real is a node on real sockets, with a metadata log on a real disk.
type real struct {
	*founding
	node   image.BrokerID
	net    *peer.Net
	meta   *metalog.Log
	gossip *member.Members
	stop   func()
}

func startReal(t *testing.T, dir string, node image.BrokerID, w founders, join ...string) *real {
	t.Helper()
	n, err := peer.Listen(peer.Options{Bind: "127.0.0.1:0", Key: peer.DeriveKey("x", peer.PurposePeer), Node: node})
	if err != nil {
		t.Fatal(err)
	}
	r := &real{node: node, net: n}
	if r.meta, err = metalog.Open(metalog.Options{Dir: dir, NodeID: node, Net: n}); err != nil {
		t.Fatal(err)
	}
	r.gossip, err = member.Start(member.Options{
		Bind: "127.0.0.1", Key: peer.DeriveKey("x", peer.PurposeGossip), Join: join, Self: w.info(r.meta, r.meta.Incarnation()),
	})
	if err != nil {
		t.Fatal(err)
	}
	nowhere := func(image.BrokerID) (string, bool) { return "", false }
	r.founding = newFounding(w, r.meta, r.meta.Incarnation(), n, nowhere, slog.New(slog.DiscardHandler))
	r.founding.listenTo(r.gossip)
	l := n.Listen(joinStream)
	var serving sync.WaitGroup
	serving.Go(func() { r.serveJoin(l) })
	r.stop = sync.OnceFunc(func() {
		l.Close()
		serving.Wait()
		if err := errors.Join(r.gossip.Close(), r.meta.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *real) at() string { return fmt.Sprintf("127.0.0.1:%d", r.gossip.Port()) }

// become waits until the node is a member that has all that was agreed on.
func (r *real) become(ctx context.Context, t *testing.T) {
	t.Helper()
	err := r.found(ctx, r.gossip.Changed())
	if err == nil {
		err = r.meta.Ready(ctx)
	}
	if err != nil {
		t.Errorf("node %d: %v", r.node, err)
	}
}

// Three nodes found a cluster over real sockets, a fourth joins by way of one of them, one starts again, and one comes
// back with an empty disk.
func TestFoundingOnLoopback(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	w, dir := founders{expect: 3}, t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	one := startReal(t, path("1"), 1, w)
	nodes := []*real{one, startReal(t, path("2"), 2, w, one.at()), startReal(t, path("3"), 3, w, one.at())}
	var all sync.WaitGroup
	for _, r := range nodes {
		all.Go(func() { r.become(ctx, t) })
	}
	all.Wait()
	late := startReal(t, path("4"), 4, founders{}, nodes[2].at())
	late.become(ctx, t)
	nodes[1].stop()
	again := startReal(t, path("2"), 2, w, one.at())
	again.become(ctx, t)
	again.stop()
	empty := startReal(t, path("2 again"), 2, w, one.at())
	empty.become(ctx, t)
	for _, r := range []*real{one, late, empty} {
		servers, err := r.meta.Servers()
		if r.meta.ClusterID() != one.meta.ClusterID() || err != nil || len(servers) < 4 {
			t.Errorf("node %d is in %s, of %v, %v", r.node, r.meta.ClusterID(), servers, err)
		}
	}
	if _, promised, _ := empty.meta.Promised(); promised != nil {
		t.Error("the node with an empty disk has founded a cluster")
	}
	if nc, err := late.net.Dial(ctx, one.net.Addr(), "nothing"); !errors.Is(err, peer.ErrNoStream) {
		t.Errorf("the internal ports do not know the cluster: %v, %v", nc, err)
	}
}

// A member that is asked by who is no leader passes the question on once.
func TestAdmissionIsPassedOnOnce(t *testing.T) {
	w := newWorld(t, 1)
	w.build(plan{founders: 3, joiners: 1})
	w.startAll()
	w.nodes[3].crash()
	if w.settle(3); w.founded() == nil {
		t.Fatal("no cluster")
	}
	q := question{Kind: askAdmit, From: server{ID: "4@x", Node: 4, Addr: "n4:9192", Voter: true}}
	if a := w.nodes[2].life.answer(t.Context(), q); !a.OK || a.Self.Node != 1 || !w.servers["4@x"] {
		t.Errorf("by way of node 3: %+v", a)
	}
	q.Hop = true
	if a := w.nodes[2].life.answer(t.Context(), q); a.OK {
		t.Errorf("passed on twice: %+v", a)
	}
}

// A node that was alone learns its cluster's id from its log, when it is in touch with others already.
func TestWatchingServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan uuid.UUID, 10)
		w := newWorld(t, 1)
		w.add(founders{})
		w.startAll()
		f := w.nodes[0].life.founding
		late := &lateSeat{seat: f.seat}
		f.seat, f.settle = late, func(id uuid.UUID) { told <- id }
		f.gossip = func() []member.Info { return []member.Info{{Server: "2@x", Addr: "b:1"}} }
		stop, changed, got := make(chan struct{}), make(chan struct{}), make(chan string, 10)
		var watching sync.WaitGroup
		watching.Go(func() { f.watchServers(stop, changed, func(id, addr string) { got <- id + " " + addr }) })
		synctest.Wait()
		if len(told) != 0 {
			t.Error("it told a cluster that it does not know")
		}
		late.cluster.Store(&uuid.Max)
		if id := <-told; id != uuid.Max {
			t.Errorf("it told %s", id)
		}
		changed <- struct{}{}
		synctest.Wait()
		if len(told) != 0 {
			t.Error("it told it twice")
		}
		close(stop)
		watching.Wait()
		for range 3 {
			if hint := <-got; hint != "2@x b:1" {
				t.Errorf("%q", hint)
			}
		}
	})
}

// lateSeat belongs to a cluster whose id it learns.
type lateSeat struct {
	seat
	cluster atomic.Pointer[uuid.UUID]
}

func (l *lateSeat) Bootstrapped() bool { return true }

func (l *lateSeat) ClusterID() uuid.UUID {
	if id := l.cluster.Load(); id != nil {
		return *id
	}
	return uuid.Nil
}

// settle gives those that are up some rounds.
func (w *world) settle(rounds int) {
	for range rounds {
		for _, n := range w.nodes {
			n.step()
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	var b bytes.Buffer
	if err := writeMessage(&b, reply{Refusal: strings.Repeat("x", maxMessage)}); err == nil {
		t.Error("a message that is too long was written")
	}
	long := binary.BigEndian.AppendUint32(nil, maxMessage+1)
	if err := readMessage(bytes.NewReader(append(long, make([]byte, maxMessage+1)...)), &question{}); err != errMessage {
		t.Errorf("reading one: %v", err)
	}
	want := question{Kind: askPromise, From: server{ID: "1@x", Node: 1, Addr: "a:1", Voter: true}, Hop: true}
	want.Pact = pact{uuid.New(), []server{want.From}}
	var got question
	if err := writeMessage(&b, want); err != nil {
		t.Fatal(err)
	}
	if err := readMessage(&b, &got); err != nil || !got.Pact.equal(want.Pact) || got.From != want.From || !got.Hop {
		t.Errorf("%+v, %v", got, err)
	}
}
