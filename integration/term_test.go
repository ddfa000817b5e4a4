package integration

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/integration/broker"
)

// A consumer that waits for records must not hold up the end of the broker until its own time is over.
func TestTermWakesWaitingFetches(t *testing.T) {
	b := broker.New(t)
	b.Start()
	sent := make(fetchSent, 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.ConsumeTopics("t"), kgo.DefaultProduceTopic("t"), kgo.AllowAutoTopicCreation(),
		kgo.FetchMaxWait(broker.Patience), kgo.FetchMinBytes(1<<20), kgo.WithHooks(sent))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), broker.Patience)
	defer cancel()
	if err := client.ProduceSync(ctx, kgo.StringRecord("v")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-sent:
	case <-ctx.Done():
		t.Fatal("no fetch was sent")
	}
	begun := time.Now()
	b.Signal(syscall.SIGTERM)
	if code := b.Wait(); code != 0 || time.Since(begun) > 5*time.Second {
		t.Errorf("exit code %d after %s:\n%s", code, time.Since(begun), b.Said())
	}
}

// fetchSent hears of the first fetch that left.
type fetchSent chan struct{}

const fetchKey = 1

func (s fetchSent) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key != fetchKey || err != nil {
		return
	}
	select {
	case s <- struct{}{}:
	default:
	}
}
