package metalog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/raft"
)

// unfinished ends the name of a snapshot's directory until all of it is there.
const unfinished = ".tmp"

// snapshots is raft's store of them. What its disk fails to do ends the log, as with the store of entries: raft would
// log it and try again, and a sync that failed once succeeds for nothing the next time. A full disk is lived through:
// the entries and the snapshots before are all there, and raft logs it and tries again in a while.
type snapshots struct {
	raft.SnapshotStore
	dir     string // that has a directory for each
	failure *failure
	store   *store

	sent func(index uint64) bool // whether the snapshot that is about to be made is a leader's; nil: none is
}

// Open is for the FSM, and for sending the snapshot to others.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, from, err := s.SnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	return m, openSnapshot{from, m}, nil
}

// openSnapshot is a snapshot that is being read; raft does not tell the FSM what it is otherwise.
type openSnapshot struct {
	io.ReadCloser
	meta *raft.SnapshotMeta
}

// Create begins a snapshot. That a leader sends it is noted in the store before there is anything of it: a store that does
// not know of it is older than the snapshot.
func (s *snapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	if s.sent != nil && s.sent(index) {
		there, err := s.List()
		if err != nil {
			return nil, s.failed(err)
		}
		if err := (raftStore{s.store}).noteSent(index, term, there); err != nil {
			return nil, err
		}
	}
	sink, err := s.SnapshotStore.Create(v, index, term, c, at, t)
	if err != nil {
		return nil, errors.Join(s.failed(err), s.failed(removeUnfinished(s.dir, fmt.Sprintf("%d-%d-", term, index))))
	}
	said := savedMeta{SnapshotMeta: raft.SnapshotMeta{
		Version: v, ID: sink.ID(), Index: index, Term: term, Configuration: c, ConfigurationIndex: at}}
	if err := writeSeal(filepath.Join(s.dir, sink.ID()+unfinished), said); err != nil {
		return nil, errors.Join(s.failed(err), snapshotSink{sink, s}.Cancel())
	}
	return snapshotSink{sink, s}, nil
}

func (s *snapshots) failed(err error) error {
	if err != nil && !outOfSpace(err) {
		s.failure.set(fmt.Errorf("snapshot: %w", err))
	}
	return err
}

// removeUnfinished removes what is left of snapshots that were not finished and whose names begin so: a disk that was full
// once would be filled by each of them.
func removeUnfinished(dir, prefix string) error {
	found, err := os.ReadDir(dir)
	for _, d := range found {
		if strings.HasPrefix(d.Name(), prefix) && strings.HasSuffix(d.Name(), unfinished) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, d.Name())))
		}
	}
	return err
}

func outOfSpace(err error) bool {
	if _, final := errors.AsType[*unsyncedNames](err); final {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// snapshotSink is a snapshot on its way to the disk.
type snapshotSink struct {
	raft.SnapshotSink
	to *snapshots
}

func (s snapshotSink) Write(b []byte) (int, error) {
	n, err := s.SnapshotSink.Write(b)
	return n, s.to.failed(err)
}

// Cancel leaves nothing behind. raft's own gives up before it removes the directory when state.bin could not be written.
func (s snapshotSink) Cancel() error {
	err := s.to.failed(s.SnapshotSink.Cancel())
	return errors.Join(err, s.to.failed(removeUnfinished(s.to.dir, s.ID())))
}

// Close also syncs the snapshot's own directory, before raft deletes the entries that the snapshot stands for: raft's
// store syncs the files and the directory above, which does not promise that the files have their names.
func (s snapshotSink) Close() error {
	err := s.SnapshotSink.Close()
	own := filepath.Join(s.to.dir, s.ID())
	if err == nil {
		return s.to.failed(syncNames(own))
	}
	if _, missing := os.Stat(own); missing == nil { // it has its name, so what failed is the sync of the directory above
		err = &unsyncedNames{err}
	}
	return errors.Join(s.to.failed(err), s.to.failed(removeUnfinished(s.to.dir, s.ID())))
}
