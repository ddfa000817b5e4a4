package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cordonConfig is Kafka's way to keep new partitions away from a broker (KIP-1066).
const cordonConfig = "cordoned.log.dirs"

func brokerResource(id int32) string { return strconv.Itoa(int(id)) }

// cordoned is which of the brokers, each of which tells of itself only, get no new partitions. Of one that does not answer
// nothing is known.
func cordoned(ctx context.Context, client *kgo.Client, ids []int32) map[int32]bool {
	rq := kmsg.NewPtrDescribeConfigsRequest()
	for _, id := range ids {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBroker, brokerResource(id), []string{cordonConfig}
		rq.Resources = append(rq.Resources, r)
	}
	found := map[int32]bool{}
	for _, shard := range client.RequestSharded(ctx, rq) {
		if resp, ok := shard.Resp.(*kmsg.DescribeConfigsResponse); ok && shard.Err == nil {
			for _, r := range resp.Resources {
				id, err := strconv.ParseInt(r.ResourceName, 10, 32)
				found[int32(id)] = err == nil && len(r.Configs) == 1 && text(r.Configs[0].Value) != ""
			}
		}
	}
	return found
}

// cordon keeps new partitions away from a node, or does so no more. Another one is asked: the node may be down.
func (m *mover) cordon(ctx context.Context, id int32, on bool) error {
	if m.f.dryRun {
		return nil
	}
	v, err := m.look(ctx)
	if err != nil {
		return err
	}
	rq := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, brokerResource(id)
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op = cordonConfig, kmsg.IncrementalAlterConfigOpDelete
	if on {
		c.Op, c.Value = kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr("*")
	}
	r.Configs = append(r.Configs, c)
	rq.Resources = append(rq.Resources, r)
	failed := errors.New("no node is there to be asked")
	for other, b := range v.nodes {
		if b.IsFenced {
			continue
		}
		if failed = alterConfig(ctx, m.client.Broker(int(other)), rq); failed == nil {
			return nil
		}
	}
	return fmt.Errorf("keep new partitions away from node %d: %w", id, failed)
}

func alterConfig(ctx context.Context, at *kgo.Broker, rq *kmsg.IncrementalAlterConfigsRequest) error {
	resp, err := at.RetriableRequest(ctx, rq)
	if err != nil {
		return err
	}
	for _, r := range resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return explained(text(r.ErrorMessage), err)
		}
	}
	return nil
}

func (m *mover) undrain(ctx context.Context, id int32) error {
	v, err := m.look(ctx)
	if err == nil {
		err = v.known(id)
	}
	if err == nil {
		err = m.cordon(ctx, id, false)
	}
	if err == nil {
		m.say("node %d gets new partitions again; chronik cluster add %d gives it its share of those that there are", id, id)
	}
	return err
}
