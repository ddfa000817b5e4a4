package controller

import (
	"slices"
	"strconv"

	"github.com/google/uuid"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// producerIDBlock is how many producer ids a broker is given at a time (ProducerIdsBlock in Kafka).
const producerIDBlock = 1000

// planRegistration refuses what must not become a broker; whether the id is free is for Apply, which sees all.
func planRegistration(r image.BrokerRecord) error {
	forClients := func(e image.Endpoint) bool { return e.Name != image.InternalListener }
	if r.ID < 0 || r.Incarnation == uuid.Nil || !slices.ContainsFunc(r.Endpoints, forClients) {
		return kerr.Detail(kerr.InvalidRegistration, "a broker needs an id, a data directory and a listener")
	}
	return nil
}

func planProducerIDs(img *image.Image, self image.BrokerID) image.ProducerIDsRecord {
	return image.ProducerIDsRecord{Broker: self, Start: img.NextProducerID(), Count: producerIDBlock}
}

// minISRConfig decides what an ELR is good for, so all brokers must go by the same number.
const minISRConfig = "min.insync.replicas"

// planOneMinISR makes this broker's min.insync.replicas the cluster's when that has none, and removes those of single
// brokers: two leaders, or a leader and the controller, that count differently would call different things committed.
func planOneMinISR(img *image.Image, cfg *config.Broker) (recs []image.Record) {
	if _, ok := img.Configs(image.Resource{Type: image.BrokerResource})[minISRConfig]; !ok {
		if t, err := cfg.CompileTopic(nil); err == nil {
			value := strconv.Itoa(int(t.MinInsyncReplicas))
			recs = append(recs, image.ConfigRecord{Resource: image.Resource{Type: image.BrokerResource}, Name: minISRConfig, Value: &value})
		}
	}
	for _, r := range img.ConfigResources(image.BrokerResource) {
		if _, ok := img.Configs(r)[minISRConfig]; ok && r.Name != "" {
			recs = append(recs, image.ConfigRecord{Resource: r, Name: minISRConfig})
		}
	}
	return recs
}

// checkOneMinISR refuses what planOneMinISR would undo.
func checkOneMinISR(img *image.Image, r image.Resource, was, is map[string]string) error {
	if r.Type != image.BrokerResource || len(img.Brokers()) < 2 {
		return nil
	}
	_, had := was[minISRConfig]
	_, has := is[minISRConfig]
	switch {
	case r.Name != "" && has:
		return kerr.Detail(kerr.InvalidConfig, "%s can not be set for one broker: every leader must go by the same number.", minISRConfig)
	case r.Name == "" && had && !has:
		return kerr.Detail(kerr.InvalidConfig, "%s of the cluster can not be removed: every leader must go by the same number.", minISRConfig)
	}
	return nil
}
