package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"

	"chronik/cluster/member"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// A world is some nodes that found a cluster, on one goroutine: each question that a node asks is a place where messages
// are lost, nodes crash, and other nodes take their steps.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	nodes   []*node
	servers map[string]bool // that a leader has added
	late    []func()        // questions that arrive when nobody waits for the answer any more
	groups  []int           // of each node: it reaches those of its own group
	chaos   bool
	wipes   bool
	depth   int
	crashes int
	wrong   wrong
	lastDir int
}

// wrong is what a faulty product would do, to prove that the world notices.
type wrong struct {
	losesPromises     bool // promises are not durable
	exchangesPromises bool // a promise is given up for another one
	skipsOne          bool // the founder takes the promise of one node for granted
	believesIDs       bool // a cluster id that the operator has set passes for the proof that the set founded it
}

// directory is what a crash leaves.
type directory struct {
	id       string
	promised *pact
	volatile bool // the promise is not on disk
	begun    *pact
	joined   uuid.UUID
}

// life is a process from its start to its end.
type life struct {
	*founding
	n    *node
	dead bool
	done bool
}

type node struct {
	unreached []string // of the nodes to join, as it says
	w         *world
	number    image.BrokerID
	moves     int
	dir       *directory
	life      *life // nil while it is down
	stepping  bool
	config    founders // its flags
}

var errDown = errors.New("connection refused")

func (n *node) addr() string {
	if n.moves == 0 {
		return fmt.Sprintf("n%d:9192", n.number)
	}
	return fmt.Sprintf("n%d-%d:9192", n.number, n.moves)
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, rng: rand.New(rand.NewPCG(seed, 0)), servers: map[string]bool{}}
}

