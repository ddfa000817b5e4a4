package metalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// A leader that is cut off acknowledges nothing, and what it was asked for happens once or not at all.
func TestAnIsolatedLeaderAcknowledgesNothing(t *testing.T) {
	c := founded(t, 3)
	old := c.leader()
	var wg sync.WaitGroup
	outcomes := make(map[string]error)
	var mu sync.Mutex
	propose := func(at int, name string, patience time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := c.logs[at].Propose(ctx, topic(name))
		mu.Lock()
		defer mu.Unlock()
		outcomes[name] = err
	}
	c.fabric.isolate(c.ports[old].addr, true)
	for i := range 10 {
		wg.Go(func() { propose(old, fmt.Sprint("isolated ", i), 2*time.Second) })
		wg.Go(func() { propose((old+1)%3, fmt.Sprint("majority ", i), 20*time.Second) })
	}
	wg.Wait()
	if err := c.logs[old].Sync(expired(t, time.Second)); err == nil {
		t.Error("an isolated node knows what is committed")
	}
	c.fabric.isolate(c.ports[old].addr, false)
	c.same()
	img := c.logs[old].Image()
	for name, err := range outcomes {
		_, there := img.TopicNamed(name)
		isolated := strings.HasPrefix(name, "isolated")
		if isolated && err == nil || !isolated && (err != nil || !there) || kerr.Of(err) == kerr.NotController && there {
			t.Errorf("%s: %v, there %v", name, err, there)
		}
	}
}

func expired(t *testing.T, after time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), after)
	t.Cleanup(cancel)
	return ctx
}

// A new disk under the address of an old server must not answer for it: it has forgotten whom it voted for.
func TestAnEmptyDirectoryIsNotTheServerBefore(t *testing.T) {
	c := founded(t, 3)
	leader := c.leader()
	wiped, other := (leader+1)%3, (leader+2)%3
	before := c.logs[wiped].Self()
	c.close(wiped)
	if err := os.Rename(c.path(wiped), c.path(wiped)+".gone"); err != nil {
		t.Fatal(err)
	}
	l := c.open(wiped)
	// the leader and the empty one are two of three, and yet no majority
	c.close(other)
	if _, err := c.logs[leader].Propose(expired(t, time.Second), topic("by nobody")); err == nil {
		t.Fatal("an empty directory helped to commit")
	}
	if l.raft.CurrentTerm() != 0 || l.raft.LastIndex() != 0 {
		t.Fatal("it was taken for the old server")
	}
	c.open(other)
	leader = c.leader()
	if err := l.Join(c.logs[leader].ClusterID()); err != nil {
		t.Fatal(err)
	}
	if err := c.logs[other].AddServer(t.Context(), l.Self()); other != leader && kerr.Of(err) != kerr.NotController {
		t.Fatal(err)
	}
	if err := c.logs[leader].AddServer(c.soon(), l.Self()); err != nil {
		t.Fatal(err)
	}
	if err := c.logs[leader].Promote(c.soon(), l.Self().ID); err != nil {
		t.Fatal(err)
	}
	servers, err := c.logs[leader].Servers()
	if err != nil || len(servers) != 3 {
		t.Fatal(servers, err)
	}
	for _, s := range servers {
		if s.ID == before.ID || !s.Voter {
			t.Error(s)
		}
	}
	c.same()
}

// Two nodes with one id: the one that answers stays.
func TestALiveServerIsNotReplaced(t *testing.T) {
	c := founded(t, 3)
	leader := c.leader()
	l := c.grow()
	twin := l.Self()
	victim := c.logs[(leader+1)%3].Self()
	twin.ID = fmt.Sprintf("%d@%s", victim.Node, "754e73e9-9732-4dcd-bf6e-847bf6ccd56e")
	twin.Node = victim.Node
	for _, s := range []Server{twin, {ID: twin.ID, Node: twin.Node, Addr: c.logs[leader].Self().Addr}} {
		if err := c.logs[leader].AddServer(c.soon(), s); kerr.Of(err) != kerr.DuplicateBrokerRegistration {
			t.Error(err)
		}
	}
	for _, err := range []error{c.logs[leader].RemoveServer(c.soon(), c.logs[leader].Self().ID), c.logs[leader].Demote(c.soon(), c.logs[leader].Self().ID)} {
		if kerr.Of(err) != kerr.InvalidRequest {
			t.Error(err)
		}
	}
	if err := c.logs[leader].Promote(c.soon(), twin.ID); kerr.Of(err) != kerr.VoterNotFound {
		t.Error(err)
	}
	if err := errors.Join(c.logs[leader].Demote(c.soon(), victim.ID), c.logs[leader].RemoveServer(c.soon(), victim.ID),
		c.logs[leader].RemoveServer(c.soon(), victim.ID)); err != nil {
		t.Fatal(err)
	}
	if servers, err := c.logs[leader].Servers(); err != nil || len(servers) != 2 {
		t.Error(servers, err)
	}
}

