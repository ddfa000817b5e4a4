package metalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// trio is three nodes, or more, in one process. A node that is down is nil.
type trio struct {
	t      *testing.T
	fabric *fabric
	dir    string
	ports  []*port
	logs   []*Log

	trailing uint64
	silence  time.Duration
}

// testLogger is silent unless somebody wants to see.
func testLogger(node int) *slog.Logger {
	if os.Getenv("CHRONIK_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("self", node)
}

func newTrio(t *testing.T, n int) *trio {
	t.Helper()
	c := &trio{t: t, fabric: newFabric(), dir: t.TempDir(), trailing: 64}
	for i := range n {
		c.ports = append(c.ports, c.fabric.port(fmt.Sprint("n", i+1)))
		c.logs = append(c.logs, nil)
		c.open(i)
	}
	t.Cleanup(func() {
		for i := range c.logs {
			c.close(i)
		}
	})
	return c
}

// founded is newTrio with a cluster founded.
func founded(t *testing.T, n int) *trio {
	t.Helper()
	c := newTrio(t, n)
	id, set := uuid.New(), c.set()
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
	return c
}

func (c *trio) set() (set []Server) {
	for _, l := range c.logs {
		set = append(set, l.Self())
	}
	return set
}

func (c *trio) path(i int) string { return filepath.Join(c.dir, fmt.Sprint("n", i+1)) }

func (c *trio) open(i int) *Log {
	c.t.Helper()
	l, err := Open(Options{Dir: c.path(i), NodeID: image.BrokerID(i + 1), Net: c.ports[i], Logger: testLogger(i + 1), trailing: c.trailing, silence: c.silence})
	if err != nil {
		c.t.Fatal(err)
	}
	c.logs[i] = l
	return l
}

func (c *trio) close(i int) {
	c.t.Helper()
	if l := c.logs[i]; l != nil {
		c.logs[i] = nil
		if err := l.Close(); err != nil {
			c.t.Error(err)
		}
		c.missed(l.identity.serverID())
	}
}

// missed returns when no node has a connection to the server for its proposals: of what is sent before its end is seen
// nobody knows what comes of it.
func (c *trio) missed(id raft.ServerID) {
	c.t.Helper()
	for _, l := range c.logs {
		for l != nil && l.courier.reaches(id) {
			<-time.After(time.Millisecond)
		}
	}
}

// reaches says whether there is a connection to the server.
func (c *courier) reaches(id raft.ServerID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now != nil && c.now.to == id && c.now.open()
}

// grow opens one more node, which waits for a cluster.
func (c *trio) grow() *Log {
	c.t.Helper()
	i := len(c.logs)
	c.ports, c.logs = append(c.ports, c.fabric.port(fmt.Sprint("n", i+1))), append(c.logs, nil)
	return c.open(i)
}

func (c *trio) soon() context.Context {
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	c.t.Cleanup(cancel)
	return ctx
}

// leader waits for a node that leads and knows it.
func (c *trio) leader() int {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		for i, l := range c.logs {
			if l == nil {
				continue
			}
			changed := l.lead.next()
			if l.lead.leads() && l.raft.VerifyLeader().Error() == nil {
				return i
			}
			select {
			case <-changed:
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	c.t.Fatal("nobody leads")
	return -1
}

// same waits until all nodes have everything, and compares the bytes of their images.
func (c *trio) same() {
	c.t.Helper()
	var first string
	for i, l := range c.logs {
		if l == nil {
			continue
		}
		if err := l.Sync(c.soon()); err != nil {
			c.t.Fatal(err)
		}
		if h := hash(c.t, l.Image()); first == "" {
			first = h
		} else if h != first {
			c.t.Errorf("node %d has another image, of entry %d", i+1, l.Image().Index())
		}
	}
}

func TestThreeNodesAgree(t *testing.T) {
	c := founded(t, 3)
	for i, l := range c.logs {
		if err := l.Ready(c.soon()); err != nil {
			t.Fatal(err)
		}
		for k, propose := range []func(context.Context, ...image.Record) (image.Index, error){l.Propose, proposeLow(l)} {
			name := fmt.Sprint("t", i, "-", k)
			if _, err := propose(c.soon(), topic(name)); err != nil {
				t.Fatal(err)
			}
			if _, ok := l.Image().TopicNamed(name); !ok {
				t.Fatalf("node %d does not see what it proposed", i+1)
			}
			_, err := propose(c.soon(), topic(name))
			if kerr.Of(err) != kerr.TopicAlreadyExists {
				t.Fatal(err)
			}
		}
	}
	c.same()
	leader := c.leader()
	for _, l := range c.logs {
		if l.Leader() != image.BrokerID(leader+1) || !l.Bootstrapped() || !l.Self().Voter || l.ClusterID() != c.logs[0].ClusterID() {
			t.Error(l.Leader(), l.Bootstrapped(), l.Self(), l.ClusterID())
		}
	}
}

// What is committed anywhere before Sync is called is in the image when it returns.
func TestSyncSeesWhatWasCommitted(t *testing.T) {
	c := founded(t, 3)
	var wg sync.WaitGroup
	for at := range 3 {
		wg.Go(func() {
			for i := range 40 {
				name := fmt.Sprint("t", at, "-", i)
				if _, err := c.logs[at].Propose(c.soon(), topic(name)); err != nil {
					t.Error(err)
				}
				other := c.logs[(at+1+i%2)%3]
				if err := other.Sync(c.soon()); err != nil {
					t.Error(err)
				}
				if _, ok := other.Image().TopicNamed(name); !ok {
					t.Errorf("%s is not there", name)
				}
			}
		})
	}
	wg.Wait()
}

// Proposals ride over a change of leaders.
func TestAnotherNodeLeadsWhenOneGoes(t *testing.T) {
	c := founded(t, 3)
	leader := c.leader()
	if _, err := c.logs[(leader+1)%3].Propose(c.soon(), topic("before")); err != nil {
		t.Fatal(err)
	}
	c.close(leader)
	began := time.Now()
	for _, l := range c.logs {
		if l == nil {
			continue
		}
		if _, err := l.Propose(c.soon(), topic(fmt.Sprint("after", l.Self().Node))); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	c.open(leader)
	c.same()
	for i := range c.logs {
		c.close(i)
	}
	for i := range c.logs {
		c.open(i)
	}
	c.same()
	if n := c.logs[0].Image().TopicCount(); n != 3 {
		t.Errorf("%d topics", n)
	}
}

func TestHandover(t *testing.T) {
	c := founded(t, 3)
	leader := c.leader()
	for i, l := range c.logs {
		if i != leader {
			if err := l.Handover(c.soon()); err != nil {
				t.Fatal(err)
			}
		}
	}
	term := c.logs[leader].raft.CurrentTerm()
	if err := c.logs[leader].Handover(c.soon()); err != nil {
		t.Fatal(err)
	}
	if now := c.leader(); now == leader && c.logs[now].raft.CurrentTerm() == term {
		t.Fatal("it leads still")
	}
	if err := mustOpen(t, t.TempDir()).Handover(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A leader that stops just after another voter had died asked that one again and again to lead, and nobody else.
func TestAHandoverPassesOverAVoterThatIsGone(t *testing.T) {
	c := founded(t, 3)
	for i := range 4 {
		leader := c.leader()
		c.same()
		gone := (leader + 1 + i%2) % 3 // the other of the two each time: raft prefers the first in the configuration
		c.fabric.isolate(c.ports[gone].Addr(), true)
		if err := c.logs[leader].Handover(c.soon()); err != nil {
			t.Fatalf("node %d, without node %d: %v", leader+1, gone+1, err)
		}
		c.fabric.isolate(c.ports[gone].Addr(), false)
	}
}

// A single node becomes the first of three: others get a snapshot and then votes.
func TestOneNodeGrowsToThree(t *testing.T) {
	c := newTrio(t, 1)
	c.close(0)
	alone, err := Open(Options{Dir: c.path(0), NodeID: 1}) // it begins without a network
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		mustPropose(t, alone, topic(fmt.Sprint("t", i)))
	}
	mustClose(t, alone)
	c.trailing = 10
	first := c.open(0)
	if err := first.Ready(c.soon()); err != nil {
		t.Fatal(err)
	}
	if err := first.Snapshot(); err != nil {
		t.Fatal(err)
	}
	id := uuid.New()
	mustPropose(t, first, image.ClusterRecord{ID: id})
	for range 2 {
		l := c.grow()
		seen := &watcher{t, image.Empty(), map[image.TopicID]bool{}}
		l.Watch(seen)
		if l.Bootstrapped() {
			t.Fatal("it belongs to a cluster")
		}
		if err := errors.Join(l.Join(id), l.Join(id)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time changes nothing
			if err := first.AddServer(c.soon(), l.Self()); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Ready(c.soon()); err != nil {
			t.Fatal(err)
		}
		if n := l.Image().TopicCount(); n != 100 || seen.last != l.Image() || l.Self().Voter {
			t.Fatalf("%d topics, voter %v", n, l.Self().Voter)
		}
		if _, err := l.Propose(c.soon(), topic(fmt.Sprint("by ", l.Self().Node))); err != nil {
			t.Fatal(err)
		}
		if err := first.Promote(c.soon(), l.Self().ID); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Propose(c.soon(), image.RemoveTopicRecord{ID: topic(fmt.Sprint("by ", l.Self().Node)).ID}); err != nil {
			t.Fatal(err)
		}
	}
	c.same()
	for i := range 3 { // each may go, and starts from the snapshot that it was sent
		c.close(i)
		mustProposeAnywhere(c, topic(fmt.Sprint("without ", i)))
		c.open(i)
		c.same()
	}
}

// mustProposeAnywhere proposes again when a leader has gone meanwhile, as one may on a busy machine: the records are then refused
// if they had been agreed on.
func mustProposeAnywhere(c *trio, recs ...image.Record) {
	c.t.Helper()
	i := slices.IndexFunc(c.logs, func(l *Log) bool { return l != nil })
	for unknown := false; ; {
		_, err := c.logs[i].Propose(c.soon(), recs...)
		code := kerr.Of(err)
		switch {
		case err == nil, unknown && (code == kerr.InvalidUpdateVersion || code == kerr.TopicAlreadyExists):
			return
		case !errors.Is(err, raft.ErrLeadershipLost):
			c.t.Fatal(err)
		}
		unknown = true
	}
}

// Two of three can found the cluster and have sent the third its first entries before it is told to. Which cluster it belongs
// to was then in its image only, so that it did not know it while it replayed its log.
func TestWhoIsFoundedByTheOthersMustKnowItsCluster(t *testing.T) {
	c := newTrio(t, 3)
	id, set := uuid.New(), c.set()
	for _, l := range c.logs {
		if err := l.Promise(id, set); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range c.logs[:2] {
		if err := l.Bootstrap(); err != nil {
			t.Fatal(err)
		}
	}
	mustProposeAnywhere(c, image.ProducerIDsRecord{Start: 0, Count: 1})
	late := c.logs[2]
	if err := late.Sync(c.soon()); err != nil || !late.Bootstrapped() {
		t.Fatalf("the others have sent it nothing: %v", err)
	}
	for range 2 {
		if err := late.Bootstrap(); err != nil || late.ClusterID() != id {
			t.Fatalf("it belongs to %s: %v", late.ClusterID(), err)
		}
	}
	c.close(2)
	if s, err := Examine(c.path(2)); err != nil || s.Cluster != id {
		t.Fatalf("it has noted %+v: %v", s, err)
	}
	if late = c.open(2); late.ClusterID() != id {
		t.Errorf("after a start it belongs to %s", late.ClusterID())
	}
}

func TestPromisesAreKept(t *testing.T) {
	c := newTrio(t, 3)
	l, set := c.logs[0], c.set()
	id, other := uuid.New(), uuid.New()
	if err := l.Bootstrap(); err == nil {
		t.Fatal("it founded a cluster that nobody promised")
	}
	if err := l.Promise(id, set); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Promise(id, []Server{set[2], set[0], set[1]}); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{l.Promise(other, set), l.Promise(id, set[:2]), l.Join(other)} {
			if !errors.Is(err, errPromised) {
				t.Fatal(err)
			}
		}
		if cluster, promised, ok := l.Promised(); !ok || cluster != id || len(promised) != 3 || l.Bootstrapped() {
			t.Fatal(cluster, promised, ok, l.Bootstrapped())
		}
		c.close(0)
		l = c.open(0)
	}
	if err := c.logs[2].Promise(id, set[:2]); err == nil || !strings.Contains(err.Error(), "not in the set") {
		t.Fatal(err)
	}
	for _, l := range c.logs {
		if err := l.Promise(id, set); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		if err := errors.Join(c.logs[i].Bootstrap(), c.logs[i].Bootstrap()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 { // two of three are enough
		if err := c.logs[i].Ready(c.soon()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Promise(id, set); err != nil {
		t.Fatal(err) // it stands
	}
	if err := l.Join(other); err == nil {
		t.Fatal("joined another cluster")
	}
	if err := c.logs[2].Bootstrap(); err != nil {
		t.Fatal(err)
	}
	c.same()
}
