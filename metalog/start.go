package metalog

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

const (
	// soloTimeout is how soon a cluster of one without a network stands for election: nobody's heartbeat can be late.
	soloTimeout = 20 * time.Millisecond

	// soloElection is when the only voter gives an election up and stands anew. Its own vote is the only one, and comes
	// when the disk has it: giving up sooner than that would only write another vote.
	soloElection = 10 * time.Second

	// clusterTimeout is how long voters wait for a heartbeat, for votes, and for the others' answers when they lead.
	clusterTimeout = 300 * time.Millisecond

	// A snapshot is made when more entries than snapshotAfter have come since the last one, looked at every
	// snapshotInterval to twice that; that bounds the replay at start.
	snapshotAfter    = 8192
	snapshotInterval = 15 * time.Second

	// trailing is how many entries stay behind a snapshot: enough that the snapshot before it is of use too.
	trailing        = 10240
	snapshotsToKeep = 2
)

func (s *starting) config(who identity) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = who.serverID()
	c.HeartbeatTimeout = soloTimeout
	if s.Net != nil {
		c.HeartbeatTimeout = clusterTimeout
	}
	c.ElectionTimeout = soloElection // retime changes it
	c.LeaderLeaseTimeout = c.HeartbeatTimeout
	c.MaxAppendEntries = maxAppendEntries
	c.SnapshotThreshold = snapshotAfter
	c.SnapshotInterval = snapshotInterval
	c.TrailingLogs = trailing
	if s.trailing > 0 {
		c.TrailingLogs = s.trailing
	}
	if s.silence > 0 {
		c.CommitTimeout = s.silence
	}
	c.NoSnapshotRestoreOnStart = true // restoreNewest has done it
	c.Logger = s.hclog
	return c
}

func (s *starting) start(who identity, st *store) (*Log, error) {
	files, err := s.openSnapshots(st)
	if err != nil {
		return nil, err
	}
	if err := s.finishFounding(st, who); err != nil {
		return nil, fmt.Errorf("finish the founding of the cluster: %w", err)
	}
	n, err := s.restoreNewest(st)
	if err != nil {
		return nil, err
	}
	l := &Log{log{
		identity: who, failure: s.failure, store: st, net: s.Net, logger: s.Logger, was: n.was, dir: s.Dir,
		changing: make(chan struct{}, 1), patience: clusterTimeout,
		fsm: &fsm{views: newViews(n.image, n.index), failure: s.failure},
	}}
	l.incarnation.Store(&who.incarnation)
	if l.cluster, _, err = st.cluster(); err != nil {
		return nil, err
	}
	l.fsm.servers.Store(n.servers)
	stops := func(id image.BrokerID) bool {
		b, ok := l.fsm.views.image.Load().Broker(id)
		return ok && b.ShuttingDown
	}
	s.logger.stops.Store(&stops)
	trans, link := s.transport(l)
	if link != nil {
		files.sent = link.sentSnapshot
		if n.sent {
			link.installed = raft.Log{Index: n.index, Term: n.term}
		}
	}
	changes := make(chan bool, 16)
	config := s.config(who)
	config.NotifyCh = changes
	if l.raft, err = s.newRaft(config, l.fsm, st, files, trans); err != nil {
		return nil, err
	}
	l.engine = l.raft
	s.opened(func() error { return s.shutdown(l, link) })
	return l, s.run(l, link, changes)
}

// run starts what stands on raft. What it has started when it fails, or when the log is closed, stops before raft does.
func (s *starting) run(l *Log, link *transport, changes <-chan bool) error {
	servers := l.raft.GetConfiguration().Configuration().Servers
	if s.Net == nil && !onlyVoter(servers, l.identity.serverID()) {
		return fmt.Errorf("this directory belongs to a cluster of several nodes, or to none yet: start it with --join and the cluster's key (%v)", servers)
	}
	retime := l.retime
	retime()
	l.fsm.changed.Store(&retime)
	return s.serve(l, link, changes)
}

// serve starts what goes by the engine.
func (s *starting) serve(l *Log, link *transport, changes <-chan bool) error {
	l.lead = newLeadership(l.engine)
	s.opened(func() error { l.lead.stop(); return nil })
	if l.raft != nil {
		l.lead.call(l.retime)
		heard := func() {
			if l.lead.leader() != "" {
				s.logger.led.Store(true)
			}
		}
		l.lead.call(heard)
		heard() // who was heard of before that
	}
	var told *herald
	if link != nil {
		told = newHerald(l.raft, link)
		link.start(l.raft, onlyVoter(l.raft.GetConfiguration().Configuration().Servers, l.identity.serverID()))
		l.lead.call(link.note)
		link.note() // who was heard of before that
		l.courier = newCourier(l.identity.node, s.Net, l.book, l.lead, l.raft)
		l.lead.call(l.courier.moved)
		s.opened(func() error { l.courier.stop(); return nil })
	}
	l.tenures = newTenures(l.engine, l.lead, &reads{raft: l.engine, store: raftStore{l.store}, views: l.fsm.views}, changes, s.failure)
	s.opened(func() error { l.tenures.stop(); return nil })
	l.batcher = newBatcher(l.engine, l.lead, l.courier, told, l.fsm.views, s.failure)
	s.opened(func() error { l.batcher.stop(); return nil })
	if link != nil {
		d := newDesk(s.Net.Listen(proposeStream), l.batcher, l.tenures, s.Logger)
		s.opened(d.stop)
	} else if err := s.replayed(l); err != nil {
		return err
	}
	if err := l.note(); err != nil {
		return err
	}
	l.whole.Store(true)
	return nil
}

