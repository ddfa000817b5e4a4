package controller

import (
	"github.com/google/uuid"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// producerIDBlock is how many producer ids a broker is given at a time (ProducerIdsBlock in Kafka).
const producerIDBlock = 1000

// planRegistration refuses what must not become a broker; whether the id is free is for Apply, which sees all.
func planRegistration(r image.BrokerRecord) error {
	if r.ID < 0 || r.Incarnation == uuid.Nil || len(r.Endpoints) == 0 {
		return kerr.Detail(kerr.InvalidRegistration, "a broker needs an id, a data directory and a listener")
	}
	return nil
}

func planProducerIDs(img *image.Image, self image.BrokerID) image.ProducerIDsRecord {
	return image.ProducerIDsRecord{Broker: self, Start: img.NextProducerID(), Count: producerIDBlock}
}
