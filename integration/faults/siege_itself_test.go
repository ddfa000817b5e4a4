package faults

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/metalog/image"
)

// What the disks of the nodes must not differ in, and what they may.
func TestFaultsSiegeFindsDisksThatDiffer(t *testing.T) {
	log := func(batches int) (all []seenBatch) {
		for n := range batches {
			all = append(all, seenBatch{int64(n), int64(n), 0, uint64(n), uint64(n)})
		}
		return all
	}
	for _, c := range []struct {
		name, want string
		change     func(disks []*disk, shown map[partitionKey][]seenBatch)
	}{
		{"all is well", "", func([]*disk, map[partitionKey][]seenBatch) {}},
		{"more than clients were shown", "", func(d []*disk, _ map[partitionKey][]seenBatch) { d[0].logs[part] = log(7) }},
		{"other metadata", "I9: the metadata of nodes 1 and 3 differs", func(d []*disk, _ map[partitionKey][]seenBatch) { d[2].hash[5]++ }},
		{"metadata that ends earlier", "I9: the metadata of nodes 1 and 2 differs, at index 9 and 8", func(d []*disk, _ map[partitionKey][]seenBatch) { d[1].index = 8 }},
		{"less than clients were shown", "I9: {t 0} on node 2 has 4 batches", func(d []*disk, _ map[partitionKey][]seenBatch) { d[1].logs[part] = log(4) }},
		{"nothing of a partition", "I9: {t 0} on node 3 has 0 batches", func(d []*disk, _ map[partitionKey][]seenBatch) { delete(d[2].logs, part) }},
		{"other bytes than clients were shown", "I9: {t 0} on node 3 holds", func(d []*disk, _ map[partitionKey][]seenBatch) { d[2].logs[part][1].sum++ }},
		{"another epoch than clients were shown", "I9: {t 0} on node 3 holds", func(d []*disk, _ map[partitionKey][]seenBatch) { d[2].logs[part][4].epoch++ }},
		{"other bytes beyond", "I9: {t 0} holds", func(d []*disk, _ map[partitionKey][]seenBatch) {
			d[0].logs[part], d[1].logs[part] = log(7), log(7)
			d[1].logs[part][6].sum++
		}},
	} {
		var disks []*disk
		for n := range 3 {
			disks = append(disks, &disk{node: image.BrokerID(n + 1), index: 9, logs: map[partitionKey][]seenBatch{part: log(6)}})
		}
		shown := map[partitionKey][]seenBatch{part: log(5)}
		c.change(disks, shown)
		got := compareDisks(disks, shown)
		if found := slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, c.want) }); found != (c.want != "") || c.want == "" && len(got) > 0 {
			t.Errorf("%s: want %q, got %q", c.name, c.want, got)
		}
	}
}

// A cluster is whole when all nodes say so, of the same partitions.
func TestFaultsSiegeFindsWhatIsNotWhole(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(p *kmsg.MetadataResponseTopicPartition)
	}{
		{"all is well", "", func(*kmsg.MetadataResponseTopicPartition) {}},
		{"in another order", "", func(p *kmsg.MetadataResponseTopicPartition) { p.ISR = []int32{3, 1, 2} }},
		{"no leader", "node 3: {t 0} has no leader", func(p *kmsg.MetadataResponseTopicPartition) { p.Leader = -1 }},
		{"an error", "node 3: {t 0} has no leader, code 5", func(p *kmsg.MetadataResponseTopicPartition) { p.ErrorCode = 5 }},
		{"a replica out of sync", "node 3: of {t 0} only [1 3]", func(p *kmsg.MetadataResponseTopicPartition) { p.ISR = []int32{3, 1} }},
		{"another leader", "nodes 1 and 3 do not agree", func(p *kmsg.MetadataResponseTopicPartition) { p.Leader = 2 }},
		{"an older epoch", "nodes 1 and 3 do not agree", func(p *kmsg.MetadataResponseTopicPartition) { p.LeaderEpoch = 3 }},
	} {
		var views []map[partitionKey]kmsg.MetadataResponseTopicPartition
		for n := range 3 {
			p := kmsg.MetadataResponseTopicPartition{Leader: 1, LeaderEpoch: 4, ISR: []int32{1, 2, 3}}
			if n == 2 {
				c.change(&p)
			}
			views = append(views, map[partitionKey]kmsg.MetadataResponseTopicPartition{part: p})
		}
		if got := lackingIn(views, 3); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: want %q, got %q", c.name, c.want, got)
		}
	}
	one := map[partitionKey]kmsg.MetadataResponseTopicPartition{part: {Leader: 1, ISR: []int32{1, 2, 3}}}
	if got := lackingIn([]map[partitionKey]kmsg.MetadataResponseTopicPartition{one, nil}, 3); !strings.HasPrefix(got, "node 2 knows 0") {
		t.Errorf("a node that knows of no partition: %q", got)
	}
	if lackingIn(make([]map[partitionKey]kmsg.MetadataResponseTopicPartition, 3), 3) == "" {
		t.Error("a cluster without partitions is whole")
	}
}
