package metalog

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// fsm applies committed entries to the image. Raft calls it from one goroutine. After a failure it changes nothing more
// and gives no snapshot, so that what it could not apply is never counted as applied.
type fsm struct {
	views   *views
	failure *failure

	servers atomic.Uint64          // the entry with the last configuration of Raft that was applied
	changed atomic.Pointer[func()] // called when there is another one
}

// StoreConfiguration is called for each configuration of Raft that is committed.
func (f *fsm) StoreConfiguration(index uint64, _ raft.Configuration) {
	f.noteServers(index)
	if f.failure.err() == nil {
		f.views.publish(index, nil)
	}
}

func (f *fsm) noteServers(index uint64) {
	f.servers.Store(index)
	if changed := f.changed.Load(); changed != nil {
		(*changed)()
	}
}

// applied is what became of an entry: for each proposal, nil or why it was refused.
type applied struct {
	index   image.Index
	term    uint64
	refused []error
	late    bool // nothing of it counts, see openEntry
}

// Apply returns an applied, or the error that failed the log.
func (f *fsm) Apply(entry *raft.Log) any {
	if err := f.failure.err(); err != nil {
		return err
	}
	done, err := f.apply(entry)
	if err != nil {
		err = fmt.Errorf("apply entry %d of term %d: %w", entry.Index, entry.Term, err)
		f.failure.set(err)
		return err
	}
	return done
}

func (f *fsm) apply(entry *raft.Log) (applied, error) {
	proposals, late, err := openEntry(entry)
	if err != nil {
		return applied{}, err
	}
	index := image.Index(entry.Index)
	_, joined, refused, err := f.views.image.Load().ApplyAll(index, proposals)
	if err != nil {
		return applied{}, err
	}
	f.views.publish(entry.Index, joined)
	return applied{index: index, term: entry.Term, refused: refused, late: late}, nil
}

// Snapshot costs nothing: the image never changes.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.failure.err(); err != nil {
		return nil, err
	}
	return snapshot{f.views.image.Load()}, nil
}

// Restore puts the leader's snapshot in the place of the image, once all of it has been read and its checksum holds. It
// is not called at start, where restoreNewest chooses the snapshot; a failure here has nowhere to fall back to.
func (f *fsm) Restore(from io.ReadCloser) error {
	m, err := image.Read(from)
	if err != nil {
		err = fmt.Errorf("restore snapshot: %w", err)
		f.failure.set(err)
		return err
	}
	reached := uint64(m.Index())
	if of := metaOf(from); of != nil {
		reached = max(reached, of.Index)
		f.noteServers(of.ConfigurationIndex) // raft does not have it stored, as it has those of entries
	}
	f.views.publish(reached, image.Between(f.views.image.Load(), m))
	return nil
}

// metaOf is what is known of the snapshot that raft has opened; nil when from is no such one.
func metaOf(from io.ReadCloser) *raft.SnapshotMeta {
	if counted, ok := from.(raft.ReadCloserWrapper); ok {
		from = counted.WrappedReadCloser()
	}
	if s, ok := from.(openSnapshot); ok {
		return s.meta
	}
	return nil
}

// snapshot persists an image while the fsm goes on.
type snapshot struct{ image *image.Image }

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.image.Encode(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s snapshot) Release() {}
