package metalog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// told is a log whose lines can be waited for.
type told struct {
	mu    sync.Mutex
	text  strings.Builder
	lines chan struct{} // has a value when there may be more
}

func (l *told) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.lines <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

func (l *told) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// Nodes that found a cluster warned that they hear no leader, when there had never been one.
func TestTheFirstElectionIsNoWarning(t *testing.T) {
	out := &told{lines: make(chan struct{}, 1)}
	l, err := Open(Options{Dir: t.TempDir(), NodeID: 1, Net: newFabric().port("n1"), Logger: slog.New(slog.NewTextHandler(out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(l.Promise(uuid.New(), []Server{l.Self()}), l.Bootstrap(), l.Ready(t.Context())); err != nil {
		t.Fatal(err)
	}
	if out.has(raftElection) {
		t.Errorf("told: %s", out.text.String())
	}
	quiet := &raftLogger{to: slog.New(slog.NewTextHandler(out, nil))}
	quiet.settled.Store(true)
	quiet.hclog().Warn(raftNoPeers)
	if out.has(raftNoPeers) {
		t.Error("a node that waits for a cluster warns that it has none")
	}
}

// That goes for the first election only. A leader that lost the others forgets who led last, and says so all the same.
func TestALaterElectionIsAWarning(t *testing.T) {
	c := founded(t, 3)
	c.leader()
	outs := make([]*told, len(c.logs))
	for i := range c.logs {
		c.close(i)
	}
	for i := range c.logs {
		outs[i] = &told{lines: make(chan struct{}, 1)}
		l, err := Open(Options{Dir: c.path(i), NodeID: image.BrokerID(i + 1), Net: c.ports[i], Logger: slog.New(slog.NewTextHandler(outs[i], nil))})
		if err != nil {
			t.Fatal(err)
		}
		c.logs[i] = l
	}
	i := c.leader()
	out := outs[i]
	c.fabric.isolate(fmt.Sprint("n", i+1), true)
	for ctx := c.soon(); !out.has(raftElection); {
		select {
		case <-out.lines:
		case <-ctx.Done():
			t.Fatalf("told: %s", out.text.String())
		}
	}
}

// An operator who stops a node in order must find no errors: not on that node, and not on the others of it.
func TestAnOrderlyStopIsNoError(t *testing.T) {
	var out strings.Builder
	l := &raftLogger{to: slog.New(slog.NewTextHandler(&out, nil))}
	l.settled.Store(true)
	stops := func(id image.BrokerID) bool { return id == 2 }
	l.stops.Store(&stops)
	h := l.hclog()
	closed := &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}
	for msg, args := range map[string][]any{
		"failed to decode incoming command": {"error", closed},
		"failed to decode a command":        {"error", raft.ErrTransportShutdown},
		"failed to heartbeat to":            {"peer", raft.ServerAddress("h:1"), "error", of("2@x", io.EOF)},
		"failed to contact":                 {"server-id", raft.ServerID("2@x"), "time", "300ms"},
		raftSuccessor:                       {"peer", raft.Server{ID: "3@x"}},
	} {
		h.Error(msg, args...)
		h.Warn(msg, args...)
	}
	if out.Len() > 0 {
		t.Errorf("told:\n%s", out.String())
	}
	for msg, args := range map[string][]any{
		"failed to decode incoming command": {"error", errors.New("nonsense")},
		"failed to heartbeat to":            {"peer", raft.ServerAddress("h:1"), "error", of("3@x", io.EOF)},
		"failed to contact":                 {"server-id", raft.ServerID("3@x"), "time", "300ms"},
		"failed to commit logs":             {"error", io.ErrShortWrite},
	} {
		h.Error(msg, args...)
		if !strings.Contains(out.String(), msg) {
			t.Errorf("%q is not told", msg)
		}
	}
	if of("3@x", nil) != nil || !errors.Is(of("3@x", io.EOF), io.EOF) {
		t.Error("an error is not what it was")
	}
}
