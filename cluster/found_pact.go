package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

// drive collects the promise of everyone, this node's own as the last, and then begins. It may be repeated at any time.
func (f *founding) drive(ctx context.Context, p pact) (bool, error) {
	for _, s := range p.Set {
		if s.Node == f.seat.Self().Node {
			continue
		}
		a, err := f.askServer(ctx, s, f.question(askPromise, p))
		switch {
		case err != nil:
			f.say("node %d does not answer to promise its part in founding: %v", s.Node, err)
			return false, nil
		case a.Self.ID != s.ID:
			f.say("node %d has another data directory than the one that is to found %s: unless that one comes back, "+
				"empty the data directories of all these nodes", s.Node, p)
			return false, nil
		case !a.OK:
			f.say("node %d refuses to promise its part in founding: %s", s.Node, a.Refusal)
			return false, nil
		}
	}
	why, err := f.begin(p)
	if err != nil {
		return false, err
	}
	if why != "" {
		f.say("this node itself cannot found the %s: %s", p, why)
		return false, nil
	}
	f.logger.Info("a cluster is founded", "cluster", FormatClusterID(p.Cluster), "nodes", names(p.Set))
	for _, s := range p.Set {
		if s.Node != f.seat.Self().Node {
			if _, err := f.askServer(ctx, s, f.question(askFound, p)); err != nil { // it will ask, and hear
				f.logger.Info("a founding node has not heard yet that the cluster is founded", "node", s.Node, "error", err)
			}
		}
	}
	return true, nil
}

// begin is this node's own promise, and the founding.
func (f *founding) begin(p pact) (why string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if why := f.promise(p); why != "" {
		return why, nil
	}
	return "", f.bootstrap()
}

// promise is this node's; the caller holds f.mu. It returns why not.
func (f *founding) promise(p pact) (why string) {
	if mine, ok := f.promised(); ok {
		if mine.equal(p) {
			return ""
		}
		return fmt.Sprintf("it has promised to found the %s: unless that exists, empty its data directory", mine)
	}
	if f.seat.Bootstrapped() {
		return fmt.Sprintf("it belongs to cluster %s", FormatClusterID(f.seat.ClusterID()))
	}
	if err := f.seat.Promise(p.Cluster, p.Set); err != nil {
		return err.Error()
	}
	return ""
}

// bootstrap begins the cluster that is promised; the caller holds f.mu and knows that all have promised.
func (f *founding) bootstrap() error {
	if f.seat.Bootstrapped() {
		return nil
	}
	if err := f.seat.Bootstrap(); err != nil {
		return err
	}
	f.joined()
	return nil
}

// joined tells that this node belongs to a cluster now.
func (f *founding) joined() {
	f.tell()
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// keep is for a node that has promised: it waits for the word, asks whether it has missed it, and founds if that is its part.
func (f *founding) keep(ctx context.Context, p pact) (bool, error) {
	for _, s := range p.Set {
		if s.Node == f.seat.Self().Node {
			continue
		}
		if a, err := f.askServer(ctx, s, f.question(askWho, p)); err == nil && founded(a, p) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return true, f.bootstrap()
		}
	}
	if p.founder() == f.seat.Self().Node {
		return f.drive(ctx, p)
	}
	why := fmt.Sprintf("this node has promised to found the %s: waiting for node %d", p, p.founder())
	for _, i := range f.gossip() {
		if i.Cluster != uuid.Nil && i.Cluster != p.Cluster {
			why += fmt.Sprintf("; node %d (%s) belongs to another cluster, %s: if this node is to join that one, empty its data directory",
				i.Node, i.Addr, FormatClusterID(i.Cluster))
			break
		}
	}
	f.say("%s", why)
	return false, nil
}

// founded says whether the answer proves that all have promised p: the node has begun it. An id that the operator has set
// says nothing of who founded the cluster; one that was minted for the set does.
func founded(a reply, p pact) bool {
	if a.Cluster == uuid.Nil || a.Cluster != p.Cluster {
		return false
	}
	return p.Cluster == mintedFor(p.Set) || a.Promised != nil && a.Promised.equal(p)
}

// askServer asks a founding node where gossip sees it, since it may have another address by now.
func (f *founding) askServer(ctx context.Context, s server, q question) (reply, error) {
	addr := s.Addr
	for _, i := range f.gossip() {
		if i.Server == s.ID {
			addr = i.Addr
		}
	}
	return f.ask(ctx, addr, q)
}