// transport listens on the network. A cluster of one without any has one that nobody can reach.
func (s *starting) transport(l *Log) (raft.Transport, *transport) {
	if s.Net == nil {
		_, t := raft.NewInmemTransport(raft.ServerAddress(l.identity.serverID()))
		s.opened(t.Close)
		return t, nil
	}
	l.book = newBook(l.fsm.views)
	t := newTransport(newStreams(s.Net, l.identity.serverID(), l.book, s.Logger), s.hclog)
	l.link = t
	s.opened(func() error { err := t.shut(); t.wait(); return err })
	watch, ended := make(chan struct{}), make(chan struct{})
	go func() { // a failed node falls silent: others would wait for it
		defer close(ended)
		select {
		case <-s.failure.happened:
			_ = t.shut() // the failure says what matters
		case <-watch:
		}
	}()
	s.opened(func() error { close(watch); <-ended; return nil })
	return t, t
}

// shutdown ends raft, whose requests to others end with their connections.
func (s *starting) shutdown(l *Log, link *transport) error {
	down := l.raft.Shutdown()
	var err error
	if link != nil {
		err = link.shut()
	}
	if err = errors.Join(err, down.Error()); err == nil && l.whole.Load() && s.failure.err() == nil {
		err = l.note()
	}
	return err
}

func onlyVoter(servers []raft.Server, self raft.ServerID) bool {
	voters := 0
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters++
			if s.ID != self {
				return false
			}
		}
	}
	return voters == 1
}

// retime has the only voter wait for its own vote for longer than a voter among others waits for theirs.
func (l *Log) retime() {
	l.timing.Lock()
	defer l.timing.Unlock()
	config := l.raft.ReloadableConfig()
	election := l.patience
	if l.net == nil || onlyVoter(l.raft.GetConfiguration().Configuration().Servers, l.identity.serverID()) {
		election = soloElection
	}
	if config.ElectionTimeout == election {
		return
	}
	config.ElectionTimeout = election
	if err := l.raft.ReloadConfig(config); err != nil {
		l.failure.set(fmt.Errorf("change raft's timers: %w", err))
	}
}

// openSnapshots opens raft's store of them.
func (s *starting) openSnapshots(st *store) (*snapshots, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(s.Dir, snapshotsToKeep, s.hclog)
	if err == nil {
		err = syncFile(s.Dir) // the directory of the snapshots may be new
	}
	saved := filepath.Join(s.Dir, snapshotsDir)
	if err == nil {
		err = removeUnfinished(saved, "")
	}
	if err != nil {
		return nil, err
	}
	return &snapshots{SnapshotStore: files, dir: saved, failure: s.failure, store: st}, nil
}

// newRaft is raft.NewRaft in a goroutine of its own, because a failing store ends the goroutine that calls it, and
// because NewRaft panics when an entry is missing.
func (s *starting) newRaft(c *raft.Config, f *fsm, st *store, snaps raft.SnapshotStore, trans raft.Transport) (r *raft.Raft, err error) {
	ended := make(chan struct{})
	err = errors.New("raft did not start")
	go func() {
		defer close(ended)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%s: %v: %w", st.path, p, image.ErrCorrupt)
			}
		}()
		r, err = raft.NewRaft(c, f, raftStore{st}, raftStore{st}, snaps, trans)
	}()
	<-ended
	if failed := s.failure.err(); failed != nil {
		err = failed
	}
	return r, err
}

// replayed waits for the first tenure, whose barrier comes after all that the log holds. A long log on a slow machine
// may take its time; one that does not get on is given up.
func (s *starting) replayed(l *Log) error {
	stuck := time.NewTicker(startTimeout)
	defer stuck.Stop()
	for at := l.engine.AppliedIndex(); ; {
		select {
		case <-l.tenures.begun:
			return nil
		case <-s.failure.happened:
			return s.failure.err()
		case <-stuck.C:
			now := l.engine.AppliedIndex()
			if now == at {
				return fmt.Errorf("no leader, or nothing applied, for %s; entry %d was the last", startTimeout, at)
			}
			at = now
		}
	}
}

// restoreNewest reads the newest snapshot that is whole. One that is not is set aside, where raft does not see it: the
// entries that it held must then still be in the log, or this node does not start. A log that a leader's snapshot has
// taken the place of is deleted, where a crash came before that.
func (s *starting) restoreNewest(st *store) (newest, error) {
	n, err := readNewest(s.Dir, st)
	if err != nil {
		return n, err
	}
	if n.why != nil {
		s.Logger.Error("passing over damaged snapshots of the metalog", "error", n.why, "restored index", n.index,
			"moved to", filepath.Join(s.Dir, damagedDir))
	}
	if n.stale {
		if err := st.clear(); err != nil {
			return n, err
		}
	}
	return n, setAside(s.Dir, n.damaged)
}
