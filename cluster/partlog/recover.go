package partlog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/segment"
	"chronik/wal"
	"chronik/wal/mutant"
	"chronik/wal/vfs"
)

// Open recovers every log that the disk holds: what the checkpoint says, then every entry of the write-ahead log after it.
// Records that should be there and are not are an error that names the partition, unless Repair allows to give them up; a log
// is never opened shorter.
func Open(o Options) (*Store, error) {
	o.fill()
	s := &Store{
		options: o, files: vfs.Final(o.FS),
		logs: map[wal.StreamID]*Log{}, dying: map[wal.StreamID]grave{},
		truncating: newLongLock(), tending: newLongLock(),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), failed: make(chan struct{}),
	}
	s.clock.now = func() int64 { return o.Now().UnixMilli() }
	s.clock.read()
	r := newRecovery(s)
	if err := r.run(); err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	s.measure()
	s.tellLimit()
	s.nudge() // there may be something to remove, or to cut
	s.ended.Go(s.keep)
	if o.Damaged != nil {
		s.ended.Go(s.scrub)
	}
	return s, nil
}

type recovery struct {
	store   *Store
	dead    map[wal.StreamID]bool // streams of deleted topics
	saved   map[wal.StreamID]*saved
	damaged map[wal.StreamID]error // streams whose entries do not go on one behind the other
	facts   int64
}

func newRecovery(s *Store) recovery {
	return recovery{store: s, dead: map[wal.StreamID]bool{}, saved: map[wal.StreamID]*saved{}, damaged: map[wal.StreamID]error{}}
}

func (r *recovery) run() error {
	s, o := r.store, &r.store.options
	// A directory that is not synced into its parent takes all that was synced in it along.
	if err := errors.Join(o.FS.MkdirAll(walDir), o.FS.MkdirAll(segmentsDir), o.FS.SyncDir(".")); err != nil {
		return err
	}
	dir, err := vfs.Sub(o.FS, walDir)
	if err != nil {
		return err
	}
	s.wal, err = wal.Open(wal.Options{
		FS: dir, Pool: o.Pool, FileSize: o.WALFileSize, Sync: o.Sync, SyncEvery: o.SyncEvery,
		Incarnation: o.Incarnation, Logger: o.Logger, Watch: o.Watch,
	}, r.restore, r.replay)
	if err != nil {
		return err
	}
	if err := r.finish(); err != nil {
		return errors.Join(err, s.wal.Close())
	}
	return nil
}

const (
	walDir        = "wal"
	quarantineDir = "quarantine"
)

func (r *recovery) restore(checkpoint []byte) error {
	if checkpoint == nil {
		return nil
	}
	facts, err := decodeCheckpoint(checkpoint, r.restoreLog)
	r.facts = facts
	return err
}

func (r *recovery) restoreLog(v *saved) error {
	if v.dying {
		r.bury(v.id)
		return nil
	}
	l, err := r.find(v.id.Stream)
	if l == nil || err != nil {
		if err == nil {
			r.bury(v.id)
		}
		return err
	}
	if l.id != v.id {
		return fmt.Errorf("the checkpoint says that stream %d is %s, the metadata says %s: %w", v.id.Stream, v.id.name(), l.id.name(), kerr.KafkaStorageError)
	}
	r.saved[v.id.Stream] = v
	l.restore(v)
	return nil
}

func (l *Log) restore(v *saved) {
	l.housed = true // its checkpoint says whose directory it is
	l.start, l.starting, l.cut, l.untimed, l.truncated = v.start, v.start, v.cut, v.untimed, v.truncated
	l.stable.Store(v.stable)
	l.end = max(v.start, v.cut)
	l.tail.base = l.end
	l.epochs, l.txns.aborted, l.txns.ended = v.epochs, v.aborted, v.ended
	l.epochs.cut(v.asOf) // who led without a record leaves no trace: records of an older leader may stand there by now
	if len(v.producers) > 0 && !mutant.On(mutant.ForgetProducers) {
		l.producers = make(producers, len(v.producers))
	}
	for i := range v.producers {
		if mutant.On(mutant.ForgetProducers) {
			break
		}
		p := &v.producers[i]
		l.producers[p.id] = p
	}
	l.txns.reopen(l.producers)
}

// bury remembers a deleted partition until its files are gone.
func (r *recovery) bury(id ID) {
	r.dead[id.Stream] = true
	r.store.dying[id.Stream] = grave{id: id}
}

// find returns the stream's log, nil when its topic was deleted.
func (r *recovery) find(stream wal.StreamID) (*Log, error) {
	if l := r.store.logs[stream]; l != nil || r.dead[stream] {
		return l, nil
	}
	id, c, err := r.store.options.Known(stream)
	switch {
	case errors.Is(err, ErrDeleted):
		r.dead[stream] = true
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("stream %d is on disk: %w", stream, err)
	case id.Stream != stream:
		return nil, fmt.Errorf("stream %d is on disk, the metadata speaks of %d", stream, id.Stream)
	}
	l := newLog(r.store, id, c)
	r.store.logs[stream] = l
	return l, nil
}

