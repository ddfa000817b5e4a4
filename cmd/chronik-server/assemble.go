package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"chronik/cluster"
	"chronik/kafka/api"
	"chronik/kafka/console"
	"chronik/kafka/kerr"
	"chronik/kafka/quota"
	"chronik/kafka/server"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// drainTimeout bounds how long requests that have begun may take after SIGTERM.
const drainTimeout = 10 * time.Second

// leaveTimeout bounds how long of that it may take to hand over what this broker leads.
const leaveTimeout = 5 * time.Second

// stopTimeout bounds the whole of a stop: not every write to the disk is watched, and what is written while all is closed is
// little. A stop that is given up loses nothing that was acknowledged, as no kill does.
const stopTimeout = time.Minute

// broker is the running process: what run starts, in this order, and stops in reverse.
type broker struct {
	config  Config
	logger  *slog.Logger
	health  *health
	console *console.Server // answers "not ready" while the rest starts
	socket  net.Listener    // open before the node, so that a taken port fails the start before any state is touched
	pool    *arena.Pool
	node    *cluster.Node
	quotas  *quota.Manager
	handler *api.Broker
	inner   *server.Server // for the other brokers; nil for a node alone
	server  *server.Server // for clients
	served  chan error     // what a Serve returned
	stopped chan error     // what stop returned, where until waits for it
	disk    vfs.FS         // for records; nil: data-dir

	stopTimeout time.Duration // stopTimeout but in tests
}

// The Go heap is small, because records are in the pool: some MiB on a node with few partitions. Go would collect it when
// half of so little is garbage, several times a second, and each time stop all goroutines and empty their pools: at 100,000
// records a second that was a third of p99 and half of p99.9 (2.7 and 7.7 ms; 1.7 and 3.8 without). So it is collected as if
// there were heapUnused bytes more, which are never touched and so never in memory, and a large one sooner than by Go's
// default.
const (
	heapSlack  = 50 // percent by which the heap may grow before it is collected
	heapUnused = 16 << 20
)

// paceCollector leaves it to GOGC where that is set. What it returns is to be kept alive.
func paceCollector() []byte {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(heapSlack)
	return make([]byte, heapUnused)
}

func newBroker(c Config, logger *slog.Logger) *broker {
	return &broker{config: c, logger: logger, health: new(health), served: make(chan error, 3), stopped: make(chan error, 1),
		stopTimeout: stopTimeout}
}

// run starts the broker and blocks until ctx ends or storage fails.
func run(ctx context.Context, c Config, logger *slog.Logger) error {
	defer runtime.KeepAlive(paceCollector())
	b := newBroker(c, logger)
	started := time.Now()
	if err := b.start(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, cluster.ErrNoCluster) {
			logger.Info("stopped before it was ready", "while", err)
			return b.end()
		}
		return errors.Join(pointToDump(err, c.DataDir), b.end())
	}
	logger.Info("ready", "version", version, "start_ms", time.Since(started).Milliseconds())
	return b.until(ctx)
}

// until blocks until ctx ends or storage fails.
func (b *broker) until(ctx context.Context) error {
	var err error
	select {
	case <-b.node.Failed():
		return b.failed()
	case err = <-b.served:
	case <-ctx.Done():
		b.logger.Info("stopping: no new connections, requests that have begun are answered")
	}
	return errors.Join(err, b.end())
}

// end stops what was started. A stop ends by itself when storage fails, but not on a disk that hangs: the node says so of what it
// watches, and for the rest there is a time.
func (b *broker) end() error {
	go func() { b.stopped <- b.stop() }()
	var failed <-chan struct{}
	if b.node != nil {
		failed = b.node.Failed()
	}
	for over := time.After(b.stopTimeout); ; {
		select {
		case <-failed:
			if errors.Is(b.node.Err(), cluster.ErrHangs) {
				return b.failed()
			}
			failed = nil
		case <-over:
			return b.late()
		case err := <-b.stopped:
			b.logger.Info("stopped")
			return err
		}
	}
}

// late gives the stop up.
func (b *broker) late() error {
	b.hangUp()
	err := fmt.Errorf("%w: the stop has not ended in %s, as when a disk does not answer", errStorage, b.stopTimeout)
	if b.node != nil {
		err = errors.Join(b.node.Err(), err)
	}
	return err
}

func (b *broker) failed() error {
	b.hangUp()
	return adviseFull(fmt.Errorf("%w, nothing more is acknowledged: %w", errStorage, b.node.Err()))
}

