package sim

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"chronik/cluster"
	"chronik/kafka/api"
	"chronik/kafka/server"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

const (
	kafkaPort    = 9092
	internalPort = 9093
	listenerName = "PLAINTEXT"
)

// machine is where a node runs: an address, a disk, and a directory for what does not go through vfs.
type machine struct {
	w    *world
	id   image.BrokerID
	host *host
	dir  string

	mu      sync.Mutex // guards what follows
	disk    *disk
	process *process // nil while it is down
	runs    sync.WaitGroup
}

// process is one run of a node.
type process struct {
	of     *machine
	ctx    context.Context // ends with the process
	end    context.CancelFunc
	ended  chan struct{}
	logger *slog.Logger

	mu   sync.Mutex
	node *cluster.Node // nil until it is started; guarded by mu
	live bool          // clients are served; guarded by mu
}

func nodeAddr(id image.BrokerID) string { return fmt.Sprintf("10.0.0.%d", id) }

func newMachine(w *world, id image.BrokerID, dir string) *machine {
	return &machine{
		w: w, id: id, host: w.net.host(nodeAddr(id)), dir: filepath.Join(dir, fmt.Sprint("n", id)), disk: newDisk(w.r.Uint64()),
	}
}

// start is false when the node runs.
func (m *machine) start() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil || m.w.ctx.Err() != nil {
		return false
	}
	m.host.powerOn()
	p := &process{of: m, ended: make(chan struct{}), logger: m.w.logger(m.id)}
	p.ctx, p.end = context.WithCancel(context.Background())
	m.process = p
	d := m.disk
	m.runs.Go(func() { p.run(d) })
	return true
}

// now is the disk that is in the machine.
func (m *machine) now() *disk {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.disk
}

func (m *machine) running() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process
}

// node is nil while it does not run.
func (m *machine) node() *cluster.Node {
	p := m.running()
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.node
}

func (m *machine) serves() bool {
	p := m.running()
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

// fail ends the process at once. gone is what others notice of it, and left what the next process finds on the disk.
func (m *machine) fail(gone func(*host), left func(*disk) *disk) bool {
	m.mu.Lock()
	p := m.process
	if p == nil {
		m.mu.Unlock()
		return false
	}
	m.process = nil
	gone(m.host)
	m.disk = left(m.disk)
	m.mu.Unlock()
	p.end()
	<-p.ended
	return true
}

// kill leaves on the disk what was written.
func (m *machine) kill() bool { return m.fail((*host).kill, (*disk).killed) }

// cutPower takes from the disk what was not synced, as pick chooses.
func (m *machine) cutPower(pick vfs.Pick) bool {
	return m.fail((*host).powerOff, func(d *disk) *disk { return d.crashed(pick) })
}

// stop is an orderly end, up to the moment when it would wait for clients.
func (m *machine) stop() bool {
	p := m.running()
	if p == nil {
		return false
	}
	if n := m.node(); n != nil && m.serves() {
		ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
		defer cancel()
		if err := n.Leave(ctx); err != nil {
			p.logger.Info("it stops with what it leads", "error", err)
		}
	}
	return m.kill()
}

// restartAfter is how long it takes until who watches over processes has started one again that has ended by itself.
const restartAfter = time.Second

// replace ends a process that has failed, and starts another one.
func (m *machine) replace(p *process) {
	if m.running() != p || !m.kill() {
		return
	}
	m.w.count("failed nodes")
	<-time.After(restartAfter)
	m.start()
}

// run is the life of a process.
func (p *process) run(d *disk) {
	defer close(p.ended)
	pool := arena.New(8 << 20)
	n, err := cluster.Start(p.ctx, p.of.options(d, pool, p.logger))
	if err != nil {
		p.failed("the node did not start", err)
		return
	}
	stop := p.serve(n, pool)
	select {
	case <-p.ctx.Done():
	case <-n.Failed():
		if d.hasHung() { // which a node does not live through for long
			p.of.runs.Go(func() { p.of.replace(p) })
		} else {
			p.failed("the node failed", n.Err())
		}
		<-p.ctx.Done()
	}
	stop()
	if err := n.Close(); err != nil {
		p.logger.Error("it did not close in order", "error", err)
	}
}

// failed is a bug unless the process is about to end anyway.
func (p *process) failed(what string, err error) {
	if p.ctx.Err() == nil {
		p.of.w.complain("node %d: %s: %v", p.of.id, what, err)
	}
	p.logger.Error(what, "error", err)
}

// serve opens the doors as the program does, and returns what closes them.
func (p *process) serve(n *cluster.Node, pool *arena.Pool) (stop func()) {
	p.mu.Lock()
	p.node = n
	p.mu.Unlock()
	n.Meta.Watch(sees{p.of.w, p.of.id})
	handler := &api.Broker{
		Self: n.ID, Meta: n.Meta, Parts: n.Replicas, Controller: n.Controller, Groups: n.Groups, Config: n.Settings.Broker,
		Draining: n.Draining(), Logger: p.logger, Forward: n.Forward(),
	}
	var serving sync.WaitGroup
	var servers []*server.Server
	open := func(l server.Listener) {
		s, err := server.New(server.Options{Listeners: []server.Listener{l}, Handler: handler, Pool: pool, IdleTimeout: -1, Logger: p.logger})
		if err != nil {
			p.failed("a port did not open", err)
			return
		}
		servers = append(servers, s)
		serving.Go(func() { _ = s.Serve() }) // it ends with its listener, which the host may close
	}
	open(server.Listener{Name: image.InternalListener, Socket: n.Internal()})
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		if err := n.Live(p.ctx); err != nil {
			return
		}
		socket, err := p.of.host.Listen(p.ctx, fmt.Sprintf("%s:%d", p.of.host.addr, kafkaPort))
		if err != nil {
			return // the host has no power any more
		}
		open(server.Listener{Name: listenerName, Socket: socket})
		p.mu.Lock()
		p.live = true
		p.mu.Unlock()
	}()
	return func() {
		<-opened
		now, cancel := context.WithCancel(context.Background())
		cancel()
		n.Drain()
		for _, s := range servers {
			_ = s.Shutdown(now) // what is under way is broken off
		}
		serving.Wait()
	}
}

func (m *machine) options(d *disk, pool *arena.Pool, logger *slog.Logger) cluster.Options {
	at := fmt.Sprintf("%s:%d", m.host.addr, internalPort)
	return cluster.Options{
		Dir: m.dir, FS: d.fs, ID: m.id,
		Endpoints: []image.Endpoint{{Name: listenerName, Host: m.host.addr, Port: kafkaPort}},
		Peers:     &cluster.Peers{Bind: at, GossipPort: -1, Voters: m.w.voters(), Key: "the key of a cluster in a test", Network: m.host},
		Static:    m.w.static(), Pool: pool, WALFileSize: 256 << 10, WALBudget: 2 << 20, Sync: wal.SyncAlways, Logger: logger,
	}
}

// logger is silent unless somebody wants to see.
func (w *world) logger(id image.BrokerID) *slog.Logger {
	if os.Getenv("CHRONIK_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", id)
}
