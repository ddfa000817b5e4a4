package metalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// raftLogger gives raft's lines to slog. What raft says at INFO is of interest to who debugs raft; its WARN lines while
// starting are how a start looks, so they count as DEBUG until settled is set. So does, as long as there has never been a
// leader, that none is heard: a cluster that is founded begins with an election, and before that nobody can stand for one.
//
// A node that is away has raft complain several times a second of each attempt to reach it: the same line, however its
// numbers differ, is said at most every saidAgain, and else counts as DEBUG. So does what raft complains of when a node stops
// in order.
type raftLogger struct {
	to      *slog.Logger
	settled atomic.Bool
	led     atomic.Bool                               // a leader has been heard of
	stops   atomic.Pointer[func(image.BrokerID) bool] // whether the broker has said that it stops; nil: nobody has

	mu   sync.Mutex
	said map[string]time.Time // by line; guarded by mu
}

const (
	saidAgain = 10 * time.Second
	maxSaid   = 100 // lines remembered
)

func (l *raftLogger) hclog() hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off})
	h.RegisterSink(l)
	return h
}

// Accept implements hclog.SinkAdapter.
func (l *raftLogger) Accept(_ string, level hclog.Level, msg string, args ...any) {
	at, args := l.level(level), plain(args)
	if at >= slog.LevelWarn && (l.first(msg, args) || l.orderly(msg, args) || l.again(msg, args)) {
		at = slog.LevelDebug
	}
	l.to.Log(context.Background(), at, "raft: "+msg, args...)
}

// raftSuccessor is what raft says, as an error, when a leader hears that another one follows it.
const raftSuccessor = "peer has newer term, stopping replication"

// What raft says when it hears no leader, as a voter and without a configuration.
const (
	raftElection = "heartbeat timeout reached, starting election"
	raftNoPeers  = "no known peers, aborting election"
)

// first says whether the line is of how a cluster begins. What a node without one waits for is told where it looks for one.
func (l *raftLogger) first(msg string, args []any) bool {
	return msg == raftNoPeers || msg == raftElection && !l.led.Load() && slices.Contains(args, any(raft.ServerID("")))
}

// orderly says whether the line is of an end that was meant: of a leadership that was handed over, of a connection that this node
// has closed itself, or of a peer that has said that it stops.
func (l *raftLogger) orderly(msg string, args []any) bool {
	if msg == raftSuccessor {
		return true
	}
	for _, a := range args {
		var of *peerError
		switch a := a.(type) {
		case raft.ServerID:
			if l.isStopping(a) {
				return true
			}
		case error:
			if errors.Is(a, net.ErrClosed) || errors.Is(a, raft.ErrTransportShutdown) || errors.As(a, &of) && l.isStopping(of.peer) {
				return true
			}
		}
	}
	return false
}

func (l *raftLogger) isStopping(id raft.ServerID) bool {
	stops := l.stops.Load()
	return stops != nil && (*stops)(brokerOf(id))
}

// again says whether this line, about the same peer, was said a moment ago.
func (l *raftLogger) again(msg string, args []any) bool {
	line := msg
	if len(args) > 1 {
		line = fmt.Sprint(msg, args[1])
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.said[line]) < saidAgain {
		return true
	}
	if l.said == nil || len(l.said) >= maxSaid {
		l.said = map[string]time.Time{}
	}
	l.said[line] = now
	return false
}

func (l *raftLogger) level(level hclog.Level) slog.Level {
	switch {
	case level >= hclog.Error:
		return slog.LevelError
	case level == hclog.Warn && l.settled.Load():
		return slog.LevelWarn
	case level == hclog.Warn, level == hclog.Info:
		return slog.LevelDebug
	}
	return slog.LevelDebug - 4
}

// plain prints what hclog would format, because slog would show the parts of it.
func plain(args []any) []any {
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(f[0].(string), f[1:]...)
		}
	}
	return args
}
