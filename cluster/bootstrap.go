package cluster

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// bootstrap makes this node a member: the first node of an empty metadata log mints the cluster's id, and every start
// registers the broker anew, which gives it a new epoch. First boot and restart are one path. A broker among others is
// fenced until the controller has heard of it: see Live.
func (n *Node) bootstrap(ctx context.Context, o Options) error {
	if err := n.mint(ctx, o.ClusterID); err != nil {
		return err
	}
	epoch, err := n.register(ctx)
	if err == nil && n.peers != nil {
		n.session = n.newSession(epoch)
		met := make(acquaintances, 1)
		n.Meta.Watch(met)
		n.watching.Add(1)
		go n.noteOthers(met)
	}
	return err
}

// acquaintances has a token when a broker has registered.
type acquaintances chan struct{}

// Apply is image.Watcher's.
func (a acquaintances) Apply(d *image.Delta) {
	if len(d.Brokers) == 0 {
		return
	}
	select {
	case a <- struct{}{}:
	default:
	}
}

// noteOthers keeps the note of where the other nodes are: the next start asks them before anything else.
func (n *Node) noteOthers(met acquaintances) {
	defer n.watching.Done()
	for {
		select {
		case <-met:
			if err := n.past.meet(n.Meta.Image()); err != nil {
				n.logger.Warn("where the other nodes are could not be noted for the next start", "error", err)
			}
		case <-n.stop:
			return
		}
	}
}

// register returns the epoch of this broker's new registration. While another data directory's is still alive, it waits
// for the controller to fence that: the disk may have been replaced a moment ago.
func (n *Node) register(ctx context.Context) (epoch int64, err error) {
	r := image.BrokerRecord{
		ID:          n.ID,
		Incarnation: n.Meta.Incarnation(),
		Rack:        n.options.Static["broker.rack"],
		Endpoints:   n.options.Endpoints,
		Features:    features,
		Fenced:      n.peers != nil,
	}
	if n.peers != nil {
		r.Endpoints = append(slices.Clone(r.Endpoints), n.peers.endpoint())
	}
	if n.past != nil {
		if err := n.past.begin(n.Meta.Image(), &r, n.Meta.ClusterID()); err != nil {
			return 0, fmt.Errorf("note this run: %w", err)
		}
	}
	was, had := n.Meta.Image().Broker(n.ID)
	err = n.patiently(ctx, registersAgain, func() (err error) {
		epoch, err = n.Controller.RegisterBroker(ctx, r)
		return err
	})
	if kerr.Of(err) == kerr.DuplicateBrokerRegistration {
		return 0, fmt.Errorf("broker %d is registered with another data directory: give this node another node-id, or stop the other one: %w", n.ID, err)
	}
	if err == nil && had && was.Incarnation == r.Incarnation && was.Run != uuid.Nil && was.Run != r.Run && was.Run != r.Before {
		n.logger.Error("this data directory is an older copy: a run that it does not know of has registered since. Its replicas "+
			"count no more until they have caught up with the others'", "run", was.Run, "known", r.Before)
	}
	return epoch, err
}

// patiently does again what is worth another try. A cluster of one has nobody who could change anything meanwhile.
func (n *Node) patiently(ctx context.Context, again func(error) bool, do func() error) error {
	for patience := time.Now().Add(bootstrapPatience); ; {
		err := do()
		if n.peers == nil || !again(err) || n.Meta.Err() != nil || time.Now().After(patience) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// bootstrapPatience is several sessions, after which a broker that is gone is fenced.
const bootstrapPatience = 10 * time.Second

// registersAgain says whether a registration is worth another try: another directory's may be fenced by then.
func registersAgain(err error) bool {
	return kerr.Of(err) == kerr.DuplicateBrokerRegistration || isUnknown(err)
}

// isUnknown says that nobody knows what came of a proposal, because the metadata log's leader changed. Made twice, these do no harm.
func isUnknown(err error) bool { return kerr.Of(err) == kerr.UnknownServerError }

// mint gives an empty metadata log its cluster id: the one that its founders agreed on, the one that is set, or a random one.
func (n *Node) mint(ctx context.Context, setting string) error {
	meta := n.Meta
	want, err := ParseClusterID(setting)
	if err != nil {
		return err
	}
	if n.peers != nil && meta.Image().ClusterID() == uuid.Nil && want == uuid.Nil {
		want = meta.ClusterID()
	}
	id := want
	if id == uuid.Nil {
		id = uuid.New()
	}
	return n.patiently(ctx, isUnknown, func() error {
		switch have := meta.Image().ClusterID(); {
		case have == uuid.Nil:
			_, err := meta.Propose(ctx, foundation(id)...)
			return err
		case want != uuid.Nil && want != have:
			return fmt.Errorf("cluster-id is %s, but the data directory belongs to cluster %s: leave the setting out, or use another data-dir",
				setting, FormatClusterID(have))
		}
		return nil
	})
}

// A cluster id is a UUID, written as Kafka writes its own: 22 characters of base64.

// FormatClusterID writes id as clients see it.
func FormatClusterID(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseClusterID reads what FormatClusterID writes, or a UUID's usual text; an empty text is no id.
func ParseClusterID(text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	if raw, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(raw) == len(uuid.Nil) {
		return uuid.UUID(raw), nil
	}
	if id, err := uuid.Parse(text); err == nil {
		return id, nil
	}
	return uuid.Nil, fmt.Errorf("%q is no cluster id: write 22 characters as kafka-storage random-uuid prints them, or a UUID", text)
}
