package integration

import (
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
)

// feature is what decides what may stand in the metadata log.
const feature = "chronik.version"

// levels is what the node says of the feature: the newest that it understands, and the one that has been finalised.
func levels(t *testing.T, m *mover, node int) (supported, finalised int16) {
	t.Helper()
	rq := kmsg.NewPtrApiVersionsRequest()
	rq.ClientSoftwareName, rq.ClientSoftwareVersion = "test", "1"
	resp, err := m.client.Broker(node).RetriableRequest(m.ctx, rq)
	if err != nil {
		t.Fatal(err)
	}
	versions := resp.(*kmsg.ApiVersionsResponse)
	for _, f := range versions.SupportedFeatures {
		if f.Name == feature {
			supported = f.MaxVersion
		}
	}
	for _, f := range versions.FinalizedFeatures {
		if f.Name == feature {
			finalised = f.MaxVersionLevel
		}
	}
	return supported, finalised
}

// raise finalises a level.
func raise(m *mover, level int16) (message string, err error) {
	rq := kmsg.NewPtrUpdateFeaturesRequest()
	u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	u.Feature, u.MaxVersionLevel, u.UpgradeType = feature, level, 1
	rq.FeatureUpdates = append(rq.FeatureUpdates, u)
	rq.TimeoutMillis = 10_000
	resp, err := rq.RequestWith(m.ctx, m.client)
	if err != nil {
		return "", err
	}
	if resp.ErrorMessage != nil {
		message = *resp.ErrorMessage
	}
	return message, kerr.ErrorForCode(resp.ErrorCode)
}

// replaceServer stops a node in good order and starts it with another program.
func replaceServer(t *testing.T, n *broker.Broker, program string) {
	t.Helper()
	n.Signal(syscall.SIGTERM)
	if code := n.Wait(); code != 0 {
		t.Errorf("a node that was told to stop ended with %d", code)
	}
	n.Server = program
	n.Start()
}

// Three nodes get the next release one by one, under producers and consumers, and one of them goes back on the way: nobody's
// request fails, and nothing that was acknowledged is lost. The cluster stays at the old level until it is raised, which it can
// be only when all know the new one; then a node that is too old does not start, and says why.
func TestARollingUpgradeLosesNothing(t *testing.T) {
	next, err := broker.NextServer()
	if err != nil {
		t.Fatal(err)
	}
	c := broker.NewCluster(t, 3, broker.SmallLog...)
	c.Start()
	bench := c.Bench("both", "--duration", broker.Patience.String(), "--rate", "2000", "--size", "100-2000", "--clients", "2", "--partitions", "6",
		"--replication", "3", "--topic-config", "min.insync.replicas=2", "--linger", "2ms", "--topic", "ledger")
	c.AwaitISR("ledger", 3)
	m := newMover(t, c, "ledger")
	roll := func(n *broker.Broker, program string) {
		replaceServer(t, n, program)
		c.AwaitISR("ledger", 3)
	}
	roll(c.Nodes[1], next)
	roll(c.Nodes[1], "")
	for i, n := range c.Nodes {
		if message, err := raise(m, 2); err != kerr.InvalidUpdateVersion || !strings.Contains(message, "supports 1 to 1") {
			t.Errorf("raised when %d of 3 know it: %q, %v", i, message, err)
		}
		roll(n, next)
	}
	for id := 1; id <= 3; id++ {
		if supported, finalised := levels(t, m, id); supported != 2 || finalised > 1 {
			t.Errorf("node %d is at level %d of %d before it was raised", id, finalised, supported)
		}
	}
	if message, err := raise(m, 2); err != nil {
		t.Fatalf("%q, %v", message, err)
	}
	m.until("all nodes know the level", func() bool {
		_, one := levels(t, m, 1)
		_, two := levels(t, m, 2)
		_, three := levels(t, m, 3)
		return one == 2 && two == 2 && three == 2
	})
	bench.Signal(syscall.SIGTERM) // it stops to send, and verifies
	bench.WaitFor(2 * broker.Patience)
	r := benchReport(t, bench)
	t.Logf("%d records acknowledged, %.2f s the longest time without", r.Produce.Acked, r.Produce.LongestGap)
	if r.Produce.Acked == 0 || r.Verified.Acked != r.Produce.Acked || len(r.Produce.Errors)+len(r.Consume.Errors) > 0 {
		t.Errorf("%+v", r)
	}

	old := c.Nodes[2]
	old.Signal(syscall.SIGTERM)
	old.Wait()
	old.Server = ""
	old.Begin()
	if code := old.Wait(); code != 1 || !strings.Contains(old.Said(), "the cluster is at level 2 of chronik.version; this broker understands 1 to 1: start a release that understands it") {
		t.Errorf("a node that is too old ended with %d:\n%s", code, old.Said())
	}
	old.Server = next
	old.Start()
	c.AwaitISR("ledger", 3)
}
