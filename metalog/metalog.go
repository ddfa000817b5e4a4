// Package metalog is the ChronikMetaLog: the cluster's metadata, agreed on by Raft (hashicorp/raft over raft-boltdb) and
// applied to an image on every node. It is the only importer of those libraries. It does not know what the records mean
// beyond what package image tells it.
package metalog

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// Options of Open. A node is always a member of a Raft cluster; without peers it is a cluster of one.
type Options struct {
	Dir    string // its own directory, created when missing
	NodeID image.BrokerID
	Logger *slog.Logger

	// Net is how this node and others reach each other. Without it the node is a cluster of one that nobody reaches. With it
	// a new directory belongs to no cluster until it is told to: Promise and Bootstrap, or Join. Open listens on it; who
	// made it closes it, after the Log.
	Net Network

	// Incarnation of the data that is there already, where the directory of the log is a new one; else one is minted.
	Incarnation uuid.UUID

	// Watch is told of the writes that others wait for; may be nil.
	Watch *vfs.Watch

	// In tests: how many entries stay behind a snapshot, and when raft by itself tells others of the last entry.
	trailing uint64
	silence  time.Duration
}

// Log is the open metalog. All methods may be called concurrently.
type Log struct{ log }

type log struct {
	identity identity
	dir      string
	logger   *slog.Logger
	store    *store
	raft     *raft.Raft  // nil where a file stands for it, and that is file
	file     *fileEngine // nil else
	engine   engine      // the one or the other
	fsm      *fsm
	batcher  *batcher
	tenures  *tenures
	lead     *leadership
	failure  *failure
	close    func() error // once

	incarnation atomic.Pointer[uuid.UUID] // identity's, until Renew

	net     Network // nil, as the next three are, in a cluster of one that nobody reaches
	book    *book
	link    *transport
	courier *courier

	founding sync.Mutex
	cluster  uuid.UUID // needs founding

	changing chan struct{} // a token: one change of the servers at a time
	timing   sync.Mutex    // held while raft's timers are changed
	patience time.Duration // how long a voter among others waits, clusterTimeout; guarded by timing

	noting sync.Mutex
	was    reached     // what was noted last; needs noting
	whole  atomic.Bool // the start is over, and all went well
}

// Open starts Raft on what the directory holds, minting identities the first time (ServerID and storage incarnation,
// kept in a checksummed file). Without a network it returns when the log has been replayed; with one, at once: see Ready.
// A damaged store is an error that names the file; it is never begun anew.
func Open(o Options) (*Log, error) { return open(o, nil) }

// Incarnation names this data directory, minted when it was first used.
func (l *Log) Incarnation() uuid.UUID { return *l.incarnation.Load() }

// Renew mints another incarnation, for good before it returns: the data beside the log begins anew. For Raft nothing changes.
func (l *Log) Renew() error {
	who, err := l.identity.renew()
	if err != nil {
		return err
	}
	keep := func(who identity) error { return l.store.Set(keyIdentity, who.text()) }
	if l.file != nil {
		keep = l.file.renew
	}
	if err := keep(who); err != nil { // this is what counts, should node.id still be the one before
		return err
	}
	l.incarnation.Store(&who.incarnation)
	return writeWhole(filepath.Join(l.dir, identityFile), who.text())
}

// Image is the newest applied image: one atomic load.
func (l *Log) Image() *image.Image { return l.fsm.views.image.Load() }

// Propose has recs agreed on and applied, all or none, and returns the index of their entry once Image includes it and
// every Watcher has seen it. An error that is a kerr.Code from image.Apply means nothing changed, as does
// kerr.RecordListTooLarge (more than maxProposal bytes). A node that does not lead sends them to the one that does; while
// none is known they wait, and kerr.NotController says that none was found in time: nothing changed then either. Any other
// error, a deadline's too, leaves the outcome unknown, and nothing is proposed a second time. Proposals that arrive together
// share one Raft entry.
func (l *Log) Propose(ctx context.Context, recs ...image.Record) (image.Index, error) {
	a := l.batcher.proposeEach(ctx, l.batcher.first, [][]image.Record{recs})[0]
	return a.index, a.err
}

// ProposeEach is Propose for several proposals, each with an outcome of its own, and returns when all have theirs. They are
// applied in their order; those that fit into an entry share it. Low ones, which are many and can wait a little (offset
// commits), go behind all others.
func (l *Log) ProposeEach(ctx context.Context, low bool, proposals [][]image.Record) []error {
	queue := l.batcher.first
	if low {
		queue = l.batcher.second
	}
	errs := make([]error, len(proposals))
	for i, a := range l.batcher.proposeEach(ctx, queue, proposals) {
		errs[i] = a.err
	}
	return errs
}

// Wait returns when Image includes index, which must be one that Propose returned.
func (l *Log) Wait(ctx context.Context, index image.Index) error {
	return l.fsm.views.wait(ctx, index, l.failure)
}

// Watch registers w; before it returns, w has been given one delta from the empty image to the present one, and from
// then on it gets every delta, by the goroutine that applies the log. w.Apply must not call Watch, Wait or Propose.
func (l *Log) Watch(w image.Watcher) { l.fsm.views.watch(w) }

// Lead runs fn whenever this node leads, after a barrier; ctx ends with the leadership, and the next run begins only
// when fn has returned. term is the controller epoch. Lead itself returns at once. An error of fn, other than that the
// leadership has gone, fails the log (see Failed): a controller that cannot go on must not keep the others waiting.
func (l *Log) Lead(fn func(ctx context.Context, term uint64) error) { l.tenures.lead(fn) }

// Missed has fn called, where the log is led, when a node does not answer for the first time since it last did. That is
// seen within some tens of milliseconds, and says no more than that something is to be looked after. fn must not wait.
func (l *Log) Missed(fn func(image.BrokerID)) {
	if l.link != nil {
		l.link.mu.Lock()
		l.link.missed = fn
		l.link.mu.Unlock()
	}
}

// Snapshot has a snapshot made now and the entries that it makes needless deleted; else that happens as the log grows.
func (l *Log) Snapshot() error {
	if l.file != nil {
		return l.failure.await(l.file.snapshot)
	}
	return l.failure.await(l.raft.Snapshot().Error)
}

// Leader is the node that leads, image.NoBroker when unknown.
func (l *Log) Leader() image.BrokerID {
	_, id := l.engine.LeaderWithID()
	return brokerOf(id)
}

// Failed is closed when the store failed to write or to sync, or the FSM met a record that it cannot apply; Err says
// what. Nothing is acknowledged from then on, and this node takes no part in elections: the process should exit.
func (l *Log) Failed() <-chan struct{} { return l.failure.happened }

// Err is nil until Failed is closed.
func (l *Log) Err() error { return l.failure.err() }

// Fail ends the log as a failed store does, for a reason that its owner has: this node falls silent, for others to go on.
func (l *Log) Fail(cause error) { l.failure.set(cause) }

// Close stops Raft and closes the store. Proposals under way end with an error, unless their entry is in flight.
func (l *Log) Close() error { return l.close() }

var errClosed = errors.New("the metalog is closed")
