package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// admin creates topics and deletes them, asks for more partitions, changes configs, and moves replicas.
type admin struct {
	*client
	count int
}

func (a *admin) run(load context.Context, every time.Duration) {
	for a.pause(load, every) {
		name, ok := a.w.topics.pick(a.r, a.w.lasting)
		switch n := a.r.IntN(6); {
		case n >= 4:
			a.move()
		case !ok || n == 0:
			a.count++
			a.create(a.w.ctx, fmt.Sprint("t", a.count), 1+a.r.Int32N(3), "")
		case n == 1:
			a.delete(name)
		case n == 2:
			a.configure(name)
		default:
			a.enlarge(name)
		}
	}
}

// create makes a topic with three replicas, and says whether it is known to be there.
func (a *admin) create(ctx context.Context, name string, partitions int32, minISR string) bool {
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.Version, rq.TimeoutMillis = 6, 2000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 3
	if minISR != "" {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = "min.insync.replicas", &minISR
		t.Configs = append(t.Configs, c)
	}
	rq.Topics = append(rq.Topics, t)
	a.w.topics.set(name, mayBe)
	got, err := a.ask(ctx, a.anyone(), rq)
	if err != nil {
		return false
	}
	switch code := kerr.Code(got.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); code {
	case kerr.None, kerr.TopicAlreadyExists:
		a.w.topics.set(name, isThere)
		a.w.count("topics created")
		return true
	case kerr.InvalidReplicationFactor: // too few brokers are there
		return false
	default:
		if !passing(int16(code)) {
			a.w.complain("create %s: %v", name, code)
		}
		return false
	}
}

func (a *admin) delete(name string) {
	rq := kmsg.NewPtrDeleteTopicsRequest()
	rq.Version, rq.TimeoutMillis, rq.TopicNames = 5, 2000, []string{name}
	a.w.topics.set(name, mayBe)
	got, err := a.ask(a.w.ctx, a.anyone(), rq)
	if err != nil {
		return
	}
	switch code := kerr.Code(got.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode); {
	case code == kerr.None:
		a.w.topics.set(name, isGone)
		a.w.count("topics deleted")
	case code == kerr.UnknownTopicOrPartition:
		// the node that carried it out may have been behind
	case !passing(int16(code)):
		a.w.complain("delete %s: %v", name, code)
	}
}

func (a *admin) configure(name string) {
	rq := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rq.Version = 1
	r, c := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	value := fmt.Sprint(1 + a.r.IntN(3))
	c.Name, c.Value = "min.insync.replicas", &value
	r.ResourceType, r.ResourceName, r.Configs = kmsg.ConfigResourceTypeTopic, name, append(r.Configs, c)
	rq.Resources = append(rq.Resources, r)
	got, err := a.ask(a.w.ctx, a.anyone(), rq)
	if err == nil {
		if code := got.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode; code != 0 && !passing(code) {
			a.w.complain("configure %s: %v", name, kerr.Code(code))
		}
	}
}

func (a *admin) enlarge(name string) {
	rq := kmsg.NewPtrCreatePartitionsRequest()
	rq.Version, rq.TimeoutMillis = 3, 2000
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = name, 4+a.r.Int32N(3)
	rq.Topics = append(rq.Topics, t)
	got, err := a.ask(a.w.ctx, a.anyone(), rq)
	if err != nil {
		return
	}
	code := got.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode
	refused := kerr.Code(code) == kerr.InvalidPartitions || kerr.Code(code) == kerr.InvalidReplicationFactor
	if code != 0 && !passing(code) && !refused { // it has as many, or too few brokers are there
		a.w.complain("enlarge %s: %v", name, kerr.Code(code))
	}
}
