// Package faults proves the broker against power cuts, kills, broken disks, damaged files and hostile bytes: real
// processes on real file systems. Its tests are campaigns (wal/campaign); `make faults` runs a share, `make soak` all.
package faults

import (
	"testing"

	"chronik/integration/broker"
	"chronik/integration/faults/baddisk"
)

func TestMain(m *testing.M) {
	baddisk.Serve()
	broker.Main(m)
}
