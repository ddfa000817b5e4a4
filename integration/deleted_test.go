package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/integration/broker"
)

// What was deleted stays so when the leader dies right after it said so, and the answer does not wait long for the others.
func TestDeletedRecordsStayDeletedWhenTheLeaderDies(t *testing.T) {
	c := broker.NewCluster(t, 3, broker.SmallLog...)
	c.Start()
	ctx, cancel := context.WithTimeout(t.Context(), broker.Patience)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Addresses(), ",")...), kgo.MetadataMinAge(10*time.Millisecond), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(ctx, 1, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	c.AwaitISR("t", 3)
	if err := cl.ProduceSync(ctx, kgo.StringRecord("a"), kgo.StringRecord("b"), kgo.StringRecord("c")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	topics, err := admin.ListTopics(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := admin.DeleteRecords(ctx, kadm.Offsets{"t": {0: {Topic: "t", At: 2}}}); err != nil {
		t.Fatal(err)
	}
	t.Logf("deleted in %v", time.Since(begun))
	c.Nodes[topics["t"].Partitions[0].Leader-1].Kill()
	reader, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Addresses(), ",")...), kgo.ConsumeTopics("t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	fetches := reader.PollFetches(ctx)
	if err := fetches.Err0(); err != nil {
		t.Fatal(err)
	}
	if first := fetches.Records()[0]; first.Offset != 2 || string(first.Value) != "c" {
		t.Errorf("the next leader begins with %q at %d", first.Value, first.Offset)
	}
}
