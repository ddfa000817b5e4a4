package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"chronik/cluster/member"
	"chronik/cluster/peer"
	"chronik/metalog/image"
)

const joinStream = peer.Join

const (
	foundPause = time.Second     // between rounds, unless something happens
	sayPause   = 5 * time.Second // between lines that say the same
)

// ErrNoCluster says that the node was stopped while it waited for others to found a cluster with, or to join.
var ErrNoCluster = errors.New("no cluster yet")

// seat is this node's place in the metalog.
type seat interface {
	Self() server
	ClusterID() uuid.UUID
	Bootstrapped() bool
	Promise(cluster uuid.UUID, set []server) error
	Promised() (cluster uuid.UUID, set []server, ok bool)
	Bootstrap() error
	Join(cluster uuid.UUID) error
	Leader() image.BrokerID
	AddServer(ctx context.Context, s server) error
}

// founders is what the operator says about who founds the cluster.
type founders struct {
	expect     int       // so many nodes that gossip finds; or
	voters     []Voter   // these; or, with neither of them: not this node
	configured uuid.UUID // the cluster-id, or zero
	rejoins    bool      // this node has belonged to a cluster: it founds none, whatever else is said
}

// founding is how a node with an empty directory comes to a cluster, and how it helps others to one: see DESIGN.md. What
// keeps two clusters from being founded is that a set needs every member's promise, that a promise is on disk before it
// is given, and that it is never exchanged for another. All else (the set that gossip shows, what others say) may be
// wrong, and only makes for waiting.
type founding struct {
	founders
	seat        seat
	incarnation uuid.UUID
	gossip      func() []member.Info                        // the others; none without gossip
	unreached   func() []string                             // of the nodes to join, and why; none without gossip
	locate      func(image.BrokerID) (addr string, ok bool) // of a registered broker
	ask         func(ctx context.Context, addr string, q question) (reply, error)
	lastRun     func(image.BrokerID) (run uuid.UUID, epoch int64) // that has registered
	settle      func(cluster uuid.UUID)                           // this node belongs to a cluster now; may be called again, and must not block
	logger      *slog.Logger

	mu sync.Mutex // the seat is looked at and changed at once: a promise must not come between a look and a Join

	settled atomic.Bool // settle was called

	woken  chan struct{} // of one: the seat has changed
	said   string        // by found's goroutine, as saidAt and began
	saidAt time.Time
	began  time.Time
}

// found returns when this node belongs to a cluster: it was founded, or this node was admitted. A node that belonged to
// one before returns at once. changed hints that gossip has news. An error is one of the metalog's store, or ctx's.
func (f *founding) found(ctx context.Context, changed <-chan struct{}) error {
	f.began = time.Now()
	for {
		done, err := f.step(ctx)
		if err != nil {
			return fmt.Errorf("becoming a member: %w", err)
		}
		if done {
			f.tell()
			return nil
		}
		select {
		case <-time.After(foundPause):
		case <-changed:
		case <-f.woken:
		case <-ctx.Done():
			return fmt.Errorf("%w (%s): %w", ErrNoCluster, f.said, ctx.Err())
		}
	}
}

// tell has the internal port and gossip told which cluster this node belongs to, once it knows.
func (f *founding) tell() {
	if cluster := f.seat.ClusterID(); cluster != uuid.Nil {
		f.settle(cluster)
		f.settled.Store(true)
	}
}

// step is one round.
func (f *founding) step(ctx context.Context) (done bool, err error) {
	if f.seat.Bootstrapped() {
		return true, nil
	}
	if p, ok := f.promised(); ok {
		return f.keep(ctx, p)
	}
	if where := f.clusters(); len(where) > 0 {
		return f.join(ctx, where)
	}
	switch {
	case f.isVoter() && !f.rejoins:
		return f.gather(ctx, f.voterSet())
	case len(f.voters) > 0:
		return f.joinVoters(ctx)
	case f.rejoins:
		f.say("this node has belonged to a cluster and founds no other: waiting for a node that still has its metadata; "+
			"if too few have for a quorum, see chronik cluster recover; or empty all data directories to begin anew%s", f.missed())
		return false, nil
	case f.expect > 0:
		set, why := f.expected()
		if why == "" {
			return f.gather(ctx, set)
		}
		f.say("%s%s", why, f.missed())
		return false, nil
	}
	f.say("waiting for a node that belongs to a cluster: this one founds none "+
		"(set bootstrap-expect or initial-voters at the first nodes)%s", f.missed())
	return false, nil
}

