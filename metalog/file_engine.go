package metalog

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"chronik/wal/vfs"
)

// engine is what has entries agreed on: Raft, or a fileEngine. The methods are raft's.
type engine interface {
	Apply(entry []byte, timeout time.Duration) raft.ApplyFuture
	Barrier(timeout time.Duration) raft.Future
	VerifyLeader() raft.Future
	State() raft.RaftState
	CurrentTerm() uint64
	CommitIndex() uint64
	AppliedIndex() uint64
	LeaderWithID() (raft.ServerAddress, raft.ServerID)
	RegisterObserver(*raft.Observer)
	DeregisterObserver(*raft.Observer)
}

var _, _ engine = (*raft.Raft)(nil), (*fileEngine)(nil)

// fileEngine writes entries to a file and applies them. It leads from its start to its end: there is nobody else.
type fileEngine struct {
	self    raft.ServerID
	fsm     *fsm
	failure *failure
	watch   *vfs.Watch
	logger  *slog.Logger
	records *recordFile // the goroutine's, as the next two are
	who     identity
	renewAt int64 // how large the file may grow behind its snapshot, in bytes

	term    uint64
	applied atomic.Uint64

	queue             chan *fileFuture // without a buffer: what is in there has been taken, and is done
	stopping, stopped chan struct{}
}

const (
	// fileGroup bounds what is written at once, in bytes beyond the last entry.
	fileGroup = 4 << 20

	// fileGrowth is how much comes behind a snapshot before the next one takes its place: at least so many bytes, and as
	// many as the snapshot has, so that writing snapshots costs no more than writing entries.
	fileGrowth = 16 << 20
)

// fileFuture is an entry on its way, or without data a barrier, or with save a snapshot. It is a raft.ApplyFuture.
type fileFuture struct {
	data     []byte
	save     func(identity) identity // whose the snapshot is, when it was another's
	done     chan struct{}
	index    uint64
	response any
	err      error
}

func (f *fileFuture) Error() error  { <-f.done; return f.err }
func (f *fileFuture) Index() uint64 { <-f.done; return f.index }
func (f *fileFuture) Response() any { <-f.done; return f.response }

func (f *fileFuture) end(err error) { f.err = err; close(f.done) }

// start begins a new term and takes entries. The file is the engine's from then on.
func (e *fileEngine) start() error {
	if err := e.records.nextTerm(); err != nil {
		return err
	}
	e.term = e.records.term
	e.applied.Store(e.records.index)
	e.queue, e.stopping, e.stopped = make(chan *fileFuture), make(chan struct{}), make(chan struct{})
	e.renewAt = e.growth()
	go e.run()
	return nil
}

// stop ends it when what was taken is done, and closes the file.
func (e *fileEngine) stop() error {
	close(e.stopping)
	<-e.stopped
	return e.records.file.Close()
}

func (e *fileEngine) run() {
	defer close(e.stopped)
	for {
		select {
		case first := <-e.queue:
			e.group(first)
		case <-e.stopping:
			return
		}
	}
}

// group writes what waits, syncs it, and applies it. A snapshot ends it: entries that are written and not applied yet would
// not be in it, and it takes the place of all that are written.
func (e *fileEngine) group(first *fileFuture) {
	var group []*fileFuture
	var entries [][]byte
	for f, size := first, 0; f != nil; f = e.poll(size) {
		group = append(group, f)
		if f.data != nil {
			entries = append(entries, f.data)
			size += len(f.data)
		}
		if f.save != nil {
			break
		}
	}
	index := e.records.index
	err := e.failure.err()
	if err == nil && len(entries) > 0 {
		err = e.write("write", func() error { return e.records.append(entries) })
	}
	for _, f := range group {
		if err == nil && f.data != nil {
			index++
			f.index = index
			err = e.apply(f)
		}
		if err == nil && f.save != nil {
			err = e.save(f.save(e.who))
		}
		f.end(err)
	}
	if err == nil && e.records.grown() > e.renewAt {
		_ = e.save(e.who) // what it fails by, it has told
	}
}

func (e *fileEngine) poll(size int) *fileFuture {
	if size >= fileGroup {
		return nil
	}
	select {
	case f := <-e.queue:
		return f
	default:
		return nil
	}
}

func (e *fileEngine) apply(f *fileFuture) error {
	f.response = e.fsm.Apply(&raft.Log{Index: f.index, Term: e.term, Type: raft.LogCommand, Data: f.data})
	e.applied.Store(f.index)
	if err, failed := f.response.(error); failed {
		return err
	}
	return nil
}

// save begins the file anew with the image in it. A full disk is no reason to stop: entries go behind the ones there are.
func (e *fileEngine) save(who identity) error {
	b := base{who, e.fsm.views.image.Load()}
	var full error
	err := e.write("snapshot", func() error {
		err := e.records.begin(b, e.records.index, e.term)
		if err != nil && outOfSpace(err) {
			full, err = err, nil
		}
		return err
	})
	e.renewAt = e.records.grown() + e.growth()
	if full != nil {
		e.logger.Warn("the disk is full: the metadata log's file could not be begun anew, and goes on growing", "error", full)
		return full
	}
	if err == nil {
		e.who = who
	}
	return err
}

// growth is how much may come behind the snapshot that there is.
func (e *fileEngine) growth() int64 { return max(fileGrowth, e.records.base) }

// write does something to the file. Its first error is its last word, as with raft's store.
func (e *fileEngine) write(op string, do func() error) error {
	id := e.watch.Begin(op, "metalog", recordsFile)
	err := do()
	e.watch.End(id)
	if err != nil {
		err = fmt.Errorf("the metadata log's file: %w", err)
		e.failure.set(err)
	}
	return err
}

func (e *fileEngine) submit(f *fileFuture) *fileFuture {
	f.done = make(chan struct{})
	select {
	case e.queue <- f:
	case <-e.stopping:
		f.end(raft.ErrRaftShutdown)
	}
	return f
}

// Apply waits until the entry is taken, however long that takes.
func (e *fileEngine) Apply(entry []byte, _ time.Duration) raft.ApplyFuture {
	return e.submit(&fileFuture{data: entry})
}

func (e *fileEngine) Barrier(time.Duration) raft.Future { return e.submit(&fileFuture{}) }

// VerifyLeader has nobody to ask.
func (e *fileEngine) VerifyLeader() raft.Future {
	f := &fileFuture{done: make(chan struct{})}
	f.end(nil)
	return f
}

func (e *fileEngine) State() raft.RaftState               { return raft.Leader }
func (e *fileEngine) CurrentTerm() uint64                 { return e.term }
func (e *fileEngine) CommitIndex() uint64                 { return e.applied.Load() }
func (e *fileEngine) AppliedIndex() uint64                { return e.applied.Load() }
func (e *fileEngine) RegisterObserver(o *raft.Observer)   {} // nothing ever changes
func (e *fileEngine) DeregisterObserver(o *raft.Observer) {}

func (e *fileEngine) LeaderWithID() (raft.ServerAddress, raft.ServerID) { return "", e.self }

// snapshot begins the file anew.
func (e *fileEngine) snapshot() error {
	return e.submit(&fileFuture{save: func(who identity) identity { return who }}).Error()
}

// renew has the file belong to another identity of the same server.
func (e *fileEngine) renew(who identity) error {
	return e.submit(&fileFuture{save: func(identity) identity { return who }}).Error()
}
