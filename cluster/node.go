// Package cluster is one node: the metadata log, the partitions' logs and the coordinators, put together and started in
// the order in which they need each other. A single node is a cluster of one, on the same path. It does not know the
// Kafka protocol.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"chronik/cluster/controller"
	"chronik/cluster/group"
	"chronik/cluster/partlog"
	"chronik/cluster/replica"
	"chronik/cluster/share"
	"chronik/kafka/config"
	"chronik/metalog"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// Options of Start.
type Options struct {
	Dir       string // the data directory
	FS        vfs.FS // where the partitions' logs are; nil: in Dir
	ID        image.BrokerID
	ClusterID string // minted when empty; a data directory keeps its own and refuses another
	Endpoints []image.Endpoint
	Peers     *Peers // nil: a node alone, that no other reaches
	InFile    bool   // the metadata log is a file, without Raft: for a node alone only

	Static map[string]string // Kafka broker configs given at start, by name

	Pool        *arena.Pool
	WALFileSize int64
	WALBudget   int64
	Sync        wal.SyncMode
	SyncEvery   time.Duration

	Logger *slog.Logger
}

// Node is a started node. Its parts are safe for concurrent use.
type Node struct {
	ID         image.BrokerID
	Meta       *metalog.Log
	Settings   *Settings
	Store      *partlog.Store
	Replicas   *replica.Manager
	Controller *controller.Controller
	Groups     *group.Coordinator
	Shares     *share.Manager

	options Options
	peers   *peers // nil, as past and session are, for a node alone
	past    *past
	session *session                // nil until the broker is registered
	serving atomic.Pointer[session] // it, once there is something that it lets this node lead

	disk      vfs.Watch
	hurt      chan partlog.Damage // found while the node runs
	dir       io.Closer           // the data directory
	logger    *slog.Logger
	failed    chan struct{}
	failOnce  sync.Once
	stop      chan struct{}
	watching  sync.WaitGroup
	closed    chan struct{}
	guarding  sync.WaitGroup // ends with closed: who looks after storage does so also while it is closed
	drainOnce sync.Once
	draining  chan struct{}
}

// Start opens everything that the data directory holds and joins the cluster. When it returns, the node can serve.
func Start(ctx context.Context, o Options) (*Node, error) {
	n := &Node{ID: o.ID, options: o, logger: o.Logger, failed: make(chan struct{}), stop: make(chan struct{}), closed: make(chan struct{}),
		draining: make(chan struct{}), hurt: make(chan partlog.Damage, 64)}
	if err := n.open(ctx, o); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context, o Options) (err error) {
	if err = n.openMetadata(ctx, o); err != nil {
		return err
	}
	n.guarding.Go(n.watchDisk) // from the moment on at which this node may vote
	if n.Settings, err = newSettings(n.Meta.Image(), o.ID, o.Static, o.Logger); err != nil {
		return err
	}
	if err = n.openRepaired(ctx, o); err != nil {
		return fmt.Errorf("partition logs: %w", err)
	}
	n.guarding.Go(n.watch)
	n.Meta.Watch(n.Settings)
	n.openController(o)
	if err := n.bootstrap(ctx, o); err != nil {
		return fmt.Errorf("joining the cluster: %w", err)
	}
	n.openReplicas(o)
	g := group.Options{
		Log: n.Meta, Self: o.ID, Serves: n.Replicas.Serving, Config: n.groupConfig, Now: time.Now, NewMemberID: newMemberID, Logger: o.Logger,
		Group: n.Settings.Group,
		End:   n.endOf,
	}
	if n.peers != nil {
		g.Shared, g.Sync = true, n.Meta.Sync
	}
	n.Groups = group.New(g)
	n.Meta.Watch(n.Groups)
	n.Shares = share.New(share.Options{
		Log: n.Meta, Parts: n.Replicas, Self: o.ID, Now: time.Now, Logger: o.Logger,
		Config:      func(id string) config.ShareGroup { return n.Settings.Group(id).Share },
		MaxSessions: func() int { return int(n.Settings.Broker().ShareMaxSessions) },
	})
	n.Meta.Watch(n.Shares)
	return nil
}

