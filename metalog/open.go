package metalog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
)

// The files of a directory; raft adds "snapshots".
const (
	lockFile     = "lock"
	storeFile    = "raft.db"
	identityFile = "node.id"
	snapshotsDir = "snapshots"
)

// keyIdentity is where the store keeps the identity.
var keyIdentity = []byte("ChronikIdentity")

// startTimeout bounds how long a start may go without any progress: this node, the only voter, leads within tens of
// milliseconds and then replays the log.
const startTimeout = 60 * time.Second

// open is Open with something between the store and its file, when between is not nil.
func open(o Options, between func(backend) backend) (*Log, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &starting{Options: o, logger: &raftLogger{to: o.Logger}, failure: newFailure()}
	s.hclog = s.logger.hclog()
	l, err := s.open(between)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the metalog in %s: %w", o.Dir, err), s.undo())
	}
	s.logger.settled.Store(true)
	l.close = sync.OnceValue(s.undo)
	return l, nil
}

// starting gathers what Open opens, so that it can be closed in reverse order.
type starting struct {
	Options
	logger  *raftLogger
	hclog   hclog.Logger
	failure *failure
	closers []func() error
}

func (s *starting) opened(close func() error) { s.closers = append(s.closers, close) }

func (s *starting) undo() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}

func (s *starting) open(between func(backend) backend) (*Log, error) {
	if s.NodeID < 0 {
		return nil, fmt.Errorf("node id %d is negative", s.NodeID)
	}
	if err := s.lockDir(); err != nil {
		return nil, err
	}
	who, err := s.identify()
	if err != nil {
		return nil, err
	}
	st, err := s.openStore(between)
	if err != nil {
		return nil, err
	}
	if who, err = s.agree(st, who); err != nil {
		return nil, err
	}
	return s.start(who, st)
}

// lockDir keeps a second process out, also while the store is not there yet to be locked itself.
func (s *starting) lockDir() error {
	if err := makeDir(filepath.Clean(s.Dir)); err != nil {
		return err
	}
	if err := syncFile(filepath.Dir(s.Dir)); err != nil {
		return err
	}
	f, err := lock(s.Dir)
	if err == nil {
		s.opened(f.Close)
	}
	return err
}

// makeDir is os.MkdirAll, and what it makes is still there after a power cut: also the data directory around this one,
// in which others keep what they acknowledge.
func makeDir(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncFile(parent)
}

// identify reads node.id, or begins a directory that nothing is in. The store is put there before node.id, so that with
// node.id and without a store something has been lost. The identity is zero when only the store knows it.
func (s *starting) identify() (identity, error) {
	path := filepath.Join(s.Dir, storeFile)
	who, known, err := readIdentity(filepath.Join(s.Dir, identityFile))
	if err != nil {
		return who, err
	}
	_, err = os.Stat(path)
	switch {
	case err == nil:
		return who, nil
	case !errors.Is(err, os.ErrNotExist):
		return who, err
	case known:
		return who, damage(fmt.Sprintf("%s is missing although %s says that this directory was in use", path, identityFile))
	}
	for _, sign := range []string{filepath.Join(snapshotsDir, "*"), reachedFile} {
		if found, err := filepath.Glob(filepath.Join(s.Dir, sign)); err != nil || len(found) > 0 {
			return who, errors.Join(err, damage(fmt.Sprintf("%s is missing although there are signs of use: %v", path, found)))
		}
	}
	if who, err = mint(s.NodeID, s.Incarnation); err != nil {
		return who, err
	}
	return who, s.begin(path, who)
}

// begin makes the store with the identity in it, and gives it its name when that is on disk. Without a network the first
// configuration of Raft is in it too.
func (s *starting) begin(path string, who identity) error {
	return beginStore(path, func(st *store) error {
		err := st.Set(keyIdentity, who.text())
		if err == nil && s.Net == nil {
			err = st.found(aloneConfiguration(who))
		} else if err == nil {
			err = st.Set(keyCluster, uuid.Nil[:])
		}
		return err
	})
}

// beginStore makes a store and gives it its name when what fill puts into it is on disk.
func beginStore(path string, fill func(*store) error) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	bolt, err := openBolt(tmp, false)
	if err != nil {
		return fmt.Errorf("%s: %w", tmp, err)
	}
	st := &store{path: tmp, under: bolt, failure: newFailure()}
	if err = errors.Join(fill(st), st.Close()); err != nil {
		return err
	}
	if err := syncFile(tmp); err != nil {
		return err
	}
	return install(tmp, path)
}

func (s *starting) openStore(between func(backend) backend) (*store, error) {
	path := filepath.Join(s.Dir, storeFile)
	if err := checkBolt(path); err != nil {
		return nil, err
	}
	var under backend
	err := guard(func() (err error) { under, err = openBolt(path, false); return err })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if between != nil {
		under = between(under)
	}
	st := &store{path: path, under: under, failure: s.failure, watch: s.Watch}
	s.opened(st.Close)
	return st, nil
}

// agree holds node.id against the store and against the node id that was asked for. A node.id that is not there is
// written again only when the log holds nothing but its beginning: then it is the first start that was cut short.
func (s *starting) agree(st *store, who identity) (identity, error) {
	file := filepath.Join(s.Dir, identityFile)
	stored, err := st.identity()
	if err != nil {
		return who, err
	}
	if stored.node != s.NodeID {
		return who, fmt.Errorf("this directory belongs to node %d, not to node %d: "+
			"start it with node id %d, or give node %d a directory of its own", stored.node, s.NodeID, stored.node, s.NodeID)
	}
	_, err = os.Stat(file)
	if err == nil {
		if stored.isOf(who) && stored != who { // Renew was cut short
			return stored, writeWhole(file, stored.text())
		}
		if stored != who {
			return who, damage(fmt.Sprintf("%s and %s are of different nodes (%s, %s)", file, st.path, who.serverID(), stored.serverID()))
		}
		return who, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return who, err
	}
	last, err := st.LastIndex()
	if err != nil {
		return who, err
	}
	if last > 1 {
		return who, damage(fmt.Sprintf("%s is missing although the log in %s was in use", file, st.path))
	}
	return stored, writeWhole(file, stored.text())
}
