package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"chronik/wal/mutant"
	"chronik/wal/vfs"
)

const (
	checkpointName = "checkpoint"
	closedName     = "closed" // a checkpoint without a payload: how far the log went when it was last closed
)

// Checkpoint stores payload durably, in place of the one before, and then recycles the files all of whose entries are
// trimmed, up to the first with an entry that is not. When the disk is full it fails and nothing has changed; any
// other error ends the log.
func (l *Log) Checkpoint(payload []byte) error {
	l.checkpointing.Lock()
	defer l.checkpointing.Unlock()
	if err := l.alive(); err != nil {
		return err
	}
	l.forget()
	c, keep := l.files.needed()
	c.incarnation, c.payload, c.durable = l.opt.Incarnation, payload, l.durable.Load()
	if err := writeCheckpoint(l.fs, checkpointName, &c); err != nil {
		err = &failure{fmt.Errorf("checkpoint: %w", err)}
		if !outOfSpace(err) {
			l.fail(err)
		}
		return err
	}
	return l.drop(keep)
}

// forget lets go of trims that no queued entry can fall under any more. A trim is kept for as long as it takes to
// write all that was queued at the Checkpoint after it.
func (l *Log) forget() {
	l.mu.Lock()
	next := l.queue.next
	l.mu.Unlock()
	l.files.forget(next, l.written.Load())
}

func (l *Log) alive() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal()
}

// needed finds the first file that is needed.
func (s *files) needed() (checkpoint, *file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := 0
	for i < len(s.list)-1 && s.list[i].live.len() == 0 {
		i++
	}
	f := s.list[i]
	number := f.first
	if number == 0 {
		number = s.last + 1 // the writer is about to go on in f
	}
	return checkpoint{seq: f.seq, base: f.base, number: number}, f
}

// writeCheckpoint replaces the checkpoint of that name; at any time the old or the new one is there.
func writeCheckpoint(f vfs.FS, name string, c *checkpoint) error {
	tmp, err := f.Open(name+".tmp", vfs.Create|vfs.Truncate)
	if err != nil {
		return err
	}
	_, err = tmp.WriteAt(c.encode(name), 0)
	if err == nil && !mutant.On(mutant.SkipCheckpointSync) {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = f.Rename(name+".tmp", name)
	}
	if err != nil {
		_ = f.Remove(name + ".tmp") // the next one is another file: this one must not be synced again
		return err
	}
	return f.SyncDir(".")
}

// readCheckpoint returns nil when there is none.
func readCheckpoint(f vfs.FS, name string, incarnation [16]byte) (*checkpoint, error) {
	b, err := readAll(f, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := &checkpoint{}
	why := c.decode(name, b)
	if why == "" && c.incarnation != incarnation {
		why = whyIncarnation
	}
	if why != "" {
		return nil, &CorruptError{name, 0, why}
	}
	return c, nil
}

func readAll(f vfs.FS, name string) ([]byte, error) {
	file, err := f.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// drop takes the files before keep out of the log, and recycles them: the durable checkpoint does not need them.
func (l *Log) drop(keep *file) error {
	gone := l.files.cut(keep)
	if len(gone) == 0 {
		return nil
	}
	if err := l.salvage(gone); err != nil {
		err = &failure{fmt.Errorf("recycle: %w", err)}
		l.fail(err)
		return err
	}
	return nil
}

// salvage recycles files that are not part of the log any more. As many as went now are wanted until others go: one that
// has to be filled with zeros meanwhile takes the disk as long as its records do, and they wait for it.
func (l *Log) salvage(gone []*file) error {
	var kept []spare
	var err error
	for _, f := range gone {
		if kept, err = l.recycle(f, kept, max(minSpares, len(gone))); err != nil {
			return err
		}
	}
	// Before any of them is written again: else it could come back under its old name with its new content.
	if err := l.fs.SyncDir("."); err != nil {
		return err
	}
	l.prep.mu.Lock()
	defer l.prep.mu.Unlock()
	l.prep.spares = append(l.prep.spares, kept...)
	return nil
}

// cut removes the files before keep from the list.
func (s *files) cut(keep *file) []*file {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := 0
	for s.list[i] != keep {
		i++
	}
	gone := s.list[:i:i]
	s.list = append([]*file(nil), s.list[i:]...)
	return gone
}
