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
	// soloTimeout is how soon a cluster of one stands for election: nobody's heartbeat can be late.
	soloTimeout = 20 * time.Millisecond

	// soloElection is when it gives an election up and stands anew. Its own vote is the only one, and comes when the disk
	// has it: giving up sooner than that would only write another vote.
	soloElection = 10 * time.Second

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
	c.ElectionTimeout = soloElection
	c.LeaderLeaseTimeout = soloTimeout
	c.SnapshotThreshold = snapshotAfter
	c.SnapshotInterval = snapshotInterval
	c.TrailingLogs = trailing
	c.NoSnapshotRestoreOnStart = true // restoreNewest has done it
	c.Logger = s.hclog
	return c
}

// transport listens at Bind. A cluster of one has one that nobody can reach.
func (s *starting) transport(who identity) (raft.Transport, func() error, error) {
	if s.Bind == "" {
		_, t := raft.NewInmemTransport(raft.ServerAddress(who.serverID()))
		return t, t.Close, nil
	}
	t, err := raft.NewTCPTransportWithConfig(s.Bind, nil, &raft.NetworkTransportConfig{
		MaxPool:         3,
		MaxRPCsInFlight: 1, // pipelining can wedge a follower (hashicorp/raft 612)
		Timeout:         10 * time.Second,
		Logger:          s.hclog,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listen for raft at %q: %w", s.Bind, err)
	}
	return t, t.Close, nil
}

func (s *starting) start(who identity, st *store) (*Log, error) {
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
	m, err := s.restoreNewest(st)
	if err != nil {
		return nil, err
	}
	trans, closeTransport, err := s.transport(who)
	if err != nil {
		return nil, err
	}
	s.opened(closeTransport)
	f := &fsm{views: newViews(m), failure: s.failure}
	changes := make(chan bool, 16)
	config := s.config(who)
	config.NotifyCh = changes
	r, err := s.newRaft(config, f, st, snapshots{files, saved, s.failure}, trans)
	if err != nil {
		return nil, err
	}
	whole := false
	s.opened(func() error {
		if !whole || s.failure.err() != nil {
			return nil
		}
		return noteReached(s.Dir, r, s.Logger)
	})
	s.opened(func() error { return r.Shutdown().Error() })
	l := &Log{log{identity: who, raft: r, fsm: f, failure: s.failure}}
	l.tenures = newTenures(r, changes, s.failure)
	l.batcher = newBatcher(r, s.failure)
	if err = s.replayed(l); err == nil {
		err = noteReached(s.Dir, r, s.Logger)
	}
	if err != nil {
		l.batcher.stop()
		l.tenures.stop()
		return nil, err
	}
	whole = true
	return l, nil
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
	for at := l.raft.AppliedIndex(); ; {
		select {
		case <-l.tenures.begun:
			return nil
		case <-s.failure.happened:
			return s.failure.err()
		case <-stuck.C:
			now := l.raft.AppliedIndex()
			if now == at {
				return fmt.Errorf("no leader, or nothing applied, for %s; entry %d was the last", startTimeout, at)
			}
			at = now
		}
	}
}

// restoreNewest is the image in the newest snapshot that is whole. One that is not is set aside, where raft does not see
// it: the entries that it held must then still be in the log, or this node does not start.
func (s *starting) restoreNewest(st *store) (*image.Image, error) {
	n, err := readNewest(s.Dir, st)
	if err != nil {
		return nil, err
	}
	if n.why != nil {
		s.Logger.Error("passing over damaged snapshots of the metalog", "error", n.why, "restored index", n.index,
			"moved to", filepath.Join(s.Dir, damagedDir))
	}
	return n.image, setAside(s.Dir, n.damaged)
}