func (r *recovery) replay(e wal.Replayed) error {
	if e.Stream == factStream {
		return r.replayFact(e)
	}
	l, err := r.find(e.Stream)
	if l == nil || err != nil {
		return err
	}
	if r.damaged[e.Stream] != nil && e.Kind != kindRemoved {
		return nil // it may have been given up since
	}
	switch e.Kind {
	case kindTruncated:
		return r.replayTruncated(l, e)
	case kindRemoved:
		r.replayRemoved(l, e)
		return nil
	}
	if e.Kind != kindBatches {
		return fmt.Errorf("%s: write-ahead log entry of unknown kind %d at %d", l.id.name(), e.Kind, e.Loc.Pos)
	}
	if e.End <= l.end {
		return nil // the checkpoint had it
	}
	asOf := r.asOf(e.Stream)
	if r.voided(e) {
		asOf = everything // the checkpoint's states are those after the truncation
	}
	if err := l.replay(e, asOf); err != nil {
		if errors.Is(err, errGap) && r.voided(e) {
			return nil // what is between them was given up because all of it was truncated
		}
		r.damaged[e.Stream] = fmt.Errorf("%s: write-ahead log at %d: %w: %w", l.id.name(), e.Loc.Pos, kerr.KafkaStorageError, err)
	}
	return nil
}

func (r *recovery) asOf(stream wal.StreamID) int64 {
	if v := r.saved[stream]; v != nil {
		return v.asOf
	}
	return 0
}

// voided says that e stands before a truncation that the checkpoint includes.
func (r *recovery) voided(e wal.Replayed) bool {
	v := r.saved[e.Stream]
	return v != nil && e.Loc.Pos < v.truncated
}

var errGap = errors.New("records between them are missing")

func (r *recovery) replayFact(e wal.Replayed) error {
	r.facts = max(r.facts, e.End)
	switch e.Kind {
	case kindLogStart:
		return r.replayLogStart(e)
	case kindDirectory:
		return r.replayDirectory(e.Data)
	}
	return nil
}

func (r *recovery) replayLogStart(e wal.Replayed) error {
	stream, start, err := decodeLogStart(e.Data)
	if err != nil {
		return err
	}
	l, err := r.find(stream)
	if l == nil || err != nil {
		return err
	}
	if v := r.saved[stream]; v != nil && e.Loc.Pos < v.truncated {
		return nil // the checkpoint had it, and perhaps the log's removal after it
	}
	if start > l.end { // Reset
		l.beginAt(start)
	} else {
		l.raised(start)
	}
	return nil
}

// replay takes over an entry. Its first batch goes on where the log ends, or reaches back over it when records up to
// there were deleted.
func (l *Log) replay(e wal.Replayed, asOf int64) error {
	f, base, count := inFlight{maxTime: batch.NoTimestamp}, int64(-1), 0
	for rest := e.Data; len(rest) > 0; count++ {
		b, after, err := batch.Next(rest)
		if err != nil {
			return err
		}
		rest = after
		if base < 0 {
			base = b.BaseOffset()
		}
		if b.NextOffset() > asOf {
			l.epochs.note(b.LeaderEpoch(), b.BaseOffset())
			if err := l.track(b); err != nil {
				return err
			}
		}
		f.maxTime = max(f.maxTime, b.MaxTimestamp())
	}
	first := len(l.tail.chunks) == 0
	if count == 0 || base > l.end || base < l.end && !first {
		return fmt.Errorf("the log ends at offset %d, the next entry begins at %d: %w", l.end, base, errGap)
	}
	if count > 1 {
		f.flags |= severalBatches
	}
	if f.maxTime == batch.NoTimestamp {
		l.untimed = l.store.clock.last.Load()
	}
	if first {
		l.tail.base = base
	}
	l.index(entry{end: e.End, maxTime: f.maxTime, pos: e.Loc.Pos, size: e.Loc.Len, flags: f.flags})
	l.end = e.End
	return nil
}

// finish opens the segments and sees that nothing is missing.
func (r *recovery) finish() error {
	s := r.store
	s.facts.count = r.facts
	var damage []Damage
	for _, l := range s.logs {
		if err := r.sound(l); err != nil {
			damage = append(damage, Damage{l.id, err})
		}
	}
	if err := r.repair(damage); err != nil {
		return err
	}
	for stream, l := range s.logs {
		l.durable = l.end
		l.stable.Store(max(l.start, min(l.stable.Load(), l.end)))
		s.wal.Trim(stream, max(l.cut, l.start))
	}
	for stream := range r.dead {
		s.wal.Trim(stream, forever)
	}
	return r.quarantine()
}

const forever = everything

// check sees that the log reaches as far as the checkpoint knew it to.
func (r *recovery) check(l *Log) error {
	asOf := r.asOf(l.id.Stream)
	if l.end >= asOf {
		return nil
	}
	if r.store.options.Sync == wal.SyncAlways || r.store.options.Sync == "" {
		return fmt.Errorf("%s: the log ends at offset %d, the checkpoint knew it up to %d: %w", l.id.name(), l.end, asOf, kerr.KafkaStorageError)
	}
	r.store.options.Logger.Warn("records were lost that had not been synced", "partition", l.id.name(), "end", l.end, "was", asOf)
	l.producers.forget(l.end)
	l.txns.reopen(l.producers)
	return nil
}

