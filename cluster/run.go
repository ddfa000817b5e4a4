package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"chronik/metalog"
	"chronik/metalog/image"
)

const (
	runFile    = "node.run" // metalog.Run
	damagedDir = "damaged"  // where whole logs go that cannot be used, for whoever wants to look into them
)

// past is what a node among others knows of its earlier runs, and what this one tells of itself. See DESIGN.md, "Disks that
// are not what they were".
type past struct {
	path string
	note *metalog.Run // nil: the directory has never registered

	mu  sync.Mutex // guards now, and the file
	now *metalog.Run
}

// readPast reads the note of the last run. One that is damaged says only that there was one: this node founds no cluster, and
// what it has counts as old.
func readPast(o Options) (*past, error) {
	p := &past{path: filepath.Join(o.Dir, runFile)}
	note, err := metalog.ReadRun(p.path)
	if errors.Is(err, image.ErrCorrupt) {
		o.Logger.Error("the note of this node's last run is damaged: what the node has on its disk counts as old", "error", err)
		note, err = &metalog.Run{Node: o.ID, Incarnation: metalog.IncarnationIn(filepath.Join(o.Dir, "metalog"))}, nil
	}
	if err == nil && note != nil && note.Node != o.ID {
		err = fmt.Errorf("%s is of node %d, not of node %d: start it with that node-id, or give node %d a directory of its own",
			p.path, note.Node, o.ID, o.ID)
	}
	p.note = note
	return p, err
}

// openMetalog opens the metadata log. Where this node has belonged to a cluster, a log that is damaged or missing, or older
// than what the others know, is set aside: it comes back as another server of Raft, and keeps its partitions. It founds
// no cluster: with nobody who still has the metadata it waits.
func (p *past) openMetalog(ctx context.Context, o Options, m metalog.Options, ask func(context.Context, string, question) (reply, error)) (*metalog.Log, error) {
	if p.note == nil {
		if err := checkLostMetadata(o); err != nil {
			return nil, err
		}
		return metalog.Open(m)
	}
	m.Incarnation = p.note.Incarnation
	if why := p.older(ctx, o, ask); why != "" {
		o.Logger.Error("this data directory is an older copy: its metadata log is set aside, and this node becomes another member of the cluster",
			"why", why)
		if err := setAside(o, "metalog"); err != nil {
			return nil, err
		}
	}
	l, err := metalog.Open(m)
	if !errors.Is(err, image.ErrCorrupt) {
		return l, err
	}
	o.Logger.Error("the metadata log is damaged: it is set aside, and this node becomes another member of the cluster, which has it whole", "error", err)
	if err := setAside(o, "metalog"); err != nil {
		return nil, err
	}
	return metalog.Open(m)
}

// askPatience is how long a start waits for the other nodes to say what they know of this one's runs.
const askPatience = time.Second

// older says why this directory is older than a run of the node that the others know; "" where none of those that answer
// does. It asks before this node has a vote: with an older log it would vote for what it has acknowledged not to.
func (p *past) older(ctx context.Context, o Options, ask func(context.Context, string, question) (reply, error)) string {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	addrs := slices.Clone(p.note.Peers)
	for _, v := range o.Peers.Voters {
		if v.Node != o.ID && !slices.Contains(addrs, v.Addr) {
			addrs = append(addrs, v.Addr)
		}
	}
	type answer struct {
		addr string
		reply
	}
	answers, answered := make(chan answer, len(addrs)), 0
	for _, addr := range addrs {
		go func() {
			a, err := ask(ctx, addr, question{Kind: askRun, From: server{Node: o.ID}})
			a.OK = a.OK && err == nil
			answers <- answer{addr, a}
		}()
	}
	for range addrs {
		a := <-answers
		if !a.OK || p.note.Cluster != uuid.Nil && a.Cluster != p.note.Cluster {
			continue
		}
		if answered++; p.note.Older(a.Run, a.Epoch) {
			return fmt.Sprintf("the node at %s knows of run %s, registered as epoch %d, this directory of %s and of epoch %d",
				a.addr, a.Run, a.Epoch, p.note.ID, p.note.Epoch)
		}
	}
	if answered <= len(addrs)/2 {
		o.Logger.Info("not all nodes said whether this directory is as new as this node's last run; it votes with what it has",
			"answered", answered, "asked", len(addrs))
	}
	return ""
}

// setAside moves a directory of the node's to where nothing uses it, for good before it returns.
func setAside(o Options, name string) error {
	from, aside := filepath.Join(o.Dir, name), filepath.Join(o.Dir, damagedDir)
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	to := filepath.Join(aside, name)
	for i := 1; ; i++ {
		if _, err := os.Stat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = filepath.Join(aside, fmt.Sprintf("%s.%d", name, i))
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	o.Logger.Warn("the old files were set aside; remove them when nothing in them is needed any more", "from", from, "to", to)
	return errors.Join(syncDir(aside), syncDir(o.Dir))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// begin notes that this run is about to register, and tells r of it. The cluster holds what it knows of the last run
// against that.
func (p *past) begin(img *image.Image, r *image.BrokerRecord, cluster uuid.UUID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		now := &metalog.Run{Node: r.ID, ID: uuid.New()}
		if p.note != nil {
			now.Before = p.note.ID
		}
		if b, ok := img.Broker(r.ID); ok && p.note != nil && p.note.Knows(b.Run) && b.Run != uuid.Nil {
			now.Before = b.Run
		}
		p.now = now
	}
	if b, ok := img.Broker(r.ID); ok {
		p.now.Epoch = b.Epoch
	}
	p.now.Cluster, p.now.Incarnation, p.now.Peers = cluster, r.Incarnation, others(img, r.ID)
	r.Run, r.Before = p.now.ID, p.now.Before
	return p.now.Write(p.path)
}

// meet notes where the other nodes are now, for the next start.
func (p *past) meet(img *image.Image) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		return nil
	}
	peers := others(img, p.now.Node)
	if slices.Equal(peers, p.now.Peers) {
		return nil
	}
	was := p.now.Peers
	p.now.Peers = peers
	err := p.now.Write(p.path)
	if err != nil {
		p.now.Peers = was // the next one to register has it tried again
	}
	return err
}

// others is where the other nodes are reached.
func others(img *image.Image, self image.BrokerID) (addrs []string) {
	for _, b := range img.Brokers() {
		if addr, ok := internalAddr(img, b.ID); ok && b.ID != self {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}
