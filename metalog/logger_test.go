package metalog

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

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
