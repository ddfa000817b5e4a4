package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"

	"chronik/cluster/controller"
	"chronik/metalog"
	"chronik/metalog/image"
)

// recoveringDir is a metadata log that is about to take the place of the one beside it.
const recoveringDir = "metalog.recovering"

// Survivor is the data directory of a stopped node whose cluster has lost its quorum for good. No other process can use the
// directory until Close.
type Survivor struct {
	*metalog.Survey
	Resumed bool // a recovery was cut short in the last step, and is finished now: there is nothing left to do

	dir     string
	note    *metalog.Run
	release func() error
}

// Survive looks at the data directory of a stopped node. It changes nothing, unless a recovery was cut short when the old
// metadata log had been moved away: the one that was to take its place takes it.
func Survive(dir string) (s *Survivor, err error) {
	s = &Survivor{dir: dir}
	if s.Resumed, err = resumeRecovery(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "metalog")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s is no data directory of a node: %w", dir, err)
	}
	if s.release, err = metalog.Lock(path); err != nil {
		return nil, fmt.Errorf("stop the node first: %w", err)
	}
	if s.Survey, err = metalog.Examine(path); err == nil {
		s.note, err = metalog.ReadRun(filepath.Join(dir, runFile))
		if errors.Is(err, image.ErrCorrupt) {
			s.note, err = nil, nil // the node's next start says so
		}
	}
	if err == nil && s.Cluster == uuid.Nil {
		err = fmt.Errorf("%s belongs to no cluster yet: there is nothing to recover", dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// resumeRecovery makes the last step of a recovery that was cut short before it.
func resumeRecovery(dir string) (done bool, err error) {
	if cut, err := recoveryCutShort(dir); !cut || err != nil {
		return false, err
	}
	return true, installRecovered(dir)
}

// recoveryCutShort says whether the metadata log is missing because a recovery was about to replace it.
func recoveryCutShort(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, "metalog")); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	_, err := os.Stat(filepath.Join(dir, recoveringDir, "node.id")) // what is written last
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// checkRecovery refuses a start between the two last steps of a recovery: it would begin a new metadata log. What one has
// left that came less far is removed: the node goes on as it was, and should its metadata log be lost one day, nothing may
// make it the only voter of a cluster that lives.
func checkRecovery(dir string) error {
	cut, err := recoveryCutShort(dir)
	if err != nil {
		return err
	}
	if cut {
		return fmt.Errorf("the metadata log in %s was about to be replaced, and that was cut short: run chronik cluster recover, or migrate-metadata, again", dir)
	}
	fresh := filepath.Join(dir, recoveringDir)
	if _, err := os.Stat(fresh); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	release, err := metalog.Lock(filepath.Join(dir, "metalog")) // else one is under way
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there is no log yet, and half of one never takes its place
	}
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(fresh), syncDir(dir), release())
}

func installRecovered(dir string) error {
	if err := os.Rename(filepath.Join(dir, recoveringDir), filepath.Join(dir, "metalog")); err != nil {
		return err
	}
	return syncDir(dir)
}

// Addresses is where others of the cluster were reached, by the metadata and by the note of the node's last run.
func (s *Survivor) Addresses() (addrs []string) {
	seen := map[string]bool{}
	add := func(addr string) {
		if addr != "" && !seen[addr] {
			seen[addr] = true
			addrs = append(addrs, addr)
		}
	}
	for _, addr := range others(s.Image, s.Self.Node) {
		add(addr)
	}
	for _, other := range s.Servers {
		if other.Node != s.Self.Node && other.Addr != other.ID {
			add(other.Addr)
		}
	}
	if s.note != nil {
		for _, addr := range s.note.Peers {
			add(addr)
		}
	}
	return addrs
}

// Recover has the node be the only voter when it starts again, with the metadata as it is here; see controller.PlanRecovery for
// what becomes of the others. The metadata log as it was is kept under damaged/. A crash at any point leaves the one or the
// other, or what only Survive goes on with.
func (s *Survivor) Recover(logger *slog.Logger) error {
	return s.recover(logger, func(string) error { return nil })
}

// recover tells what it is about to do next.
func (s *Survivor) recover(logger *slog.Logger, next func(step string) error) error {
	recs, err := controller.PlanRecovery(s.Image, s.Self.Node, uuid.New)
	if err != nil {
		return fmt.Errorf("plan the recovery: %w", err)
	}
	return s.replaceLog(logger, func(fresh string) error { return s.Survey.Recover(fresh, recs) }, next)
}

// Migrate has the node keep its metadata in a file of its own, without Raft, or in Raft's store, from its next start on. It
// must be alone. What was there is kept under damaged/; a crash leaves what one of Recover's leaves.
func (s *Survivor) Migrate(file bool, logger *slog.Logger) error {
	if !s.Alone() {
		return fmt.Errorf("node %d of %s is one of several (%s): their metadata is agreed on by Raft, and nothing else will do; "+
			"remove the others first, with chronik cluster decommission", s.Self.Node, s.dir, s.company())
	}
	return s.replaceLog(logger, func(fresh string) error { return s.Move(fresh, file) }, func(string) error { return nil })
}

// company is the nodes that the node is one of.
func (s *Survivor) company() string {
	nodes := map[image.BrokerID]bool{}
	for _, b := range s.Image.Brokers() {
		nodes[b.ID] = true
	}
	for _, other := range s.Servers {
		nodes[other.Node] = true
	}
	return fmt.Sprint(slices.Sorted(maps.Keys(nodes)))
}

// replaceLog puts what write makes of it in the place of the metadata log.
func (s *Survivor) replaceLog(logger *slog.Logger, write, next func(string) error) error {
	fresh := filepath.Join(s.dir, recoveringDir)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"remove what an earlier attempt has left", func() error { return os.RemoveAll(fresh) }},
		{"write the new metadata log", func() error { return write(fresh) }},
		{"set the old one aside", func() error { return setAside(Options{Dir: s.dir, Logger: logger}, "metalog") }},
		{"put the new one in its place", func() error { return installRecovered(s.dir) }},
	} {
		err := next(step.name)
		if err == nil {
			err = step.do()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// Close lets the directory go.
func (s *Survivor) Close() error { return s.release() }
