package metalog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"chronik/metalog/image"
)

// What the store keeps of how its node came to a cluster, beside what raft keeps.
var (
	// keyCluster is the cluster that this node belongs to: zero when the directory was begun to wait for one, missing in
	// directories that were begun as a cluster of one.
	keyCluster = []byte("ChronikCluster")

	// keyPromise is the set of servers with which this node has promised to found a cluster.
	keyPromise = []byte("ChronikPromise")
)

var (
	errBootstrapped = errors.New("this node belongs to a cluster already")
	errPromised     = errors.New("this node has promised to found another cluster")
)

// get is nil for a key that was never set.
func (s *store) get(key []byte) ([]byte, error) {
	b, err := s.Get(key)
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return nil, nil
	}
	return b, err
}

// cluster is the cluster that the store knows; begun says whether it was begun to wait for one.
func (s *store) cluster() (id uuid.UUID, begun bool, err error) {
	b, err := s.get(keyCluster)
	if err != nil || b == nil {
		return id, false, err
	}
	if id, err = uuid.FromBytes(b); err != nil {
		return id, false, s.failed(string(keyCluster), damage(err.Error()))
	}
	return id, true, nil
}

// promise is a founding set.
type promise struct {
	cluster uuid.UUID
	set     []Server
}

const promiseHead = "chronik promise 1\n"

// text is the promise as it stands in the store: lines that a person can read.
func (p promise) text() []byte {
	b := fmt.Appendf(nil, promiseHead+"cluster=%s\n", p.cluster)
	for _, s := range p.set {
		b = fmt.Appendf(b, "server=%s %s\n", s.ID, s.Addr)
	}
	return b
}

func parsePromise(b []byte) (p promise, err error) {
	body, ok := strings.CutPrefix(string(b), promiseHead+"cluster=")
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if !ok {
		return p, damage("it is of no version that is known here")
	}
	if p.cluster, err = uuid.Parse(lines[0]); err != nil {
		return p, damage(err.Error())
	}
	for _, line := range lines[1:] {
		id, addr, ok := strings.Cut(strings.TrimPrefix(line, "server="), " ")
		if !ok {
			return p, damage(fmt.Sprintf("%q names no server", line))
		}
		p.set = append(p.set, Server{ID: id, Node: brokerOf(raft.ServerID(id)), Addr: addr, Voter: true})
	}
	return p, nil
}

func (s *store) promise() (p promise, ok bool, err error) {
	b, err := s.get(keyPromise)
	if err != nil || b == nil {
		return p, false, err
	}
	if p, err = parsePromise(b); err != nil {
		return p, false, s.failed(string(keyPromise), err)
	}
	return p, true, nil
}

// checkSet sorts a founding set and refuses one that could not be a configuration.
func checkSet(self Server, set []Server) ([]Server, error) {
	set = slices.Clone(set)
	slices.SortFunc(set, func(a, b Server) int { return cmp.Or(cmp.Compare(a.Node, b.Node), strings.Compare(a.ID, b.ID)) })
	found := false
	for i := range set {
		s := &set[i]
		s.Voter = true
		found = found || s.ID == self.ID
		if s.Node == image.NoBroker || s.Node != brokerOf(raft.ServerID(s.ID)) || s.Addr == "" || strings.ContainsAny(s.ID+s.Addr, " \n") {
			return nil, fmt.Errorf("%q at %q is no server of node %d", s.ID, s.Addr, s.Node)
		}
		if i > 0 && (set[i-1].Node == s.Node) {
			return nil, fmt.Errorf("node %d is there twice", s.Node)
		}
	}
	if !found {
		return nil, fmt.Errorf("server %s itself is not in the set", self.ID)
	}
	return set, nil
}

func (p promise) configuration() raft.Configuration {
	var c raft.Configuration
	for _, s := range p.set {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(s.ID), Address: raft.ServerAddress(s.Addr)})
	}
	return c
}

// ClusterID is the cluster that this node belongs to: what it was told when it came to it, or what the image says.
// It is zero before that.
func (l *Log) ClusterID() uuid.UUID {
	l.founding.Lock()
	defer l.founding.Unlock()
	if l.cluster != uuid.Nil {
		return l.cluster
	}
	return l.Image().ClusterID()
}

// Bootstrapped says whether this node belongs to a cluster: it has a configuration of Raft, or waits for a leader of the
// cluster that it was told to join.
func (l *Log) Bootstrapped() bool {
	l.founding.Lock()
	defer l.founding.Unlock()
	return l.bootstrapped()
}

func (l *Log) bootstrapped() bool {
	return l.cluster != uuid.Nil || len(l.raft.GetConfiguration().Configuration().Servers) > 0
}