// missed is the end of a line that says what the node waits for: the nodes to join that it does not reach.
func (f *founding) missed() string {
	if unreached := f.unreached(); len(unreached) > 0 {
		return "; of join, " + strings.Join(unreached, "; ")
	}
	return ""
}

func (f *founding) promised() (pact, bool) {
	cluster, set, ok := f.seat.Promised()
	return pact{cluster, set}, ok
}

// say logs what the node waits for: when it is something else than before, and every few seconds. At first that is how a
// start looks: nodes are started one after the other.
func (f *founding) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if now := time.Now(); text != f.said || now.Sub(f.saidAt) >= sayPause {
		f.said, f.saidAt = text, now
		level := slog.LevelWarn
		if now.Sub(f.began) < sayPause {
			level = slog.LevelInfo
		}
		f.logger.Log(context.Background(), level, "no cluster yet: "+text)
	}
}

// voterSet is the set as the operator named it; the servers' ids are not known yet.
func (f *founding) voterSet() []server {
	set := make([]server, 0, len(f.voters))
	for _, v := range f.voters {
		set = append(set, server{Node: v.Node, Addr: v.Addr, Voter: true})
	}
	return sorted(set)
}

func (f *founding) isVoter() bool {
	self := f.seat.Self().Node
	return slices.ContainsFunc(f.voters, func(v Voter) bool { return v.Node == self })
}

func sorted(set []server) []server {
	slices.SortFunc(set, func(a, b server) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID)) })
	return set
}

// expected is the nodes that gossip shows, when they are as many as are expected; else why they are not it.
func (f *founding) expected() (set []server, why string) {
	self := f.seat.Self()
	set = []server{{ID: self.ID, Node: self.Node, Addr: self.Addr, Voter: true}}
	for _, i := range f.gossip() {
		if i.Cluster != uuid.Nil || i.Expect == 0 {
			continue
		}
		if i.Expect != f.expect {
			return nil, fmt.Sprintf("node %d (%s) has bootstrap-expect %d and this one %d: set the same number at all nodes",
				i.Node, i.Addr, i.Expect, f.expect)
		}
		set = append(set, server{ID: i.Server, Node: i.Node, Addr: i.Addr, Voter: true})
	}
	sorted(set)
	for i := range set[1:] {
		if a, b := set[i], set[i+1]; a.Node == b.Node {
			return nil, fmt.Sprintf("two nodes have the node-id %d, %s and %s: give each node its own", a.Node, a.Addr, b.Addr)
		}
	}
	switch missing := f.expect - len(set); {
	case missing > 0:
		return nil, fmt.Sprintf("%d of %d nodes found: waiting for %d more; seen: %s", len(set), f.expect, missing, names(set))
	case missing < 0:
		return nil, fmt.Sprintf("%d nodes found, and bootstrap-expect is %d, so it is not clear which are to found the cluster: "+
			"start the others with bootstrap-expect 0, or raise it; seen: %s", len(set), f.expect, names(set))
	}
	return set, ""
}

// gather asks all of a set, whose ids may be missing, and founds with them when all agree. Only the first of them does.
func (f *founding) gather(ctx context.Context, set []server) (bool, error) {
	if self := f.seat.Self(); set[0].Node != self.Node {
		return f.await(ctx, set)
	}
	p, why, where := f.agree(ctx, set)
	switch {
	case where != nil:
		return f.join(ctx, where)
	case why != "":
		f.say("%s", why)
		return false, nil
	}
	return f.drive(ctx, p)
}

