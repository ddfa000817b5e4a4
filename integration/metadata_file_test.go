package integration

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/integration/broker"
)

// A node whose metadata is a plain file keeps topics, records and committed offsets over kill -9; the metadata moves to Raft's
// store and back, and a start that does not go with where it is says what to do.
func TestAStandaloneNodesMetadataIsAFile(t *testing.T) {
	b := broker.New(t, "--file-metadata")
	b.Start()
	run := func(code int, want string, args ...string) {
		t.Helper()
		out, said, got := broker.Run(t, broker.Command(t, "chronik"), args...)
		if got != code || !strings.Contains(out+said, want) {
			t.Fatalf("%v ended with %d, without %q:\n%s%s", args, got, want, out, said)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.DefaultProduceTopic("ledger"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	run(0, "created ledger", "topic", "create", "ledger", "--partitions", "1", "--brokers", b.Address())
	count := 0
	produce := func() {
		t.Helper()
		count++
		if err := client.ProduceSync(t.Context(), kgo.StringRecord("r")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	consumed := func() {
		t.Helper()
		c, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.ConsumeTopics("ledger"), kgo.ConsumerGroup("g"),
			kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f := c.PollRecords(t.Context(), 1) // the others were committed before
		records := f.Records()
		if f.Err() != nil || len(records) != 1 || records[0].Offset != int64(count-1) {
			t.Fatalf("record %d is read as %v: %v", count-1, records, f.Err())
		}
		if err := c.CommitRecords(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
	}
	produce()
	consumed()
	b.Kill()
	b.Start()
	produce()
	consumed()

	run(1, "stop the node first", "cluster", "migrate-metadata", b.Dir, "--to", "raft")
	b.Kill()
	b.VerifyDump()
	run(1, "is in a file already", "cluster", "migrate-metadata", b.Dir, "--to", "file")
	inFile := b.Flags
	for _, move := range []struct {
		to, back     string
		right, wrong []string
	}{{"raft", "file", nil, inFile}, {"file", "raft", inFile, nil}} {
		run(0, "the metadata of node 1 is in ", "cluster", "migrate-metadata", b.Dir, "--to", move.to)
		b.Flags = move.wrong
		b.Begin()
		if code := b.Wait(); code == 0 || !strings.Contains(b.Said(), "chronik cluster migrate-metadata --to "+move.back) {
			t.Fatalf("the wrong start ended with %d:\n%s", code, b.Said())
		}
		b.Flags = move.right
		b.Start()
		produce()
		consumed()
		b.Kill()
		b.VerifyDump()
	}
}

// Metadata in a file is for a node alone: one that is to be, or has been, one of several is refused.
func TestMetadataInAFileIsForANodeAlone(t *testing.T) {
	b := broker.New(t, "--file-metadata", "--join", "127.0.0.1:1", "--bootstrap-expect", "3", "--cluster-key", "0123456789abcdef")
	b.Begin()
	if code := b.Wait(); code == 0 || !strings.Contains(b.Said(), "file-metadata is for a standalone node") {
		t.Fatalf("ended with %d:\n%s", code, b.Said())
	}
	c := broker.NewCluster(t, 3)
	c.Start()
	for _, n := range c.Nodes {
		n.Kill()
	}
	one := c.Nodes[0]
	out, said, code := broker.Run(t, broker.Command(t, "chronik"), "cluster", "migrate-metadata", one.Dir, "--to", "file")
	if code != 1 || !strings.Contains(said, "is one of several ([1 2 3])") {
		t.Fatalf("ended with %d:\n%s%s", code, out, said)
	}
}
