package metalog

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// installed is a node whose log ended long ago, as it was before a leader sent it a snapshot, when raft was about to
// delete the log that the snapshot takes the place of, and after.
type installed struct {
	*trio
	node                   int
	before, amidst, behind tree
}

// sentASnapshot takes a new cluster for each attempt: after one that came to nothing, the logs of its nodes begin with a snapshot.
func sentASnapshot(t *testing.T) *installed {
	for range 5 {
		c := founded(t, 3)
		for i := range c.logs { // with few entries behind a snapshot
			c.close(i)
		}
		c.trailing = 5
		for i := range c.logs {
			c.open(i)
		}
		x := &installed{trio: c}
		if x.attempt(); x.amidst != nil {
			return x
		}
		for i, l := range c.logs {
			if l != nil {
				c.close(i)
			}
		}
	}
	t.Fatal("no log was deleted")
	return nil
}

func (x *installed) attempt() {
	c := x.trio
	x.node = (c.leader() + 1) % 3
	for k := range 20 { // more than stay behind a snapshot, so that some of them go when one comes
		c.insist(c.logs[0], topic(fmt.Sprint("before-", k)))
	}
	c.same()
	c.close(x.node)
	x.before = readTree(c.t, c.path(x.node))
	for i, l := range c.logs {
		for k := range 20 {
			if l != nil {
				c.insist(l, topic(fmt.Sprint(i, "-", k)))
			}
		}
	}
	c.same()
	for _, l := range c.logs {
		if l != nil {
			if err := l.Snapshot(); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	disk := &compacting{deleting: func() { x.amidst = readTree(c.t, c.path(x.node)) }}
	l, err := open(Options{Dir: c.path(x.node), NodeID: image.BrokerID(x.node + 1), Net: c.ports[x.node], trailing: c.trailing},
		func(b backend) backend { disk.backend = b; return disk })
	if err != nil {
		c.t.Fatal(err)
	}
	c.logs[x.node] = l
	c.same()
	c.close(x.node)
	x.behind = readTree(c.t, c.path(x.node))
}

// insist proposes a topic until it is there. Where the leader changes, as it may on a busy machine, nobody knows what has
// become of a proposal.
func (c *trio) insist(l *Log, r image.TopicRecord) {
	c.t.Helper()
	ctx := c.soon()
	for {
		_, err := l.Propose(ctx, r)
		if err == nil || kerr.Of(err) == kerr.TopicAlreadyExists {
			return
		}
		if ctx.Err() != nil {
			c.t.Fatal(err)
		}
	}
}

// start opens the node with what is left of its directory.
func (x *installed) start(left tree) error {
	dir := x.path(x.node)
	if err := os.RemoveAll(dir); err != nil {
		x.t.Fatal(err)
	}
	left.write(x.t, dir)
	l, err := Open(Options{Dir: dir, NodeID: image.BrokerID(x.node + 1), Net: x.ports[x.node], trailing: x.trailing})
	if err != nil {
		return err
	}
	x.logs[x.node] = l
	x.same()
	x.close(x.node)
	_, err = Load(dir)
	return err
}

func TestASnapshotThatWasSentMayBeCutShort(t *testing.T) {
	x := sentASnapshot(t)
	none := x.amidst
	for _, name := range x.amidst.under(snapshotsDir) {
		none = none.with(map[string]*pages{name: nil})
	}
	for _, s := range []struct {
		what string
		left tree
	}{
		{"before the snapshot", x.before},
		{"the note of it only", none},
		{"the snapshot, and the log before it", x.amidst},
		{"all of it", x.behind},
	} {
		if err := x.start(s.left); err != nil {
			t.Errorf("%s: %v", s.what, err)
		}
	}
	old := x.before[storeFile]
	for what, left := range map[string]tree{
		"a store from before the snapshot":      x.behind.with(map[string]*pages{storeFile: &old}),
		"that, where nothing was noted at all":  x.behind.with(map[string]*pages{storeFile: &old, reachedFile: nil}),
		"no snapshot, and the log gone with it": x.behind.with(gone(x.behind)),
	} {
		if err := x.start(left); !errors.Is(err, image.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		} else {
			t.Log(err)
		}
	}
}

func gone(a tree) map[string]*pages {
	all := map[string]*pages{}
	for _, name := range a.under(snapshotsDir) {
		all[name] = nil
	}
	return all
}
