package wal

import (
	"fmt"
	"time"

	"chronik/wal/vfs"
)

// syncing is the goroutine of SyncInterval.
func (l *Log) syncing() {
	defer l.tasks.Done()
	tick := time.NewTicker(l.opt.SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := l.syncDirty(); err != nil {
				l.fail(err)
				return
			}
		case <-l.stop:
			return
		}
	}
}

// Sync makes durable all that a Sink was told of. With SyncAlways it is.
func (l *Log) Sync() error {
	if l.opt.Sync == SyncAlways {
		return nil
	}
	err := l.syncDirty()
	if err != nil {
		l.fail(err)
	}
	return err
}

// syncDirty makes durable what was written before the call. One call at a time: another one could find a file clean
// that the first has yet to sync.
func (l *Log) syncDirty() error {
	l.dirty.Lock()
	defer l.dirty.Unlock()
	if l.syncErr != nil {
		return l.syncErr
	}
	written := l.written.Load()
	for _, f := range l.files.takeDirty() {
		if l.syncErr == nil { // else the others only need their release
			l.syncErr = syncFile(f)
		}
		f.Release()
	}
	if l.syncErr == nil {
		l.durable.Store(max(written, l.durable.Load()))
	}
	return l.syncErr
}

func syncFile(f *file) error {
	if err := f.f.Sync(); err != nil {
		return &failure{fmt.Errorf("sync %s: %w", f.name, err)}
	}
	return nil
}

// takeDirty returns the files to sync, each with a reference.
func (s *files) takeDirty() []*file {
	s.mu.Lock()
	defer s.mu.Unlock()
	var dirty []*file
	for _, f := range s.list {
		if f.dirty {
			f.dirty = false
			f.refs.Add(1)
			dirty = append(dirty, f)
		}
	}
	return dirty
}

// directory is the log's file system; its FS is a vfs.Final.
type directory struct{ vfs.FS }

// SyncDir syncs the only directory there is.
func (d directory) SyncDir(name string) error {
	if err := d.FS.SyncDir(name); err != nil {
		return &unsynced{err}
	}
	return nil
}

// unsynced is a directory that could not be synced. That ends the log whatever the reason, a full disk too.
type unsynced struct{ error }

func (u *unsynced) Unwrap() error { return u.error }