func (w *world) add(config founders) *node {
	n := &node{w: w, number: image.BrokerID(len(w.nodes) + 1), config: config}
	w.nodes = append(w.nodes, n)
	w.groups = append(w.groups, 0)
	n.wipe()
	return n
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func (n *node) wipe() {
	n.w.lastDir++
	n.dir = &directory{id: fmt.Sprintf("%d@dir%d", n.number, n.w.lastDir)}
}

func (n *node) start() {
	l := &life{n: n}
	f := founding{founders: n.config}
	f.seat, f.gossip, f.ask, f.settle = l, l.gossip, l.ask, func(uuid.UUID) {}
	f.locate = func(image.BrokerID) (string, bool) { return "", false }
	f.unreached = func() []string { return n.unreached }
	f.logger, f.woken = slog.New(slog.DiscardHandler), make(chan struct{}, 1)
	l.founding = &f
	n.life = l
}

func (n *node) crash() {
	n.w.crashes++
	n.life.dead, n.life = true, nil
	if n.dir.volatile {
		n.dir.promised, n.dir.volatile = nil, false
	}
}

// step is one round of the node, unless it is in the midst of one.
func (n *node) step() {
	l := n.life
	if l == nil || n.stepping || l.done {
		return
	}
	n.stepping = true
	done, err := l.step(context.Background())
	n.stepping = false
	if err != nil && !l.dead {
		n.w.t.Errorf("node %d: %v", n.number, err)
	}
	l.done = done && !l.dead
}

// The seat.

func (l *life) Self() server {
	return server{ID: l.n.dir.id, Node: l.n.number, Addr: l.n.addr()}
}

func (l *life) ClusterID() uuid.UUID {
	if b := l.n.dir.begun; b != nil {
		return b.Cluster
	}
	return l.n.dir.joined
}

func (l *life) Bootstrapped() bool { return l.ClusterID() != uuid.Nil }

func (l *life) Promised() (uuid.UUID, []server, bool) {
	if p := l.n.dir.promised; p != nil {
		return p.Cluster, p.Set, true
	}
	return uuid.Nil, nil, false
}

// write is something durable: the process may crash before it and after it.
func (l *life) write(do func(*directory) error) error {
	w := l.n.w
	if l.dead {
		return errDown
	}
	if w.chaos && w.chance(4) {
		l.n.crash()
		return errDown
	}
	if err := do(l.n.dir); err != nil {
		return err
	}
	w.check()
	if w.chaos && w.chance(4) {
		l.n.crash()
		return errDown
	}
	return nil
}

func (l *life) Promise(cluster uuid.UUID, set []server) error {
	return l.write(func(d *directory) error {
		p := pact{cluster, slices.Clone(set)}
		switch {
		case d.promised != nil && !d.promised.equal(p), d.begun != nil, d.joined != uuid.Nil:
			return errors.New("another promise stands")
		}
		d.promised, d.volatile = &p, l.n.w.wrong.losesPromises
		return nil
	})
}

func (l *life) Bootstrap() error {
	return l.write(func(d *directory) error {
		if d.promised == nil {
			return errors.New("no promise")
		}
		if d.begun == nil {
			d.begun = d.promised
		}
		return nil
	})
}

func (l *life) Join(cluster uuid.UUID) error {
	return l.write(func(d *directory) error {
		if d.begun != nil || d.promised != nil {
			return errors.New("it has promised")
		}
		d.joined = cluster
		return nil
	})
}

// Leader is the first of the servers of the founding set that reaches most of them.
func (l *life) Leader() image.BrokerID {
	for _, n := range l.n.w.nodes {
		if n.life != nil && n.dir.begun != nil && n.leads() && l.n.w.reach(l.n, n) {
			return n.number
		}
	}
	return image.NoBroker
}

func (n *node) leads() bool {
	votes := 0
	for _, s := range n.dir.begun.Set {
		v := n.w.nodes[s.Node-1]
		if v.life != nil && v.dir.id == s.ID && v.dir.begun != nil && n.w.reach(n, v) {
			votes++
		}
	}
	return votes > len(n.dir.begun.Set)/2
}

func (l *life) AddServer(_ context.Context, s server) error {
	if l.dead || l.Leader() != l.n.number {
		return kerr.NotController
	}
	l.n.w.servers[s.ID] = true
	return nil
}

// The network.

func (w *world) reach(a, b *node) bool { return w.groups[a.number-1] == w.groups[b.number-1] }

// gossip is what a node has heard: of each that it reaches, or, in bad times, not of all, and old things.
func (l *life) gossip() (list []member.Info) {
	w := l.n.w
	for _, n := range w.nodes {
		if n == l.n || n.life == nil || !w.reach(l.n, n) || w.chaos && w.chance(10) {
			continue
		}
		i := member.Info{Node: n.number, Expect: n.config.expect, Cluster: n.life.ClusterID(), Server: n.dir.id, Addr: n.addr()}
		if w.chaos && w.chance(20) {
			i.Cluster = uuid.Nil
		}
		list = append(list, i)
	}
	return list
}

func (l *life) ask(ctx context.Context, addr string, q question) (reply, error) {
	w := l.n.w
	w.disturb()
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.addr() == addr })
	if l.dead || i < 0 || w.nodes[i].life == nil || !w.reach(l.n, w.nodes[i]) {
		return reply{}, errDown
	}
	to := w.nodes[i]
	if w.wrong.skipsOne && q.Kind == askPromise && to.number == q.Pact.Set[len(q.Pact.Set)-1].Node {
		return reply{Self: q.Pact.Set[len(q.Pact.Set)-1], OK: true}, nil
	}
	if w.chaos && w.chance(8) {
		if w.chance(50) {
			w.late = append(w.late, func() {
				if to.life != nil {
					to.life.answer(ctx, q)
				}
			})
		}
		return reply{}, context.DeadlineExceeded
	}
	life := to.life
	if d := to.dir; w.wrong.exchangesPromises && q.Kind == askPromise && d.begun == nil {
		d.promised = nil
	}
	a := life.answer(ctx, q)
	if life.dead || w.chaos && w.chance(8) {
		return reply{}, context.DeadlineExceeded
	}
	if p, ok := l.promised(); ok && w.wrong.believesIDs && a.Cluster == p.Cluster {
		a.Promised = &p
	}
	w.disturb()
	if l.dead {
		return reply{}, errDown
	}
	return a, nil
}