// await is for those that do not ask: the founder will come. It may have founded already, without this node when its
// disk is a new one; then some other node of the set knows of the cluster.
func (f *founding) await(ctx context.Context, set []server) (bool, error) {
	for _, s := range set {
		if s.Node == f.seat.Self().Node {
			continue
		}
		if a, err := f.ask(ctx, s.Addr, f.question(askWho, pact{Set: set})); err == nil && a.Cluster != uuid.Nil {
			return f.join(ctx, []place{{a.Cluster, s.Addr}})
		}
	}
	f.say("node %d (%s) is to found the cluster with %s: it has not yet asked for the promise of all, see its log",
		set[0].Node, set[0].Addr, names(set[1:]))
	return false, nil
}

func (f *founding) question(kind string, p pact) question {
	return question{Kind: kind, From: f.seat.Self(), Pact: p, Configured: f.configured}
}

// agree asks everyone who they are. It returns what they would promise, or why not all of them would, or a node that
// belongs to a cluster already, whoever else is away.
func (f *founding) agree(ctx context.Context, asked []server) (p pact, why string, where []place) {
	self := f.seat.Self()
	set := slices.Clone(asked)
	for i, s := range asked {
		if s.Node == self.Node {
			set[i].ID = self.ID
			continue
		}
		a, err := f.ask(ctx, s.Addr, f.question(askWho, pact{Set: asked}))
		switch {
		case err == nil && a.Cluster != uuid.Nil:
			return p, "", []place{{a.Cluster, s.Addr}}
		case why != "": // of one before; this one could have belonged to a cluster
			continue
		case err != nil:
			why = fmt.Sprintf("node %d at %s does not answer: %v", s.Node, s.Addr, err)
			continue
		}
		if why = f.objection(s, a); why != "" {
			continue
		}
		if a.Promised != nil {
			p = *a.Promised // an attempt before was cut short; what it was about is the same, or they refuse
		}
		set[i].ID = a.Self.ID
	}
	if why != "" {
		return p, why, nil
	}
	want := pact{f.configured, set}
	if want.Cluster == uuid.Nil {
		want.Cluster = mintedFor(set)
	}
	if p.Set == nil {
		return want, "", nil
	}
	if !sameServers(p.Set, set) || p.Cluster != want.Cluster {
		return p, fmt.Sprintf("some node has promised to found the %s and not the %s: unless that cluster exists, "+
			"empty the data directories of those that have promised", p, want), nil
	}
	return p, "", nil
}

// objection is what keeps the node s, which answered a, out of the set.
func (f *founding) objection(s server, a reply) string {
	switch {
	case a.Self.Node != s.Node:
		return fmt.Sprintf("the node at %s is node %d, not node %d: mend initial-voters or the node-id", s.Addr, a.Self.Node, s.Node)
	case s.ID != "" && a.Self.ID != s.ID:
		return fmt.Sprintf("node %d at %s is another one than gossip shows: waiting for gossip, unless two nodes have that node-id", s.Node, s.Addr)
	case a.Self.ID == "" || a.Self.ID == f.seat.Self().ID:
		return fmt.Sprintf("the node at %s has this node's own Raft server id: its data directory is a copy", s.Addr)
	case a.Configured != f.configured:
		return fmt.Sprintf("node %d (%s) has another cluster-id than this one (%s, %s): set the same at all nodes, or leave it out",
			s.Node, s.Addr, settingOf(a.Configured), settingOf(f.configured))
	case a.Refusal != "":
		return fmt.Sprintf("node %d (%s) says: %s", s.Node, s.Addr, a.Refusal)
	}
	return ""
}

func settingOf(id uuid.UUID) string {
	if id == uuid.Nil {
		return "none"
	}
	return FormatClusterID(id)
}

// sameServers compares by id: an address may change while nodes found a cluster.
func sameServers(a, b []server) bool {
	return slices.EqualFunc(a, b, func(x, y server) bool { return x.ID == y.ID && x.Node == y.Node })
}

// mintedFor is the id of the cluster that this set founds. The servers' ids are random, so no other has it.
func mintedFor(set []server) uuid.UUID {
	text := "chronik cluster\n"
	for _, s := range set {
		text += s.ID + "\n"
	}
	return uuid.NewHash(sha256.New(), uuid.Nil, []byte(text), 8)
}
