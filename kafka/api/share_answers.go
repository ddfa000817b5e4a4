package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/share"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// acknowledgement is what a request says of one partition's records.
type acknowledgement struct {
	at      image.TopicPartition
	batches []share.Batch
	err     error // of the batches themselves
	waits   *share.Waits
}

type acknowledgements []*acknowledgement

// add takes over the batches of a partition, if there are any.
func (as *acknowledgements) add(at image.TopicPartition, batches []share.Batch, renews bool) {
	if len(batches) > 0 {
		*as = append(*as, &acknowledgement{at: at, batches: batches, err: share.CheckBatches(batches, renews)})
	}
}

func (as acknowledgements) send(shares *share.Manager, s share.Session) {
	for _, a := range as {
		if a.err == nil {
			a.waits = shares.Acknowledge(share.Key{Group: s.Group, Partition: a.at}, s.Member, a.batches)
		}
	}
}

func (as acknowledgements) await(ctx context.Context, to *shareAnswers) {
	for _, a := range as {
		if a.err == nil {
			a.err = a.waits.Wait(ctx)
		}
		to.of(a.at).ackErr = a.err
	}
}

// endSession closes a member's session and waits until what it had is free.
func endSession(ctx context.Context, shares *share.Manager, s share.Session, to *shareAnswers) {
	for at, waits := range shares.End(s) {
		if err := waits.Wait(ctx); err != nil && to.of(at).ackErr == nil {
			to.of(at).ackErr = err
		}
	}
}

// shareAnswers are a response's partitions, in the order in which there was something to say of them.
type shareAnswers struct {
	all   []*shareAnswer
	index map[image.TopicPartition]*shareAnswer
}

type shareAnswer struct {
	at          image.TopicPartition
	err, ackErr error
	records     []byte
	acquired    []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord
}

func (as *shareAnswers) of(at image.TopicPartition) *shareAnswer {
	if as.index == nil {
		as.index = map[image.TopicPartition]*shareAnswer{}
	}
	a := as.index[at]
	if a == nil {
		a = &shareAnswer{at: at}
		as.index[at], as.all = a, append(as.all, a)
	}
	return a
}

// distrust drops what was decided here when this node may not be a leader any more: it may have been stopped for a while.
// What was agreed on stays so.
func (as *shareAnswers) distrust(b *Broker) {
	if b.Parts.Serving() {
		return
	}
	for _, a := range as.all {
		a.records, a.acquired = nil, nil
		if a.err == nil {
			a.err = kerr.NotLeaderOrFollower
		}
	}
}

// fetched is the answers as a ShareFetch has them, with the brokers that lead what this one does not.
func (as *shareAnswers) fetched(b *Broker, peer *wire.Peer) (topics []kmsg.ShareFetchResponseTopic, nodes []wire.Node) {
	var h hints
	img := b.Meta.Image()
	for _, a := range as.all {
		if n := len(topics); n == 0 || topics[n-1].TopicID != a.at.Topic {
			topics = append(topics, kmsg.ShareFetchResponseTopic{TopicID: a.at.Topic})
		}
		p := kmsg.NewShareFetchResponseTopicPartition()
		p.Partition, p.Records, p.AcquiredRecords = a.at.Partition, a.records, a.acquired
		if p.Records == nil {
			p.Records = []byte{} // Java takes null for a broken answer
		}
		p.ErrorCode, p.ErrorMessage = codeAndMessage(a.err)
		p.AcknowledgeErrorCode, p.AcknowledgeErrorMessage = codeAndMessage(a.ackErr)
		leader := kerr.Code(p.ErrorCode)
		if leader == kerr.None {
			leader = kerr.Code(p.AcknowledgeErrorCode)
		}
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = h.add(img, a.at.Topic, a.at.Partition, leader)
		t := &topics[len(topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return topics, b.endpoints(img, h.leaders, peer)
}

// acknowledged is the answers as a ShareAcknowledge has them.
func (as *shareAnswers) acknowledged(b *Broker, peer *wire.Peer) (topics []kmsg.ShareAcknowledgeResponseTopic, nodes []wire.Node) {
	var h hints
	img := b.Meta.Image()
	for _, a := range as.all {
		if n := len(topics); n == 0 || topics[n-1].TopicID != a.at.Topic {
			topics = append(topics, kmsg.ShareAcknowledgeResponseTopic{TopicID: a.at.Topic})
		}
		p := kmsg.NewShareAcknowledgeResponseTopicPartition()
		p.Partition = a.at.Partition
		p.ErrorCode, p.ErrorMessage = codeAndMessage(a.ackErr)
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = h.add(img, a.at.Topic, a.at.Partition, kerr.Code(p.ErrorCode))
		t := &topics[len(topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return topics, b.endpoints(img, h.leaders, peer)
}

func codeAndMessage(err error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	return int16(kerr.Of(err)), orNil(kerr.Message(err))
}