// openMetadata opens the metadata log and returns when this node belongs to a cluster and knows what was agreed on in it.
func (n *Node) openMetadata(ctx context.Context, o Options) (err error) {
	m := metalog.Options{Dir: filepath.Join(o.Dir, "metalog"), NodeID: o.ID, Logger: o.Logger, Watch: &n.disk}
	if o.Peers != nil {
		if n.peers, err = listenForPeers(o); err != nil {
			return err
		}
		m.Net = n.peers.net
	}
	if n.Meta, err = n.openMetalog(ctx, o, m); err != nil {
		return fmt.Errorf("metadata log: %w", err)
	}
	if n.peers == nil {
		return nil
	}
	if err = n.peers.meet(ctx, o, n.Meta, n.past.note); err != nil {
		return fmt.Errorf("meeting the other nodes: %w", err)
	}
	return nil
}

func (n *Node) openMetalog(ctx context.Context, o Options, m metalog.Options) (_ *metalog.Log, err error) {
	if err := checkRecovery(o.Dir); err != nil {
		return nil, err
	}
	if n.peers == nil {
		if err := checkLostMetadata(o); err != nil {
			return nil, err
		}
		if o.InFile {
			return metalog.OpenFile(m)
		}
		return metalog.Open(m)
	}
	if n.past, err = readPast(o); err != nil {
		return nil, err
	}
	return n.past.openMetalog(ctx, o, m, askOver(n.peers.net))
}

// openReplicas begins this node's part in each partition, once it has registered: before that the metadata may say that it
// leads what its disk does not have any more.
func (n *Node) openReplicas(o Options) {
	b := n.Settings.Broker()
	r := replica.Options{
		Self: o.ID, Store: n.Store, Config: n.Settings.Topic, Logger: o.Logger, Rates: n.rates,
		LagTimeMax: Millis(b.ReplicaLagTimeMaxMs), FetchWaitMax: Millis(int64(b.ReplicaFetchWaitMaxMs)),
		FetchMaxBytes: b.ReplicaFetchMaxBytes, FetchResponseMaxBytes: b.ReplicaFetchResponseMaxBytes,
	}
	if n.peers != nil {
		r.Propose, r.Link = n.Meta.Propose, n.peers.links
	}
	n.Replicas = replica.New(r)
	if n.peers != nil {
		n.Replicas.Serve(time.Now()) // nothing before the controller has answered
	}
	n.Meta.Watch(n.Replicas)
	n.serving.Store(n.session)
	if n.peers != nil {
		n.watching.Add(1)
		go n.mend()
	}
}

func (n *Node) rates() replica.Rates {
	b := n.Settings.Broker()
	return replica.Rates{Leader: b.LeaderThrottledRate, Follower: b.FollowerThrottledRate}
}

func (n *Node) openController(o Options) {
	c := controller.Options{Self: o.ID, Log: n.Meta, Config: n.Settings.Broker, NewID: uuid.New, Logger: o.Logger}
	if n.peers != nil {
		c.Sync, c.Probe, c.Voters = n.Meta.Sync, n.peers.links.probe, voters{n.Meta}
	}
	n.Controller = controller.New(c)
	n.Meta.Watch(n.Controller)
	n.Meta.Missed(n.Controller.Missed)
	n.Meta.Lead(n.Controller.Lead)
}

// endOf is the high watermark of a partition that this node has a replica of.
func (n *Node) endOf(at image.TopicPartition) (int64, bool) {
	p, ok := n.Replicas.Held(at.Topic, at.Partition)
	if !ok {
		return 0, false
	}
	return p.Marks().HighWatermark, true
}

