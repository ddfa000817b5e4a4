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
	if err != nil {
		return nil, err
	}
	found, m, err := s.restoreNewest(files, st)
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
	r, err := s.newRaft(config, f, st, snapshots{found, filepath.Join(s.Dir, snapshotsDir), s.failure}, trans)
	if err != nil {
		return nil, err
	}
	s.opened(func() error { return r.Shutdown().Error() })
	l := &Log{log{identity: who, raft: r, fsm: f, failure: s.failure}}
	l.tenures = newTenures(r, changes, s.failure)
	l.batcher = newBatcher(r, s.failure)
	if err := s.replayed(l); err != nil {
		l.batcher.stop()
		l.tenures.stop()
		return nil, err
	}
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

// restoreNewest reads the newest snapshot that is whole, and is the image in it. One that is not is passed over, and
// raft does not see it: the entries that it held must then still be in the log, or this node does not start.
func (s *starting) restoreNewest(files raft.SnapshotStore, st *store) (raft.SnapshotStore, *image.Image, error) {
	found, err := files.List()
	if err != nil {
		return nil, nil, err
	}
	m, index := image.Empty(), uint64(0)
	damaged := make(map[string]bool)
	var damage error
	for _, meta := range found {
		read, err := readSnapshot(files, meta)
		if err == nil {
			m, index = read, meta.Index
			break
		}
		damaged[meta.ID] = true
		damage = errors.Join(damage, fmt.Errorf("%s: %w", filepath.Join(s.Dir, snapshotsDir, meta.ID), err))
	}
	if err := continues(st, index); err != nil {
		return nil, nil, errors.Join(err, damage)
	}
	if damage != nil {
		s.Logger.Error("passing over damaged snapshots of the metalog", "error", damage, "restored index", index)
	}
	return undamaged{files, damaged}, m, nil
}

func readSnapshot(files raft.SnapshotStore, meta *raft.SnapshotMeta) (*image.Image, error) {
	_, from, err := files.Open(meta.ID)
	if err != nil {
		return nil, err
	}
	m, err := image.Read(from)
	if err = errors.Join(err, from.Close()); err != nil {
		return nil, err
	}
	if uint64(m.Index()) > meta.Index {
		return nil, fmt.Errorf("image of entry %d in the snapshot of entry %d: %w", m.Index(), meta.Index, image.ErrCorrupt)
	}
	return m, nil
}

// continues checks that the log goes on where the snapshot ends. raft would start without the entries in between.
func continues(st *store, snapshot uint64) error {
	first, err := st.FirstIndex()
	if err != nil {
		return err
	}
	if first > snapshot+1 || first == 0 && snapshot == 0 {
		return fmt.Errorf("%s begins with entry %d and the newest good snapshot ends with entry %d: entries are lost: %w",
			st.path, first, snapshot, image.ErrCorrupt)
	}
	return nil
}

// undamaged hides snapshots that cannot be read from raft.
type undamaged struct {
	raft.SnapshotStore
	damaged map[string]bool
}

func (u undamaged) List() ([]*raft.SnapshotMeta, error) {
	all, err := u.SnapshotStore.List()
	var good []*raft.SnapshotMeta
	for _, meta := range all {
		if !u.damaged[meta.ID] {
			good = append(good, meta)
		}
	}
	return good, err
}
