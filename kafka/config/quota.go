package config

import (
	"math"

	"chronik/kafka/kerr"
)

// The quotas that clients may be given (KIP-13, 124, 599, 612), by their keys in AlterClientQuotas.
const (
	ProducerByteRate       = "producer_byte_rate"       // bytes per second
	ConsumerByteRate       = "consumer_byte_rate"       // bytes per second
	RequestPercentage      = "request_percentage"       // of the time of one processor
	ControllerMutationRate = "controller_mutation_rate" // partitions created and deleted per second
	ConnectionCreationRate = "connection_creation_rate" // per second, of an address
)

var clientQuotas = map[string]Type{
	ProducerByteRate: Long, ConsumerByteRate: Long, RequestPercentage: Double, ControllerMutationRate: Double,
}

var addressQuotas = map[string]Type{ConnectionCreationRate: Int}

// CheckQuota refuses a quota that is not there for an address, or for a user and client id, and a value that it can't
// have. The error is a kerr.InvalidRequest.
func CheckQuota(address bool, key string, value float64) error {
	quotas := clientQuotas
	if address {
		quotas = addressQuotas
	}
	t, ok := quotas[key]
	largest := map[Type]float64{Int: math.MaxInt32, Long: math.MaxInt64, Double: math.MaxFloat64}[t]
	switch {
	case !ok:
		return kerr.Detail(kerr.InvalidRequest, "Invalid configuration key %s", key)
	case math.IsNaN(value):
		return kerr.Detail(kerr.InvalidRequest, "Quota %s must be a number", key)
	case value <= 0:
		return kerr.Detail(kerr.InvalidRequest, "Quota %s must be greater than 0", key)
	case value > largest:
		return kerr.Detail(kerr.InvalidRequest, "Proposed value for %s is too large for %s %s.", key, article(t), t)
	case t != Double && math.Mod(value, 1) > 1e-6:
		return kerr.Detail(kerr.InvalidRequest, "%s cannot be a fractional value.", key)
	}
	return nil
}

func article(t Type) string {
	if t == Int {
		return "an"
	}
	return "a"
}