func (n *Node) groupConfig() group.Config {
	b := n.Settings.Broker()
	ms := func(v int32) time.Duration { return Millis(int64(v)) }
	return group.Config{
		ShareMaxSize:          int(b.ShareGroupMaxSize),
		MinSessionTimeout:     ms(b.GroupMinSessionTimeoutMs),
		MaxSessionTimeout:     ms(b.GroupMaxSessionTimeoutMs),
		InitialRebalanceDelay: ms(b.GroupInitialRebalanceDelayMs),
		MaxSize:               int(b.GroupMaxSize),
		OffsetMetadataMax:     int(b.OffsetMetadataMaxBytes),
		CommitTimeout:         ms(b.OffsetsCommitTimeoutMs),
		OffsetsRetention:      Millis(b.OffsetsRetentionMs),
		OffsetsCheckInterval:  Millis(b.OffsetsRetentionCheckIntervalMs),
		ConsumerMaxSize:       int(b.ConsumerGroupMaxSize),
		ConsumerAssignors:     b.ConsumerAssignors,
		StreamsMaxSize:        int(b.StreamsGroupMaxSize),
		Upgrade:               b.ConsumerUpgrade,
		Downgrade:             b.ConsumerDowngrade,
	}
}

// newMemberID makes ids as Kafka's, which tools show to people: the client's own id, then something unique.
// A string in a response has a length of 16 bits, and so may clientID have; and a member says its id only as it is if it
// is valid UTF-8: a client in Java would replace half a character, and nobody has that id.
func newMemberID(clientID string) string {
	return strings.ToValidUTF8(clientID[:min(len(clientID), 1000)], "") + "-" + uuid.NewString()
}

func (n *Node) openStore(ctx context.Context, o Options) error {
	img, b := n.Meta.Image(), n.Settings.Broker()
	if err := checkLost(o, img, n.Meta.Incarnation()); err != nil {
		return err
	}
	disk, dir := o.FS, io.Closer(nil)
	if disk == nil {
		var err error
		if disk, err = vfs.OS(o.Dir); err != nil {
			return err
		}
		dir, _ = disk.(io.Closer)
	}
	var repair func([]partlog.Damage) error
	var damaged func(partlog.Damage)
	if n.peers != nil {
		repair = func(damage []partlog.Damage) error { return n.forgetDamaged(ctx, damage) }
		damaged = n.isHurt
	}
	store, err := partlog.Open(partlog.Options{
		FS:          disk,
		Pool:        o.Pool,
		WALFileSize: o.WALFileSize,
		WALBudget:   o.WALBudget,
		Sync:        o.Sync,
		SyncEvery:   o.SyncEvery,
		Incarnation: n.Meta.Incarnation(),
		Watch:       &n.disk,
		Now:         time.Now,
		Logger:      o.Logger,
		Known:       known(img, n.Settings),
		Repair:      repair,
		Damaged:     damaged,

		RetentionCheckInterval: Millis(b.LogRetentionCheckIntervalMs),
		ProducerExpiration:     Millis(b.ProducerIDExpirationMs),
	})
	if err != nil {
		if dir != nil {
			err = errors.Join(err, dir.Close())
		}
		return err
	}
	n.dir, n.Store = dir, store
	return nil
}

// errLost is of a data directory without its write-ahead log.
var errLost = errors.New("their records are lost")

// checkLost refuses a directory without its write-ahead log. That log begins before the broker of this directory registers,
// and before the first partition does: where the metadata has given out streams and there is none, records are lost, and
// offsets would begin anew. A node that joins a cluster has not had one yet.
func checkLost(o Options, img *image.Image, incarnation uuid.UUID) error {
	if b, ok := img.Broker(o.ID); !ok || b.Incarnation != incarnation {
		return nil
	}
	gone, err := noRecords(o)
	if err == nil && gone && img.NextStream() > image.Empty().NextStream() {
		err = fmt.Errorf("%s is missing or empty although the metadata log beside it knows of partitions: "+
			"%w; restore the data directory as a whole, or remove it to begin anew", filepath.Join(o.Dir, walDir), errLost)
	}
	return err
}

