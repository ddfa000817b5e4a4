package image

import (
	"math"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
	"chronik/wal/mutant"
)

func (c *change) cluster(r ClusterRecord) error {
	switch {
	case r.ID == uuid.Nil:
		return kerr.Detail(kerr.InvalidRequest, "a cluster id must not be zero")
	case c.next.clusterID != uuid.Nil && c.next.clusterID != r.ID:
		return kerr.Detail(kerr.InconsistentClusterID, "the cluster's id is %s", c.next.clusterID)
	}
	c.next.clusterID = r.ID
	return nil
}

func (c *change) broker(r BrokerRecord) error {
	if r.ID < 0 {
		return kerr.Detail(kerr.InvalidRequest, "broker id %d is negative", r.ID)
	}
	was, ok := c.brokers.get(brokerKey(r.ID))
	another := ok && (was.Incarnation != r.Incarnation || was.isLaterThan(r))
	if another && !was.Fenced {
		return kerr.Detail(kerr.DuplicateBrokerRegistration, "broker %d is alive on another data directory (%s)", r.ID, was.Incarnation)
	}
	c.setBroker(&Broker{
		ID: r.ID, Incarnation: r.Incarnation, Epoch: int64(c.next.index), Rack: r.Rack,
		Endpoints: r.Endpoints, Features: r.Features, Fenced: r.Fenced || ok && was.Fenced, Run: r.Run,
	})
	switch {
	case another:
		return c.giveUp(r.ID)
	case ok:
		return c.leadAnew(r.ID)
	}
	return nil
}

// isLaterThan says that the directory which registers is older than the run of it that registered last.
func (b *Broker) isLaterThan(r BrokerRecord) bool {
	return !mutant.On(mutant.TrustOlderDisk) && b.Run != uuid.Nil && b.Run != r.Run && b.Run != r.Before
}

func (c *change) fence(r FenceRecord) error {
	b, err := c.brokerOf(r.ID, r.Epoch)
	if err != nil {
		return err
	}
	b.Fenced = r.Fenced
	c.setBroker(b)
	return nil
}

func (c *change) controlledShutdown(r ControlledShutdownRecord) error {
	b, err := c.brokerOf(r.ID, r.Epoch)
	if err != nil {
		return err
	}
	b.ShuttingDown = true
	c.setBroker(b)
	return nil
}

func (c *change) unregisterBroker(r UnregisterBrokerRecord) error {
	b, err := c.brokerOf(r.ID, r.Epoch)
	if err != nil {
		return err
	}
	if !b.Fenced {
		return kerr.Detail(kerr.InvalidRequest, "broker %d is alive", r.ID)
	}
	c.brokers.drop(brokerKey(r.ID))
	c.touchedBrokers.add(r.ID)
	return c.giveUp(r.ID)
}

// brokerOf is a copy of the registered broker of that epoch.
func (c *change) brokerOf(id BrokerID, epoch int64) (*Broker, error) {
	was, ok := c.brokers.get(brokerKey(id))
	if !ok {
		return nil, kerr.BrokerIDNotRegistered
	}
	if was.Epoch != epoch {
		return nil, kerr.Detail(kerr.StaleBrokerEpoch, "the epoch of broker %d is %d", id, was.Epoch)
	}
	b := *was
	return &b, nil
}

func (c *change) setBroker(b *Broker) {
	c.brokers.put(brokerKey(b.ID), b)
	c.touchedBrokers.add(b.ID)
}

func (c *change) producerIDs(r ProducerIDsRecord) error {
	if r.Count <= 0 || r.Start > math.MaxInt64-int64(r.Count) {
		return kerr.Detail(kerr.InvalidRequest, "no block of %d producer ids begins at %d", r.Count, r.Start)
	}
	if r.Start != c.next.nextProducerID {
		return kerr.Detail(kerr.InvalidUpdateVersion, "the next block of producer ids begins at %d", c.next.nextProducerID)
	}
	c.next.nextProducerID = r.Start + int64(r.Count)
	return nil
}

func (c *change) feature(r FeatureRecord) error {
	if r.Name == "" || r.Level < 0 {
		return kerr.Detail(kerr.InvalidRequest, "no feature %q of level %d", r.Name, r.Level)
	}
	if r.Level == 0 {
		c.features.drop([]byte(r.Name))
	} else {
		c.features.put([]byte(r.Name), r.Level)
	}
	return nil
}
