package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lastLeaders is who led last, of the partitions of these topics that nobody leads, by name (KIP-966). What the cluster does not
// tell is not there.
func lastLeaders(ctx context.Context, client *kgo.Client, topics kadm.TopicDetails) map[string]int32 {
	rq := kmsg.NewPtrDescribeTopicPartitionsRequest()
	for _, t := range topics.Sorted() {
		for _, p := range t.Partitions {
			if p.Leader < 0 {
				rq.Topics = append(rq.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: t.Topic})
				break
			}
		}
	}
	last := map[string]int32{}
	if len(rq.Topics) == 0 {
		return last
	}
	resp, err := rq.RequestWith(ctx, client)
	if err != nil {
		return last
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if len(p.LastKnownELR) > 0 {
				last[fmt.Sprintf("%s-%d", text(t.Topic), p.Partition)] = p.LastKnownELR[0]
			}
		}
	}
	return last
}