// checkLostMetadata refuses a directory with a write-ahead log and without a metadata log, before a new one is begun: that
// is there first.
func checkLostMetadata(o Options) error {
	path := filepath.Join(o.Dir, "metalog")
	gone, err := nothingIn(os.ReadDir(path))
	if err != nil || !gone {
		return err
	}
	if none, err := noRecords(o); err != nil || none {
		return err
	}
	return fmt.Errorf("%s is missing or empty although %s beside it was in use: which topics and partitions its records "+
		"belong to is lost; restore the data directory as a whole, or remove it to begin anew", path, filepath.Join(o.Dir, walDir))
}

// walDir is the write-ahead log's part of the data directory.
const walDir = "wal"

// noRecords says whether the write-ahead log has never been there.
func noRecords(o Options) (bool, error) {
	if o.FS != nil {
		return nothingIn(o.FS.List(walDir))
	}
	return nothingIn(os.ReadDir(filepath.Join(o.Dir, walDir)))
}

// nothingIn says whether a directory, as it was read, is empty or missing.
func nothingIn[T any](found []T, err error) (bool, error) {
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return len(found) == 0, err
}

// known tells the store whose stream it found. A stream that was given out and that no partition has any more belonged
// to a deleted topic; one that was never given out means that the metadata log is older than the data.
func known(img *image.Image, settings *Settings) func(wal.StreamID) (partlog.ID, *config.Topic, error) {
	type held struct {
		id    partlog.ID
		topic string
	}
	streams := make(map[wal.StreamID]held, img.PartitionCount())
	for t := range img.Topics {
		for _, p := range t.Partitions {
			s := wal.StreamID(p.Stream)
			streams[s] = held{partlog.ID{Stream: s, Topic: t.ID, Partition: p.Number}, t.Name}
		}
	}
	return func(s wal.StreamID) (partlog.ID, *config.Topic, error) {
		if h, ok := streams[s]; ok {
			return h.id, settings.Topic(img, h.topic), nil
		}
		if uint64(s) < img.NextStream() {
			return partlog.ID{}, nil, partlog.ErrDeleted
		}
		return partlog.ID{}, nil, fmt.Errorf("stream %d is not in the metadata log, which ends before it: the metalog directory is "+
			"older than the data beside it; restore the two together", s)
	}
}

// watch turns the failure of any part into the node's.
func (n *Node) watch() {
	select {
	case <-n.Meta.Failed():
	case <-n.Store.Failed():
	case <-n.closed:
		return
	}
	if s := n.serving.Load(); s != nil && !errors.Is(n.Meta.Err(), ErrHangs) {
		s.abandon()
	}
	n.failOnce.Do(func() { close(n.failed) })
}

// Failed is closed when the node must not go on: storage failed, or the metadata cannot be applied. Err says why.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// Err is the failure that closed Failed, or nil.
func (n *Node) Err() error {
	return errors.Join(n.Meta.Err(), n.Store.Err())
}

// Drain answers whoever waits for members of a group, which can take minutes, and closes Draining, so that the requests
// can end. Records are still taken and served.
func (n *Node) Drain() {
	n.drainOnce.Do(func() {
		close(n.draining)
		if n.Groups != nil {
			n.Groups.Close()
		}
		if n.Shares != nil {
			n.Shares.Close()
		}
	})
}

// Draining is closed when requests should not wait for more than there is.
func (n *Node) Draining() <-chan struct{} { return n.draining }

// Close stops the parts in the reverse order of their start. Requests must have ended. On a disk that hangs it does not
// return: Failed is closed meanwhile.
func (n *Node) Close() error {
	defer n.guarding.Wait()
	defer close(n.closed)
	close(n.stop)
	n.watching.Wait()
	var errs []error
	n.Drain()
	if n.session != nil {
		n.session.close()
	}
	if n.peers != nil {
		errs = append(errs, n.peers.quieten())
	}
	if n.Replicas != nil {
		n.Replicas.Close()
	}
	if n.Store != nil {
		errs = append(errs, n.Store.Close())
	}
	if n.dir != nil {
		errs = append(errs, n.dir.Close())
	}
	if n.Meta != nil {
		errs = append(errs, n.Meta.Close())
	}
	if n.peers != nil {
		errs = append(errs, n.peers.net.Close())
	}
	return errors.Join(errs...)
}