// place is a node that belongs to a cluster.
type place struct {
	cluster uuid.UUID
	addr    string
}

// clusters is where gossip sees clusters.
func (f *founding) clusters() (list []place) {
	for _, i := range f.gossip() {
		if i.Cluster != uuid.Nil {
			list = append(list, place{i.Cluster, i.Addr})
		}
	}
	return list
}

// joinVoters is for a node that is not among the initial voters: one of them may belong to a cluster.
func (f *founding) joinVoters(ctx context.Context) (bool, error) {
	for _, v := range f.voters {
		if a, err := f.ask(ctx, v.Addr, f.question(askWho, pact{})); err == nil && a.Cluster != uuid.Nil {
			return f.join(ctx, []place{{a.Cluster, v.Addr}})
		}
	}
	f.say("waiting for one of the initial voters to belong to a cluster; this node is none of them: %s", names(f.voterSet()))
	return false, nil
}

// join asks for admission where a cluster is.
func (f *founding) join(ctx context.Context, where []place) (bool, error) {
	for _, w := range where {
		switch {
		case f.configured != uuid.Nil && w.cluster != f.configured:
			f.say("the node at %s belongs to cluster %s, and cluster-id is %s here: mend the setting, or join other nodes",
				w.addr, FormatClusterID(w.cluster), FormatClusterID(f.configured))
			return false, nil
		case w.cluster != where[0].cluster:
			f.say("there are two clusters, %s (%s) and %s (%s): set cluster-id to the one that this node is to join",
				FormatClusterID(w.cluster), w.addr, FormatClusterID(where[0].cluster), where[0].addr)
			return false, nil
		}
	}
	var why string
	for _, w := range where {
		a, err := f.ask(ctx, w.addr, f.question(askAdmit, pact{}))
		switch {
		case err != nil:
			why = err.Error()
		case !a.OK:
			why = fmt.Sprintf("%s says: %s", w.addr, a.Refusal)
		case a.Cluster != w.cluster:
			why = fmt.Sprintf("%s now says that it belongs to cluster %s", w.addr, FormatClusterID(a.Cluster))
		default:
			return f.enter(w.cluster)
		}
	}
	f.say("cluster %s has not let this node in yet: %s", FormatClusterID(where[0].cluster), why)
	return false, nil
}

// enter takes the place that this node was given, unless it has promised another cluster's founding in the meantime.
func (f *founding) enter(cluster uuid.UUID) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.promised(); ok || f.seat.Bootstrapped() {
		return false, nil
	}
	if err := f.seat.Join(cluster); err != nil {
		return false, err
	}
	f.joined()
	return true, nil
}

// sees says why this node would not found a cluster with that set, whose ids may be missing; "" if it would.
func (f *founding) sees(set []server) string {
	if f.rejoins {
		return "it has belonged to a cluster, and founds no other"
	}
	self := f.seat.Self()
	if !slices.ContainsFunc(set, func(s server) bool { return s.Node == self.Node && (s.ID == "" || s.ID == self.ID) }) {
		return fmt.Sprintf("node %d with this data directory is not among %s", self.Node, names(set))
	}
	if len(f.voters) > 0 {
		return f.seesVoters(set)
	}
	if f.expect == 0 {
		return "it was told to join a cluster, not to found one"
	}
	mine, why := f.expected()
	if why == "" && !sameServers(mine, set) {
		why = fmt.Sprintf("it sees other nodes than %s: %s", names(set), names(mine))
	}
	return why
}

func (f *founding) seesVoters(set []server) string {
	mine := f.voterSet()
	same := func(a, b server) bool { return a.Node == b.Node && a.Addr == b.Addr }
	if !slices.EqualFunc(mine, set, same) {
		return fmt.Sprintf("its initial-voters are others than %s: %s", names(set), names(mine))
	}
	return ""
}

// addrOf finds a broker: where it is registered, or where gossip sees it.
func (f *founding) addrOf(node image.BrokerID) (string, bool) {
	if addr, ok := f.locate(node); ok {
		return addr, true
	}
	for _, i := range f.gossip() {
		if i.Node == node && i.Cluster == f.seat.ClusterID() {
			return i.Addr, true
		}
	}
	return "", false
}
