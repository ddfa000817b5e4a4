package integration

import (
	"testing"

	"chronik/integration/broker"
)

func TestMain(m *testing.M) { broker.Main(m) }