// adviseFull adds to an error of a full disk what to do.
func adviseFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w\nthe disk is full: free some space on it, or make it larger, and start the broker again", err)
	}
	return err
}

// pointToDump adds to an error of damaged storage how to look into it.
func pointToDump(err error, dir string) error {
	if errors.Is(err, kerr.KafkaStorageError) || errors.Is(err, image.ErrCorrupt) {
		return fmt.Errorf("%w\nnothing was changed; see all damage with: chronik dump --verify %s", err, dir)
	}
	return err
}

func (b *broker) start(ctx context.Context) (err error) {
	c := b.config
	b.console, err = console.New(console.Options{
		Addr: hostPort(c.BindAddr, c.HTTPPort), Status: b.health, Pprof: c.HTTPPprof, Logger: b.logger,
	})
	if err != nil {
		return listenError(err, c.BindAddr, "http-port", c.HTTPPort)
	}
	if b.socket, err = net.Listen("tcp", hostPort(c.BindAddr, c.KafkaPort)); err != nil {
		return listenError(err, c.BindAddr, "kafka-port", c.KafkaPort)
	}
	go func() { b.served <- b.console.Serve() }()
	b.pool = arena.New(c.MemoryLimit)
	if b.node, err = cluster.Start(ctx, b.nodeOptions()); err != nil {
		return err
	}
	b.health.node.Store(b.node)
	if err = b.serve(ctx); err != nil {
		return err
	}
	b.health.ready.Store(true)
	b.announce()
	return nil
}

// serve opens the doors: for the other brokers first, then for clients as soon as the controller knows of this broker.
func (b *broker) serve(ctx context.Context) (err error) {
	b.quotas = quota.New(b.node.Settings.Broker, time.Now)
	b.node.Meta.Watch(b.quotas)
	b.handler = b.newHandler()
	if socket := b.node.Internal(); socket != nil {
		if b.inner, err = server.New(b.innerOptions(socket)); err != nil {
			return err
		}
		go func() { b.served <- b.inner.Serve() }()
	}
	if err = b.node.Live(ctx); err != nil {
		return fmt.Errorf("waiting for the controller: %w", err)
	}
	if b.server, err = server.New(b.serverOptions()); err != nil {
		return err
	}
	go func() { b.served <- b.server.Serve() }()
	return nil
}

// listenError names the setting that is wrong: the address and the port fail in one call.
func listenError(err error, addr, portSetting string, port int) error {
	err = fmt.Errorf("%s: %w", portSetting, err)
	var unknown *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--bind-addr %s is no address of this machine: write one that it has, or 0.0.0.0 for all (%w)", addr, err)
	case errors.As(err, &unknown):
		return fmt.Errorf("--bind-addr %s is a name without an address: write an address of this machine, or 0.0.0.0 for all (%w)", addr, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--%s %d is in use by another process: end it, or write another port (%w)", portSetting, port, err)
	}
	return err
}

const listener = "PLAINTEXT"

func (b *broker) nodeOptions() cluster.Options {
	c, host := b.config, b.config.AdvertisedAddr
	if c.clustered() && host == "" {
		host = c.clusterAddr()
	}
	return cluster.Options{
		Dir:       c.DataDir,
		FS:        b.disk,
		ID:        image.BrokerID(c.NodeID),
		ClusterID: c.ClusterID,
		Endpoints: []image.Endpoint{{Name: listener, Host: host, Port: int32(c.clientPort(portOf(b.socket.Addr())))}},
		Peers:     c.peers(),
		InFile:    c.FileMetadata,
		Static:    c.static(portOf(b.socket.Addr())),
		Pool:      b.pool, WALFileSize: c.WALFileSize, WALBudget: c.WALSize, Sync: c.WALSync, SyncEvery: c.WALSyncInterval,
		Logger: b.logger,
	}
}

func (b *broker) serverOptions() server.Options {
	o := server.Options{
		Listeners: []server.Listener{{Name: listener, Socket: b.socket}},
		Handler:   b.handler,
		Pool:      b.pool,
		Rates:     b.quotas,
		Logger:    b.logger,
	}
	limit(&o, b.node.Settings.Broker)
	return o
}