// disturb lets something happen now and then.
func (w *world) disturb() {
	if w.chaos && w.depth < 4 && w.chance(25) {
		w.depth++
		w.event()
		w.depth--
	}
}

func (w *world) event() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch k := w.rng.IntN(100); {
	case k < 50:
		n.step()
	case k < 58 && n.life != nil:
		n.crash()
	case k < 80 && n.life == nil:
		n.boot()
	case k < 84:
		for i := range w.groups {
			w.groups[i] = w.rng.IntN(2)
		}
	case k < 90:
		clear(w.groups)
	case k < 94 && len(w.late) > 0:
		i := w.rng.IntN(len(w.late))
		late := w.late[i]
		w.late = slices.Delete(w.late, i, i+1)
		late()
	case k < 97 && w.mayWipe(n):
		if n.life != nil {
			n.crash()
		}
		n.wipe()
	}
}

// boot starts a node, at another address now and then: initial voters have theirs written down.
func (n *node) boot() {
	if len(n.config.voters) == 0 && n.w.chance(15) {
		n.moves++
	}
	n.start()
}

// mayWipe says whether the disk of n may be lost without losing the cluster: nobody has promised to found one with it or
// is about to (that the disk of a node is lost between its first word and the promises of the others is for a person to
// mend), or the cluster is founded and has a majority without it. Where only safety is looked at, it may not have promised itself.
func (w *world) mayWipe(n *node) bool {
	if !w.wipes {
		return n.dir.promised == nil && n.dir.joined == uuid.Nil
	}
	p := w.founded()
	if p == nil {
		return len(w.late) == 0 && !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.dir.promised != nil || n.stepping })
	}
	left := 0
	for _, s := range p.Set {
		if d := w.nodes[s.Node-1].dir; d.id == s.ID && d.begun != nil && d != n.dir {
			left++
		}
	}
	return left > len(p.Set)/2
}

func (w *world) founded() *pact {
	for _, n := range w.nodes {
		if n.dir.begun != nil {
			return n.dir.begun
		}
	}
	return nil
}

// check is what must hold at every moment: one cluster, one first configuration, and everyone of it has promised it.
func (w *world) check() {
	p := w.founded()
	for _, n := range w.nodes {
		d := n.dir
		switch {
		case p == nil && d.joined != uuid.Nil:
			w.t.Errorf("node %d has joined %s, which nobody has founded", n.number, d.joined)
		case d.begun != nil && !d.begun.equal(*p):
			w.t.Errorf("two foundings: %s and %s", d.begun, p)
		case d.joined != uuid.Nil && d.joined != p.Cluster:
			w.t.Errorf("node %d has joined %s, and there is %s", n.number, d.joined, p.Cluster)
		}
	}
	if p == nil {
		return
	}
	for _, s := range p.Set {
		if d := w.nodes[s.Node-1].dir; d.id == s.ID && (d.promised == nil || !d.promised.equal(*p)) {
			w.t.Errorf("%s is founded without the promise of node %d", p, s.Node)
		}
	}
}

// heal ends the bad times: everything runs and reaches everything.
func (w *world) heal() {
	w.chaos = false
	clear(w.groups)
	for _, n := range w.nodes {
		if n.life == nil {
			n.boot()
		}
	}
	for _, late := range w.late {
		late()
	}
	w.late = nil
}

// settleAll gives every node rounds until all belong to a cluster, and says whether they do.
func (w *world) settleAll(rounds int) bool {
	for range rounds {
		all := true
		for _, n := range w.nodes {
			n.step()
			all = all && n.life.done
		}
		if all {
			return true
		}
	}
	return false
}
