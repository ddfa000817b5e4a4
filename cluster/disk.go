package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// A disk that hangs says nothing: what waits for it waits for ever, and heartbeats, which need no disk, go on. So the node
// looks at how long the oldest write that somebody waits for has been under way.
const (
	diskLook = 100 * time.Millisecond
	diskSlow = time.Second     // then it is said
	diskGone = 3 * time.Second // then the node gives up what it leads, and ends
)

// hang is how long the oldest operation has been seen under way. Time in which this process did not run does not count: a
// process that was stopped finds its disk as it was.
type hang struct {
	vfs.Operation
	age  time.Duration
	said bool
}

// look takes over what is under way, elapsed after it was looked at last.
func (h *hang) look(o vfs.Operation, any bool, elapsed time.Duration) {
	if !any || o.ID != h.ID {
		*h = hang{Operation: o}
		return
	}
	h.age += min(elapsed, 3*diskLook)
}

// watchDisk ends the node when its disk hangs and nobody waits for it: there are others that can go on, or it is to stop. See
// DESIGN.md.
func (n *Node) watchDisk() {
	tick := time.NewTicker(diskLook)
	defer tick.Stop()
	h, last := hang{}, time.Now()
	for {
		select {
		case <-tick.C:
		case <-n.failed:
			return
		case <-n.closed:
			return
		}
		o, any := n.disk.Oldest()
		now := time.Now()
		h.look(o, any, now.Sub(last))
		last = now
		path := filepath.Join(n.options.Dir, h.Dir, h.Name)
		switch {
		case h.age >= diskGone && !n.awaitsDisk():
			n.logger.Error("the disk does not answer: this node gives up what it leads, and ends", "operation", h.Op, "path", path, "for", h.age)
			n.giveWay(fmt.Errorf("%s %s: %w for %s", h.Op, path, ErrHangs, h.age.Round(diskLook)))
			return
		case h.age >= diskSlow && !h.said:
			h.said = true
			n.logger.Warn("the disk is slow to answer", "operation", h.Op, "path", path, "for", h.age)
		}
	}
}

// awaitsDisk says that nobody could go on without this node, and that nobody wants it to end.
func (n *Node) awaitsDisk() bool {
	select {
	case <-n.draining:
		return false
	default:
		return len(n.Meta.Image().Brokers()) <= 1
	}
}

// ErrHangs is of a node that its disk has ended by not answering.
var ErrHangs = errors.New("the disk has not answered")

// giveWay has the others go on without this node, at once: it acknowledges nothing more, says so to the controller where
// that is another node, and falls silent where it is the controller itself.
func (n *Node) giveWay(cause error) {
	if s := n.serving.Load(); s != nil {
		s.abandon()
	}
	n.Meta.Fail(cause)
}

// abandonPatience is how long the controller has to take note; then the closed port tells it.
const abandonPatience = 300 * time.Millisecond

// abandon ends the session: this node leads nothing any more, and the controller is asked to fence it.
func (s *session) abandon() {
	s.stop()
	n := s.node
	n.Replicas.Abdicate()
	leader := n.Meta.Leader()
	if leader == n.ID || leader == image.NoBroker {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), abandonPatience)
	defer cancel()
	rq := s.request()
	rq.WantFence = true
	if _, err := n.peers.links.heartbeat(ctx, leader, rq); err != nil {
		n.logger.Warn("the controller was not told that this node ends; it will find its port closed", "controller", leader, "error", err)
	}
}

// HangUp closes the internal port, whatever still runs behind it.
func (n *Node) HangUp() error {
	if n.peers == nil {
		return nil
	}
	return n.peers.net.Close()
}
