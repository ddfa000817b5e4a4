package cluster

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
	"chronik/metalog"
	"chronik/metalog/image"
)

// Voter is a node that founds a cluster, as the operator names it.
type Voter struct {
	Node image.BrokerID
	Addr string // host:port of its internal port
}

// bootstrap makes this node a member: the first node of an empty metadata log mints the cluster's id, and every start
// registers the broker anew, which gives it a new epoch. First boot and restart are one path.
func (n *Node) bootstrap(ctx context.Context, o Options) error {
	if err := mint(ctx, n.Meta, o.ClusterID); err != nil {
		return err
	}
	_, err := n.Controller.RegisterBroker(ctx, image.BrokerRecord{
		ID:          o.ID,
		Incarnation: n.Meta.Incarnation(),
		Rack:        o.Static["broker.rack"],
		Endpoints:   o.Endpoints,
	})
	if kerr.Of(err) == kerr.DuplicateBrokerRegistration {
		return fmt.Errorf("broker %d is registered with another data directory: %w", o.ID, err)
	}
	return err
}

// mint gives an empty metadata log its cluster id: the one that is set, or a random one.
func mint(ctx context.Context, meta *metalog.Log, setting string) error {
	want, err := ParseClusterID(setting)
	if err != nil {
		return err
	}
	have := meta.Image().ClusterID()
	switch {
	case have == uuid.Nil && want == uuid.Nil:
		_, err = meta.Propose(ctx, image.ClusterRecord{ID: uuid.New()})
	case have == uuid.Nil:
		_, err = meta.Propose(ctx, image.ClusterRecord{ID: want})
	case want != uuid.Nil && want != have:
		err = fmt.Errorf("cluster-id is %s, but the data directory belongs to cluster %s: leave the setting out, or use another data-dir",
			setting, FormatClusterID(have))
	}
	return err
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