// innerOptions serve the other brokers: as many as there are, and however long they have nothing to say.
func (b *broker) innerOptions(socket net.Listener) server.Options {
	return server.Options{
		Listeners:       []server.Listener{{Name: image.InternalListener, Socket: socket}},
		Handler:         b.handler,
		Pool:            b.pool,
		MaxRequestBytes: int(b.config.MaxRequestSize) + envelope,
		IdleTimeout:     -1,
		Logger:          b.logger,
	}
}

// envelope is more than what is put around a request that is passed on.
const envelope = 64 << 10

func (b *broker) newHandler() *api.Broker {
	return &api.Broker{
		Self:       b.node.ID,
		Meta:       b.node.Meta,
		Parts:      b.node.Replicas,
		Controller: b.node.Controller,
		Groups:     b.node.Groups,
		Shares:     b.node.Shares,
		Config:     b.node.Settings.Broker,
		Quotas:     b.quotas,
		Draining:   b.node.Draining(),
		DataDir:    b.config.DataDir,
		Logger:     b.logger,
		Forward:    b.node.Forward(),
	}
}

// announce says what a person must know of a broker that has just started: where it listens, what clients are told, who
// may use it, and what it may lose.
func (b *broker) announce() {
	c, kafka, http := b.config, b.socket.Addr(), b.console.Addr()
	port := portOf(kafka)
	b.logger.Info("serving", "kafka", kafka.String(), "http", http.String(),
		"data_dir", c.DataDir, "node_id", c.NodeID, "clients_are_told", c.advertised(port))
	if at := kafka.(*net.TCPAddr).IP; !at.IsLoopback() {
		b.logger.Warn(fmt.Sprintf("anyone who reaches them may use ports %d (Kafka) and %d (HTTP): authentication is not there yet; "+
			"bind to 127.0.0.1 or use a firewall where that matters", port, http.(*net.TCPAddr).Port))
	} else {
		b.logger.Info(fmt.Sprintf("anyone on this machine may use ports %d (Kafka) and %d (HTTP): authentication is not there yet",
			port, http.(*net.TCPAddr).Port))
	}
	if few := server.FewFiles(); few != "" {
		b.logger.Warn(few)
	}
	switch c.WALSync {
	case wal.SyncInterval:
		b.logger.Warn(fmt.Sprintf("wal-sync is interval: a power cut loses up to %s of acknowledged records", c.WALSyncInterval))
	case wal.SyncNever:
		b.logger.Warn("wal-sync is never: a power cut loses every acknowledged record that the system has not written yet")
	}
}

// stop undoes start; the node is closed after the last request has ended.
func (b *broker) stop() error {
	b.health.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	b.leave(ctx)
	if b.node != nil {
		b.node.Drain()
	}
	var errs []error
	switch {
	case b.server != nil:
		if err := b.server.Shutdown(ctx); err != nil {
			b.logger.Warn("requests were broken off: they did not end in time", "drain_timeout", drainTimeout)
		}
	case b.socket != nil:
		errs = append(errs, b.socket.Close())
	}
	if b.inner != nil {
		_ = b.inner.Shutdown(ctx) // what it breaks off the others ask elsewhere
	}
	if b.node != nil {
		errs = append(errs, b.node.Close())
	}
	if b.console != nil {
		errs = append(errs, b.console.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// hangUpPatience bounds hangUp.
const hangUpPatience = 300 * time.Millisecond

// hangUp closes the sockets, whatever still runs behind them. A process with a thread that waits for its disk does not end,
// and while its ports are open others wait for it.
func (b *broker) hangUp() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	var all sync.WaitGroup
	for _, s := range []*server.Server{b.server, b.inner} {
		if s != nil {
			all.Go(func() { _ = s.Shutdown(over) }) // it is broken off
		}
	}
	if b.node != nil {
		all.Go(func() {
			if err := b.node.HangUp(); err != nil {
				b.logger.Warn("the internal port was not closed", "error", err)
			}
		})
	}
	closed := make(chan struct{})
	go func() { all.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(hangUpPatience):
	}
}

// leave hands over what another broker can have, while this one still serves.
func (b *broker) leave(ctx context.Context) {
	if b.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := b.node.Leave(ctx); err != nil {
		b.logger.Warn("this broker stops with partitions that it leads", "error", err)
	}
}

// advertised is what clients are told, in words.
func (c Config) advertised(port int) string {
	if c.AdvertisedPort != 0 {
		port = c.AdvertisedPort
	}
	if c.AdvertisedAddr == "" {
		return "the address that each client connected to, port " + strconv.Itoa(port)
	}
	return hostPort(c.AdvertisedAddr, port)
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
