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
	s := newStarting(o)
	return s.finish(s.open(between))
}

func newStarting(o Options) *starting {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &starting{Options: o, logger: &raftLogger{to: o.Logger}, failure: newFailure()}
	s.hclog = s.logger.hclog()
	return s
}

func (s *starting) finish(l *Log, err error) (*Log, error) {
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the metalog in %s: %w", s.Dir, err), s.undo())
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
	if err := s.lockDir(); err != nil {
		return nil, err
	}
	if _, err := s.beginStored(); err != nil {
		return nil, err
	}
	st, err := s.openStore(between)
	if err != nil {
		return nil, err
	}
	who, err := s.agreeStored(st)
	if err != nil {
		return nil, err
	}
	return s.start(who, st)
}

// lockDir keeps a second process out, also while the store is not there yet to be locked itself.
func (s *starting) lockDir() error {
	if s.NodeID < 0 {
		return fmt.Errorf("node id %d is negative", s.NodeID)
	}
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

// beginStored makes the store of a directory that nothing is in. It is put there before node.id, so that with node.id and
// without a store something has been lost. The identity is zero when there was a store.
func (s *starting) beginStored() (who identity, err error) {
	path := filepath.Join(s.Dir, storeFile)
	if err := s.refuse(recordsFile, "holds the metadata, without Raft: start with --file-metadata, "+
		"or run chronik cluster migrate-metadata --to raft"); err != nil {
		return who, err
	}
	if found, err := exists(path); found || err != nil {
		return who, err
	}
	if who, err = s.identityOfNew(storeFile); err != nil {
		return who, err
	}
	return who, s.begin(path, who)
}

// identityOfNew is who a directory is that begins, unless something says that file has been there.
func (s *starting) identityOfNew(file string) (who identity, err error) {
	for _, sign := range []string{identityFile, filepath.Join(snapshotsDir, "*"), reachedFile} {
		found, err := filepath.Glob(filepath.Join(s.Dir, sign))
		if err == nil && len(found) > 0 {
			err = damage(fmt.Sprintf("%s is missing although there are signs of use: %v", filepath.Join(s.Dir, file), found))
		}
		if err != nil {
			return who, err
		}
	}
	return mint(s.NodeID, s.Incarnation)
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

// agreeStored is agree with Raft's store.
func (s *starting) agreeStored(st *store) (identity, error) {
	stored, err := st.identity()
	if err != nil {
		return stored, err
	}
	last, err := st.LastIndex()
	if err != nil {
		return stored, err
	}
	return s.agree(stored, st.path, last > 1)
}

// agree holds node.id against what the store says, and against the node id that was asked for. A node.id that is not there is
// written again only when the log was not used yet: then it is the first start that was cut short.
func (s *starting) agree(stored identity, store string, used bool) (identity, error) {
	if stored.node != s.NodeID {
		return stored, fmt.Errorf("this directory belongs to node %d, not to node %d: "+
			"start it with node id %d, or give node %d a directory of its own", stored.node, s.NodeID, stored.node, s.NodeID)
	}
	file := filepath.Join(s.Dir, identityFile)
	if err := checkAgreed(file, stored, store, used); err != nil {
		return stored, err
	}
	if who, _, err := readIdentity(file); err != nil || who == stored {
		return stored, err
	}
	return stored, writeWhole(file, stored.text()) // it is not there, or Renew was cut short
}

// checkAgreed holds the file node.id against what the store says.
func checkAgreed(file string, stored identity, store string, used bool) error {
	who, known, err := readIdentity(file)
	switch {
	case err != nil:
		return err
	case !known && used:
		return damage(fmt.Sprintf("%s is missing although the log in %s was in use", file, store))
	case known && !stored.isOf(who):
		return damage(fmt.Sprintf("%s and %s are of different nodes (%s, %s)", file, store, who.serverID(), stored.serverID()))
	}
	return nil
}