// forget drops the producers with batches that are not in the log after all.
func (ps producers) forget(end int64) {
	for id, p := range ps {
		for _, m := range p.batches[:] {
			if m.lastOffset >= end {
				delete(ps, id)
			}
		}
	}
}

// openSegments opens what the checkpoint relies on and removes the rest: segments that the log start has passed, and
// those begun after the checkpoint, whose records the write-ahead log still has.
func (l *Log) openSegments() error {
	files, dir := l.store.files, l.id.dir()
	bases, err := segment.List(files, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i, base := range bases {
		last := i+1 == len(bases) || bases[i+1] >= l.cut
		switch {
		case base >= l.cut || !last && bases[i+1] <= l.start || l.cut <= l.start:
			err = segment.Remove(files, dir, base)
		case last:
			err = l.openSegment(base, l.cut)
		default:
			err = l.openSegment(base, -1)
		}
		if err != nil {
			return err
		}
	}
	if err := l.covered(); err != nil {
		return err
	}
	if n := len(l.segments); n > 0 && l.segments[n-1].End() > l.cut {
		l.cut = l.segments[n-1].End() // sealed after the checkpoint
	}
	l.unindex(max(l.cut, l.start))
	return nil
}

func (l *Log) openSegment(base, end int64) error {
	var before *segment.Segment
	if n := len(l.segments); n > 0 {
		before = l.segments[n-1]
	}
	s, err := segment.Open(l.store.files, l.id.dir(), base, end, l.segmentOptions(before, base))
	if err == nil {
		l.segments = append(l.segments, s)
	}
	return err
}

// covered sees that the segments hold everything from the log start to where the write-ahead log takes over.
func (l *Log) covered() error {
	at := l.start
	for i, s := range l.segments {
		if s.Base() > at || i > 0 && s.Base() != at {
			return fmt.Errorf("segment %d begins behind offset %d: records between them are missing", s.Base(), at)
		}
		at = s.End()
	}
	if at < l.cut {
		return fmt.Errorf("the segments end at offset %d, the checkpoint says %d: records between them are missing", at, l.cut)
	}
	return nil
}

// quarantine moves aside what no partition owns. It is never deleted: whoever moved it here may want it back.
func (r *recovery) quarantine() error {
	s := r.store
	names, err := r.unowned()
	if len(names) == 0 || err != nil {
		return err
	}
	if err := errors.Join(s.files.MkdirAll(quarantineDir), s.files.SyncDir(".")); err != nil {
		return err
	}
	for _, n := range names {
		if err := r.setAside(n); err != nil {
			return err
		}
	}
	return errors.Join(s.files.SyncDir(segmentsDir), s.files.SyncDir(quarantineDir))
}

// unowned is the names among the partitions' directories that are no partition's.
func (r *recovery) unowned() ([]string, error) {
	s := r.store
	names, err := s.files.List(segmentsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	owned := map[string]bool{}
	for _, l := range s.logs {
		owned[l.id.name()] = true
	}
	for _, g := range s.dying {
		owned[g.id.name()] = true
	}
	return slices.DeleteFunc(names, func(n string) bool { return owned[n] }), nil
}

// setAside leaves alone what cannot be read: no partition needs it, so it is no reason not to start.
func (r *recovery) setAside(name string) error {
	s := r.store
	from := segmentsDir + "/" + name
	move := s.moveDir
	switch _, err := s.files.List(from); {
	case errors.Is(err, syscall.ENOTDIR):
		move = s.moveFile
	case err != nil:
		s.options.Logger.Warn("no partition owns this, and it cannot be read: it was left alone", "name", from, "error", err)
		return nil
	}
	taken, err := s.files.List(quarantineDir)
	if err != nil {
		return err
	}
	to := name
	for i := 1; slices.Contains(taken, to); i++ {
		to = fmt.Sprintf("%s.%d", name, i)
	}
	if err := move(from, quarantineDir+"/"+to); err != nil {
		return err
	}
	s.options.Logger.Warn("no partition owns this", "moved", from, "to", quarantineDir+"/"+to)
	return nil
}

// moveFile has the new name synced before the old one is: a power cut leaves one of them.
func (s *Store) moveFile(from, to string) error {
	if err := s.files.Rename(from, to); err != nil {
		return err
	}
	return s.files.SyncDir(quarantineDir)
}

// moveDir moves a directory file by file, so that a crash in between leaves two that can be moved on.
func (s *Store) moveDir(from, to string) error {
	names, err := s.files.List(from)
	if err != nil {
		return err
	}
	if err := errors.Join(s.files.MkdirAll(to), s.files.SyncDir(quarantineDir)); err != nil {
		return err
	}
	for _, n := range names {
		if err := s.files.Rename(from+"/"+n, to+"/"+n); err != nil {
			return err
		}
	}
	if err := errors.Join(s.files.SyncDir(to), s.files.SyncDir(from)); err != nil {
		return err
	}
	return s.files.Remove(from)
}
