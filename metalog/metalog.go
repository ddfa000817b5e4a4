// Package metalog is the ChronikMetaLog: the cluster's metadata, agreed on by Raft (hashicorp/raft over raft-boltdb) and
// applied to an image on every node. It is the only importer of those libraries. It does not know what the records mean
// beyond what package image tells it.
package metalog

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

// Options of Open. A node is always a member of a Raft cluster; without peers it is a cluster of one.
type Options struct {
	Dir    string // its own directory, created when missing
	NodeID image.BrokerID
	Bind   string // host:port for Raft; "" for a cluster of one: then nothing listens
	Logger *slog.Logger
}

// Log is the open metalog. All methods may be called concurrently.
type Log struct{ log }

// Open starts Raft on what the directory holds, minting identities the first time (ServerID and storage incarnation,
// kept in a checksummed file), and returns when the log has been replayed. A damaged store is an error that names the
// file; it is never begun anew.
func Open(o Options) (*Log, error) { panic("unwritten") }

// Incarnation names this data directory, minted when it was first used.
func (l *Log) Incarnation() uuid.UUID { panic("unwritten") }

// Image is the newest applied image: one atomic load.
func (l *Log) Image() *image.Image { panic("unwritten") }

// Propose has recs agreed on and applied, all or none, and returns the index of their entry once Image includes it. An
// error that is a kerr.Code from image.Apply means nothing changed; kerr.NotController: this node does not lead. Any
// other error, a deadline's too, leaves the outcome unknown. Proposals that arrive together share one Raft entry.
func (l *Log) Propose(ctx context.Context, recs ...image.Record) (image.Index, error) {
	panic("unwritten")
}

// ProposeLow is Propose for what is many and can wait a little (offset commits): it goes behind Propose's records.
func (l *Log) ProposeLow(ctx context.Context, recs ...image.Record) (image.Index, error) {
	panic("unwritten")
}

// Wait returns when Image includes index.
func (l *Log) Wait(ctx context.Context, index image.Index) error { panic("unwritten") }

// Watch registers w; before it returns, w has been given one delta from the empty image to the present one, and from
// then on it gets every delta.
func (l *Log) Watch(w image.Watcher) { panic("unwritten") }

// Lead runs fn whenever this node leads, after a barrier; ctx ends with the leadership. term is the controller epoch.
func (l *Log) Lead(fn func(ctx context.Context, term uint64) error) { panic("unwritten") }

// Leader is the node that leads, image.NoBroker when unknown.
func (l *Log) Leader() image.BrokerID { panic("unwritten") }

// Failed is closed when the store failed to write or to sync, or the FSM met a record that it cannot apply; Err says what.
func (l *Log) Failed() <-chan struct{} { panic("unwritten") }
func (l *Log) Err() error              { panic("unwritten") }

// Close stops Raft and closes the store.
func (l *Log) Close() error { panic("unwritten") }

type log struct{}