// Promise notes, for good before it returns, that this node will found that cluster with that set of servers and with no
// other. The same promise again is no error.
func (l *Log) Promise(cluster uuid.UUID, set []Server) error {
	l.founding.Lock()
	defer l.founding.Unlock()
	set, err := checkSet(l.Self(), set)
	if err != nil || cluster == uuid.Nil {
		return fmt.Errorf("promise to found cluster %s: %w", cluster, cmp.Or(err, errors.New("a cluster needs an id")))
	}
	was, ok, err := l.store.promise()
	if err != nil {
		return err
	}
	asked := promise{cluster, set}
	switch {
	case ok && was.cluster == cluster && slices.Equal(was.set, set):
		return nil
	case ok:
		return fmt.Errorf("promise to found cluster %s: %w, %s", cluster, errPromised, was.cluster)
	case l.bootstrapped():
		return fmt.Errorf("promise to found cluster %s: %w", cluster, errBootstrapped)
	}
	return l.store.Set(keyPromise, asked.text())
}

// Promised is the promise that stands.
func (l *Log) Promised() (cluster uuid.UUID, set []Server, ok bool) {
	p, ok, err := l.store.promise()
	if err != nil { // the log has failed
		return cluster, nil, false
	}
	return p.cluster, p.set, ok
}

// Bootstrap founds the cluster that was promised: every server of the set begins its log with the same entry. It is
// called when all of them have promised. A second time, or after a start that finished it, it does nothing.
func (l *Log) Bootstrap() error {
	l.founding.Lock()
	defer l.founding.Unlock()
	p, ok, err := l.store.promise()
	if err != nil {
		return err
	}
	if l.bootstrapped() {
		if ok && l.cluster == uuid.Nil {
			return l.belong(p.cluster) // the others have begun, and the first entry was faster than this call
		}
		return nil
	}
	if !ok {
		return errors.New("bootstrap: nothing was promised")
	}
	if err := l.belong(p.cluster); err != nil { // a start after a crash from here on writes the entry
		return err
	}
	err = l.failure.await(l.raft.BootstrapCluster(p.configuration()).Error)
	if errors.Is(err, raft.ErrCantBootstrap) && l.failure.err() == nil {
		return nil // the others have begun, and voting was the first that this one heard of it: they send the entry
	}
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	l.retime()
	return nil
}

// Join notes, for good before it returns, that this node belongs to that cluster, whose leader will add it.
func (l *Log) Join(cluster uuid.UUID) error {
	l.founding.Lock()
	defer l.founding.Unlock()
	p, ok, err := l.store.promise()
	switch {
	case err != nil:
		return err
	case cluster == uuid.Nil:
		return errors.New("join: a cluster needs an id")
	case l.cluster == cluster:
		return nil
	case ok && p.cluster != cluster:
		return fmt.Errorf("join cluster %s: %w, %s", cluster, errPromised, p.cluster)
	case l.bootstrapped():
		return fmt.Errorf("join cluster %s: %w, %s", cluster, errBootstrapped, l.cluster)
	}
	return l.belong(cluster)
}

func (l *Log) belong(cluster uuid.UUID) error {
	if err := l.store.Set(keyCluster, cluster[:]); err != nil {
		return err
	}
	l.cluster = cluster
	return nil
}

// finishFounding writes the first entry where a Bootstrap was cut short, and, without a network, where a directory that
// was begun to wait for a cluster is now to be one of its own. It runs before raft does.
func (s *starting) finishFounding(st *store, who identity) error {
	last, err := st.LastIndex()
	if err != nil || last > 0 {
		return err
	}
	if sent, err := st.get(keySent); err != nil || sent != nil {
		return err // a snapshot has taken the log's place, or will
	}
	cluster, begun, err := st.cluster()
	if err != nil || !begun {
		return err
	}
	p, promised, err := st.promise()
	switch {
	case err != nil:
		return err
	case promised && p.cluster == cluster:
		return st.found(p.configuration())
	case s.Net == nil && !promised && cluster == uuid.Nil:
		return st.found(aloneConfiguration(who))
	}
	return nil
}

// found puts a configuration where every server of it has it: entry 1 of term 1. The term may have gone on meanwhile, in
// votes.
func (s *store) found(c raft.Configuration) error {
	term, err := s.GetUint64([]byte(keyTerm))
	if known(err) != nil {
		return err
	}
	if term == 0 {
		if err := s.SetUint64([]byte(keyTerm), 1); err != nil {
			return err
		}
	}
	return s.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)})
}

// aloneConfiguration is that of a cluster of one which nobody reaches.
func aloneConfiguration(who identity) raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{ID: who.serverID(), Address: raft.ServerAddress(who.serverID())}}}
}