// A node whose disk fails falls silent, whether it leads or not, and the others go on.
func TestOthersGoOnWhenAStoreFails(t *testing.T) {
	c := newTrio(t, 3)
	disks := make([]*faulty, 3)
	for i := range 3 {
		c.close(i)
		disks[i] = &faulty{}
		l, err := open(Options{Dir: c.path(i), NodeID: image.BrokerID(i + 1), Net: c.ports[i], Logger: testLogger(i + 1)},
			func(b backend) backend { disks[i].backend = b; return disks[i] })
		if err != nil {
			t.Fatal(err)
		}
		c.logs[i] = l
	}
	id, set := c.logs[0].Incarnation(), c.set()
	for _, l := range c.logs {
		if err := l.Promise(id, set); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range c.logs {
		if err := l.Bootstrap(); err != nil {
			t.Fatal(err)
		}
	}
	failed := c.leader()
	disks[failed].failing.Store(true)
	if _, err := c.logs[failed].Propose(c.soon(), topic("lost")); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	<-c.logs[failed].Failed()
	if _, err := c.logs[(failed+1)%3].Propose(c.soon(), topic("goes on")); err != nil {
		t.Fatal(err)
	}
	c.close(failed)
	c.same()
}

// A leader that cannot read an entry halts, and does not lead on with heartbeats alone. The others read the same entry.
func TestEveryNodeHaltsAtAnUnknownEntry(t *testing.T) {
	c := founded(t, 3)
	l := c.logs[c.leader()]
	l.raft.Apply(sealEntry(l.raft.CurrentTerm(), [][]byte{{99, 1, 0}}), 0)
	<-l.Failed()
	if !errors.Is(l.Err(), image.ErrUnknown) {
		t.Fatal(l.Err())
	}
}

// What a node proposes that the leader cannot read is refused, and halts nobody.
func TestUnknownRecordsOfOthersAreRefused(t *testing.T) {
	c := founded(t, 3)
	l := c.logs[(c.leader()+1)%3]
	if err := l.Ready(c.soon()); err != nil {
		t.Fatal(err)
	}
	a := l.batcher.submit(c.soon(), l.batcher.first, [][]byte{{99, 1, 0}}, bytesOf([]byte{99, 1, 0}))[0]
	if kerr.Of(a.err) != kerr.InvalidRecord || !a.refused {
		t.Fatal(a.err)
	}
	c.same()
}

// A founding that was cut short behind its first write is finished by the next start.
func TestFoundingCutShort(t *testing.T) {
	c := newTrio(t, 3)
	id, set := c.logs[0].Incarnation(), c.set()
	for i, l := range c.logs {
		if err := l.Promise(id, set); err != nil {
			t.Fatal(err)
		}
		l.founding.Lock()
		err := l.belong(id)
		l.founding.Unlock()
		if i == 1 {
			err = errors.Join(err, l.store.SetUint64([]byte(keyTerm), 1)) // raft's second write
		}
		if err != nil {
			t.Fatal(err)
		}
		c.close(i)
	}
	for i := range c.logs {
		c.open(i)
	}
	c.same()
	for _, l := range c.logs {
		if servers, err := l.Servers(); err != nil || len(servers) != 3 || !l.Bootstrapped() || l.ClusterID() != id {
			t.Error(servers, err)
		}
	}
}

// A snapshot that came late must not take the place of what came after it.
func TestAnOldSnapshotIsNotInstalled(t *testing.T) {
	c := founded(t, 3)
	leader := c.leader()
	for i := range 20 {
		mustPropose(t, c.logs[leader], topic(fmt.Sprint(i)))
	}
	c.same()
	l := c.logs[(leader+1)%3]
	before := l.Image()
	answer := make(chan raft.RPCResponse, 1)
	old := &raft.InstallSnapshotRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3}, SnapshotVersion: 1, Term: l.raft.CurrentTerm(),
		LastLogIndex: 5, LastLogTerm: 1, Size: 3, Configuration: raft.EncodeConfiguration(l.raft.GetConfiguration().Configuration())}
	l.link.pass(raft.RPC{Command: old, Reader: strings.NewReader("old"), RespChan: answer})
	if resp := <-answer; resp.Error != nil || !resp.Response.(*raft.InstallSnapshotResponse).Success || l.Image() != before {
		t.Fatal(resp)
	}
	if found, err := filepath.Glob(filepath.Join(c.path((leader+1)%3), snapshotsDir, "*")); err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	c.same()
}
