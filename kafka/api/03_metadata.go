package api

import (
	"context"
	"errors"
	"math"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// metadata serves key 3, versions 0-13.
func metadata(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.MetadataRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	if len(req.Topics) > 0 && b.mayCreate(req) {
		b.autoCreate(ctx, rq, req)
	}
	img := b.Meta.Image()
	id := clusterID(img)
	resp.ClusterID = &id
	resp.ControllerID = b.controller(img)
	for _, n := range img.Brokers() {
		if n.Fenced {
			continue
		}
		host, port := b.endpoint(n, rq.Peer)
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: int32(n.ID), Host: host, Port: port, Rack: orNil(n.Rack)})
	}
	resp.AuthorizedOperations = math.MinInt32
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		for t := range img.Topics {
			resp.Topics = append(resp.Topics, describeTopic(img, t, req))
		}
		return resp, nil
	}
	told := asked[itemKey]{}
	for i := range req.Topics {
		if t := &req.Topics[i]; !told.tooOften(itemKey{topic: t.TopicID, name: orEmpty(t.Topic)}) {
			resp.Topics = append(resp.Topics, lookUp(img, t, req))
		}
	}
	return resp, nil
}

// lookUp answers for one topic that was asked for, by id or by name.
func lookUp(img *image.Image, asked *kmsg.MetadataRequestTopic, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
	id, name := uuid.UUID(asked.TopicID), orEmpty(asked.Topic)
	if t, ok := resolve(img, id, name); ok {
		return describeTopic(img, t, req)
	}
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID = asked.Topic, asked.TopicID
	switch {
	case id != uuid.Nil:
		out.ErrorCode = int16(kerr.UnknownTopicID)
		out.Topic = nil
		if req.Version < 12 { // where the name cannot be null yet
			out.Topic = new(string)
		}
	case config.CheckTopicName(name) != nil:
		out.ErrorCode = int16(kerr.InvalidTopicException)
	default:
		out.ErrorCode = int16(kerr.UnknownTopicOrPartition)
	}
	return out
}

func describeTopic(img *image.Image, t *image.Topic, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = &t.Name, t.ID, t.Internal
	if req.IncludeTopicAuthorizedOperations {
		out.AuthorizedOperations = topicOperations
	}
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	alive := living(img)
	for i, p := range t.Partitions {
		m := &out.Partitions[i]
		m.Default()
		m.Partition, m.Leader, m.LeaderEpoch = p.Number, int32(p.Leader), p.LeaderEpoch
		m.Replicas, m.ISR = brokerIDs(p.Replicas), brokerIDs(p.ISR)
		m.OfflineReplicas = offline(p, alive)
		if !alive[p.Leader] {
			m.ErrorCode, m.Leader = int16(kerr.LeaderNotAvailable), int32(image.NoBroker)
		}
	}
	return out
}

// living is the brokers that clients may be sent to.
func living(img *image.Image) map[image.BrokerID]bool {
	alive := map[image.BrokerID]bool{}
	for _, n := range img.Brokers() {
		alive[n.ID] = !n.Fenced
	}
	return alive
}

// offline is the replicas on brokers that are not alive.
func offline(p *image.Partition, alive map[image.BrokerID]bool) (ids []int32) {
	for _, id := range p.Replicas {
		if !alive[id] {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// controller is the broker that clients are told is the controller: the one where the metadata log leads. Each broker
// takes what is meant for it, so while it is unknown, or not registered yet, it is this one.
func (b *Broker) controller(img *image.Image) int32 {
	if n, ok := img.Broker(b.Meta.Leader()); ok && !n.Fenced {
		return int32(n.ID)
	}
	return int32(b.Self)
}

func (b *Broker) mayCreate(req *kmsg.MetadataRequest) bool {
	return b.Config().AutoCreateTopics && (req.Version < 4 || req.AllowAutoTopicCreation)
}

// autoCreate creates the topics that are asked for by name and not there. What cannot be created is then answered as
// not there, so no error is lost.
func (b *Broker) autoCreate(ctx context.Context, rq *wire.Request, req *kmsg.MetadataRequest) {
	img := b.Meta.Image()
	var missing []string
	for _, t := range req.Topics {
		if t.Topic == nil || uuid.UUID(t.TopicID) != uuid.Nil || config.CheckTopicName(*t.Topic) != nil {
			continue
		}
		if _, ok := img.TopicNamed(*t.Topic); !ok {
			missing = append(missing, *t.Topic)
		}
	}
	if len(missing) == 0 {
		return
	}
	if err := b.createMissing(ctx, rq, missing); err != nil && ctx.Err() == nil { // else the client is gone, not the topic
		b.Logger.Warn("auto-creation of topics failed", "topics", len(missing), "first", missing[0], "error", err)
	}
}

// createMissing creates topics with the defaults. A node that is not the controller asks for it as a client would. What goes
// beyond the client's quota of changes is not created, as in Kafka, where each version knows the answer to that: not there.
func (b *Broker) createMissing(ctx context.Context, rq *wire.Request, names []string) error {
	if b.Forward == nil {
		return b.Controller.AutoCreate(ctx, names, b.changes(rq, 0).permit())
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = table[create.Key()].max
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, -1, -1
		create.Topics = append(create.Topics, t)
	}
	within, cancel := patience(ctx, create.TimeoutMillis)
	defer cancel()
	resp, err := b.askController(within, rq, create)
	if errors.Is(err, errHere) {
		return b.Controller.AutoCreate(ctx, names, b.changes(rq, 0).permit())
	}
	if err != nil {
		return err
	}
	return notCreated(resp.(*kmsg.CreateTopicsResponse).Topics)
}

func clusterID(img *image.Image) string { return cluster.FormatClusterID(img.ClusterID()) }

// Bits of AclOperation, as AuthorizedOperations has them. Without an authorizer every operation that a resource knows
// is allowed.
const (
	opRead            = 1 << 3
	opWrite           = 1 << 4
	opCreate          = 1 << 5
	opDelete          = 1 << 6
	opAlter           = 1 << 7
	opDescribe        = 1 << 8
	opClusterAction   = 1 << 9
	opDescribeConfigs = 1 << 10
	opAlterConfigs    = 1 << 11
	opIdempotentWrite = 1 << 12

	topicOperations   = opRead | opWrite | opCreate | opDelete | opAlter | opDescribe | opDescribeConfigs | opAlterConfigs
	clusterOperations = opCreate | opAlter | opDescribe | opClusterAction | opDescribeConfigs | opAlterConfigs | opIdempotentWrite
	groupOperations   = opRead | opDelete | opDescribe | opDescribeConfigs | opAlterConfigs
)

func brokerIDs(ids []image.BrokerID) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
