package member

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/memberlist"
)

// clashPause is between lines in the log about two nodes with one name; gossip says it again and again.
const clashPause = 10 * time.Second

// delegate gives memberlist what this node says of itself. Nothing else is carried.
type delegate struct{ m *Members }

func (d delegate) NodeMeta(int) []byte {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return d.m.self.encode()
}

func (delegate) NotifyMsg([]byte)                {}
func (delegate) GetBroadcasts(_, _ int) [][]byte { return nil }
func (delegate) LocalState(bool) []byte          { return nil }
func (delegate) MergeRemoteState([]byte, bool)   {}

// NotifyAlive is memberlist.AliveDelegate's: an error keeps a node out, whichever way word of it came. So two clusters
// that have the same key and hear of each other stay two.
func (m *Members) NotifyAlive(n *memberlist.Node) error {
	i, err := parseInfo(n.Meta)
	if err != nil {
		return err
	}
	if i.name() != n.Name {
		return errInfo
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ours(i) {
		delete(m.others, n.Name) // it may have had no cluster before
		hint(m.changed)
		return fmt.Errorf("it belongs to cluster %s, this node to %s", clusterName(i.Cluster), clusterName(m.self.Cluster))
	}
	return nil
}

// NotifyConflict is memberlist.ConflictDelegate's: the same data directory is used by two processes, or a node has
// another address before the others have noticed that it had gone.
func (m *Members) NotifyConflict(existing, other *memberlist.Node) {
	m.mu.Lock()
	now := time.Now()
	quiet := now.Sub(m.clash) < clashPause
	if !quiet {
		m.clash = now
	}
	m.mu.Unlock()
	if !quiet {
		m.log.Warn("gossip: one node has two addresses: it has just moved, or its data directory was copied and is used twice",
			"node", existing.Name, "known", existing.Address(), "new", other.Address())
	}
}

// events keeps what memberlist believes. memberlist's own nodes may only be read while it calls.
type events struct{ m *Members }

func (e events) NotifyJoin(n *memberlist.Node)   { e.set(n) }
func (e events) NotifyUpdate(n *memberlist.Node) { e.set(n) }

func (e events) set(n *memberlist.Node) {
	i, err := parseInfo(n.Meta)
	if err != nil {
		return // NotifyAlive has said why
	}
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	from := net.JoinHostPort(n.Addr.String(), fmt.Sprint(n.Port))
	if n.Name == e.m.self.name() {
		e.m.own, e.m.port = from, int(n.Port)
		return
	}
	if _, known := e.m.others[n.Name]; !known {
		e.m.log.Info("gossip: a node is there", "node", i.Node, "address", i.Addr, "cluster", clusterName(i.Cluster))
	}
	e.m.others[n.Name] = seen{i, from}
	hint(e.m.changed)
}

func (e events) NotifyLeave(n *memberlist.Node) {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	if o, known := e.m.others[n.Name]; known {
		e.m.log.Info("gossip: a node has gone", "node", o.Node, "address", o.Addr)
		delete(e.m.others, n.Name)
		hint(e.m.changed)
		hint(e.m.lost)
	}
}

// clusterName is an id as clients and operators see it.
func clusterName(id uuid.UUID) string {
	if id == uuid.Nil {
		return "none yet"
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// lines gives memberlist's log to slog. Anyone who reaches the port can make it complain, so there is a line a second of
// its warnings. When this node goes there are none: memberlist closes its sockets before it stops using them.
type lines struct {
	to   *slog.Logger
	over context.Context // ends when this node goes

	mu   sync.Mutex
	last time.Time
}

// Write is given one line.
func (l *lines) Write(b []byte) (int, error) {
	level, rest := slog.LevelDebug, bytes.TrimSpace(b)
	if tag, text, ok := bytes.Cut(rest, []byte("] ")); ok && len(tag) > 0 && tag[0] == '[' {
		rest = text
		switch {
		case l.over.Err() != nil:
		case isBack(text):
			level = slog.LevelInfo
		case (string(tag) == "[ERR" || string(tag) == "[WARN") && l.pass():
			level = slog.LevelWarn
		}
		rest, _, _ = bytes.Cut(rest, []byte(" meta:(")) // what two nodes say of themselves, byte by byte
	}
	l.to.Log(context.Background(), level, "gossip: "+string(bytes.TrimPrefix(rest, []byte("memberlist: "))))
	return len(b), nil
}

// isBack says whether the line is of what others still believed of this node, of the run before or of a time in which they did
// not hear it, and now know better. That it is suspected while it runs is another line.
func isBack(line []byte) bool {
	line = bytes.TrimPrefix(line, []byte("memberlist: "))
	return bytes.HasPrefix(line, []byte("Refuting a dead message")) || bytes.HasPrefix(line, []byte("Refuting an alive message"))
}

func (l *lines) pass() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.last) < time.Second {
		return false
	}
	l.last = now
	return true
}
