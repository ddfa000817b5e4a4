package group

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// topicIDVersion is the first of OffsetCommit and of OffsetFetch that names topics by id (KIP-848).
const topicIDVersion = 10

// OffsetCommit serves key 8, versions 0-10, and answers when the offsets are in the metadata log. Version 0 must come
// with Generation -1. From version 10 on topics are named by id.
func (c *Coordinator) OffsetCommit(ctx context.Context, version int16, rq *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	return c.BeginCommit(version, rq).Wait(ctx)
}

// Commit is an OffsetCommit on its way. One goroutine at a time uses it.
type Commit struct {
	of      *Coordinator
	group   string
	resp    *kmsg.OffsetCommitResponse
	calling *coordinator.Calling[*machine]
	failed  error // it was not taken
}

// BeginCommit is OffsetCommit in two halves: the commits of a group take effect in the order in which they begin.
func (c *Coordinator) BeginCommit(version int16, rq *kmsg.OffsetCommitRequest) *Commit {
	commit := &Commit{of: c, group: rq.Group, resp: kmsg.NewPtrOffsetCommitResponse()}
	commit.resp.Version = version
	asked := commitRequest{
		version: version, memberID: rq.MemberID, instance: value(rq.InstanceID), generation: rq.Generation, longer: c.longer(version, rq),
	}
	commit.resp.Topics, asked.offsets = c.committable(version, rq)
	if commit.failed = c.refuse(rq.Group); commit.failed == nil {
		commit.calling, commit.failed = c.machines.Begin(rq.Group, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
			asked.ticket = t
			m.commit(now, asked, fx)
		})
	}
	return commit
}

// Ready says whether Wait would return at once.
func (c *Commit) Ready() bool { return c.failed != nil || c.calling.Ready() }

// Wait returns the answer.
func (c *Commit) Wait(ctx context.Context) *kmsg.OffsetCommitResponse {
	if code := c.outcome(ctx); code != kerr.None {
		refuseCommits(c.resp, code)
	}
	return c.resp
}

func (c *Commit) outcome(ctx context.Context) kerr.Code {
	if c.failed != nil {
		return unanswered(c.failed)
	}
	body, err := c.calling.Wait(ctx)
	if err == nil {
		err = c.of.refuse(c.group)
	}
	if err != nil {
		return unanswered(err)
	}
	return body.(kerr.Code)
}

// committable is the answer to rq as far as it is known at once, and what is to be committed.
func (c *Coordinator) committable(version int16, rq *kmsg.OffsetCommitRequest) (answers []kmsg.OffsetCommitResponseTopic, offsets []image.PartitionOffset) {
	img, metadataMax := c.image(), c.config().OffsetMetadataMax
	for _, t := range rq.Topics {
		topic, unknown := resolve(img, version, t.TopicID, t.Topic)
		answer := kmsg.NewOffsetCommitResponseTopic()
		answer.Topic, answer.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			code := committable(topic, unknown, p, metadataMax)
			if code == kerr.None {
				offsets = append(offsets, offsetOf(topic.ID, p))
			}
			answered := kmsg.NewOffsetCommitResponseTopicPartition()
			answered.Partition, answered.ErrorCode = p.Partition, int16(code)
			answer.Partitions = append(answer.Partitions, answered)
		}
		answers = append(answers, answer)
	}
	return answers, offsets
}

// resolve finds a topic by id or by name, as the version has it, or says with which code it is not there.
func resolve(img *image.Image, version int16, id uuid.UUID, name string) (*image.Topic, kerr.Code) {
	if version >= topicIDVersion {
		if t, ok := img.Topic(id); ok {
			return t, kerr.None
		}
		return nil, kerr.UnknownTopicID
	}
	if t, ok := img.TopicNamed(name); ok {
		return t, kerr.None
	}
	return nil, kerr.UnknownTopicOrPartition
}

func committable(t *image.Topic, unknown kerr.Code, p kmsg.OffsetCommitRequestTopicPartition, metadataMax int) kerr.Code {
	switch {
	case t == nil:
		return unknown
	case !hasPartition(t, p.Partition):
		return kerr.UnknownTopicOrPartition
	case len(value(p.Metadata)) > metadataMax:
		return kerr.OffsetMetadataTooLarge
	}
	return kerr.None
}

// maxRetention bounds what a client may ask for, in ms, so that times can be reckoned with: 35,000 years.
const maxRetention = 1 << 50

// longer is how many ms more than the configured retention a commit asks for, which versions 2 to 4 can.
func (c *Coordinator) longer(version int16, rq *kmsg.OffsetCommitRequest) int64 {
	if version < 2 || version > 4 || rq.RetentionTimeMillis < 0 {
		return 0
	}
	return min(rq.RetentionTimeMillis, maxRetention) - c.config().OffsetsRetention.Milliseconds()
}

func hasPartition(t *image.Topic, partition int32) bool {
	return partition >= 0 && int(partition) < len(t.Partitions)
}

func offsetOf(topic image.TopicID, p kmsg.OffsetCommitRequestTopicPartition) image.PartitionOffset {
	return image.PartitionOffset{
		TopicPartition: image.TopicPartition{Topic: topic, Partition: p.Partition},
		Offset:         image.Offset{Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: value(p.Metadata)},
	}
}

// refuseCommits gives code to the partitions that had no fault of their own.
func refuseCommits(resp *kmsg.OffsetCommitResponse, code kerr.Code) {
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			if t.Partitions[i].ErrorCode == 0 {
				t.Partitions[i].ErrorCode = int16(code)
			}
		}
	}
}

// OffsetFetch serves key 9. It reads and fills Groups, the form of versions 8 and up, for every version: below 8 the
// caller moves its one group there and back. It may wait for the metadata log: an answer has all commits before it. Nil
// Topics asks for all. From version 10 on topics are named by id.
func (c *Coordinator) OffsetFetch(ctx context.Context, version int16, rq *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.Version = version
	behind := c.isBehind(ctx)
	img := c.image()
	for _, g := range rq.Groups {
		fetched := kmsg.NewOffsetFetchResponseGroup()
		fetched.Group = g.Group
		if g.Topics == nil {
			fetched.Topics = allOffsets(img, g.Group)
		}
		for _, t := range g.Topics {
			fetched.Topics = append(fetched.Topics, someOffsets(img, version, g.Group, t))
		}
		code := c.mayFetch(g)
		if err := cmp.Or(c.refuse(g.Group), behind); err != nil { // after it was read: what is answered was so while it was this broker's
			code = unanswered(err)
		}
		if code != kerr.None {
			fetched.ErrorCode, fetched.Topics = int16(code), nil
		}
		resp.Groups = append(resp.Groups, fetched)
	}
	return resp
}

// mayFetch refuses members of KIP-848 that are not, or not at the epoch that they say.
func (c *Coordinator) mayFetch(g kmsg.OffsetFetchRequestGroup) (code kerr.Code) {
	if g.MemberID == nil && g.MemberEpoch < 0 {
		return kerr.None
	}
	c.machines.View(g.Group, func(m *machine) {
		if m.exists() { // of one that does not there are no offsets
			code = m.kind.checkFetch(value(g.MemberID), g.MemberEpoch)
		}
	})
	return code
}

// isBehind is nil when the image has all that was agreed on before.
func (c *Coordinator) isBehind(ctx context.Context) error {
	if c.catchUp == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config().CommitTimeout)
	defer cancel()
	if c.catchUp(ctx) != nil {
		return coordinator.ErrNotMine // nobody can know
	}
	return nil
}

func allOffsets(img *image.Image, group string) (list []kmsg.OffsetFetchResponseGroupTopic) {
	for topic, at := range eachOffset(img, group) {
		if len(list) == 0 || list[len(list)-1].TopicID != topic.ID {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic, t.TopicID = topic.Name, topic.ID
			list = append(list, t)
		}
		last := &list[len(list)-1]
		last.Partitions = append(last.Partitions, at)
	}
	return list
}

// eachOffset goes through what group committed, topic by topic.
func eachOffset(img *image.Image, group string) func(yield func(*image.Topic, kmsg.OffsetFetchResponseGroupTopicPartition) bool) {
	return func(yield func(*image.Topic, kmsg.OffsetFetchResponseGroupTopicPartition) bool) {
		img.Offsets(group, func(id image.TopicID, partition int32, o image.Offset) bool {
			t, ok := img.Topic(id)
			return !ok || yield(t, fetched(partition, o))
		})
	}
}

func someOffsets(img *image.Image, version int16, group string, asked kmsg.OffsetFetchRequestGroupTopic) kmsg.OffsetFetchResponseGroupTopic {
	t := kmsg.NewOffsetFetchResponseGroupTopic()
	t.Topic, t.TopicID = asked.Topic, asked.TopicID
	topic, unknown := resolve(img, version, asked.TopicID, asked.Topic)
	for _, partition := range asked.Partitions {
		at := fetched(partition, image.Offset{Offset: -1, LeaderEpoch: -1})
		if topic != nil {
			if o, ok := img.Offset(group, topic.ID, partition); ok {
				at = fetched(partition, o)
			}
		} else if unknown == kerr.UnknownTopicID {
			at.ErrorCode = int16(unknown) // an unknown name is one that nothing was committed for
		}
		t.Partitions = append(t.Partitions, at)
	}
	return t
}

func fetched(partition int32, o image.Offset) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, o.Offset, o.LeaderEpoch, &o.Metadata
	return p
}

// OffsetDelete serves key 47, version 0.
func (c *Coordinator) OffsetDelete(ctx context.Context, version int16, rq *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	resp.Version, resp.ErrorCode = version, int16(kerr.InvalidGroupID)
	if rq.Group == "" {
		return resp
	}
	d := offsetDeletion{topics: map[string][]image.TopicPartition{}}
	img := c.image()
	for _, t := range rq.Topics {
		topic, _ := img.TopicNamed(t.Topic)
		answer := kmsg.NewOffsetDeleteResponseTopic()
		answer.Topic = t.Topic
		for _, p := range t.Partitions {
			answered := kmsg.NewOffsetDeleteResponseTopicPartition()
			answered.Partition = p.Partition
			if topic == nil || !hasPartition(topic, p.Partition) {
				answered.ErrorCode = int16(kerr.UnknownTopicOrPartition)
			} else {
				d.topics[t.Topic] = append(d.topics[t.Topic], image.TopicPartition{Topic: topic.ID, Partition: p.Partition})
			}
			answer.Partitions = append(answer.Partitions, answered)
		}
		resp.Topics = append(resp.Topics, answer)
	}
	finishDeletion(resp, c.deleteOffsets(ctx, rq.Group, d))
	return resp
}

func (c *Coordinator) deleteOffsets(ctx context.Context, group string, d offsetDeletion) deletedOffsets {
	body, err := c.call(ctx, group, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
		d.ticket = t
		m.deleteOffsets(now, d, fx)
	})
	if err != nil {
		return deletedOffsets{code: unanswered(err)}
	}
	return body.(deletedOffsets)
}

func finishDeletion(resp *kmsg.OffsetDeleteResponse, deleted deletedOffsets) {
	resp.ErrorCode = int16(deleted.code)
	if deleted.code != kerr.None {
		resp.Topics = nil
		return
	}
	for _, t := range resp.Topics {
		for i := range t.Partitions {
			if deleted.subscribed[t.Topic] && t.Partitions[i].ErrorCode == 0 {
				t.Partitions[i].ErrorCode = int16(kerr.GroupSubscribedToTopic)
			}
		}
	}
}

// expireOffsets goes through all groups, also those that have no machine.
func (c *Coordinator) expireOffsets(ctx context.Context) {
	for id := range c.image().Groups {
		if ctx.Err() != nil {
			return
		}
		_ = c.machines.Tell(id, (*machine).expireOffsets) // its coordinator does
	}
}

func (c *Coordinator) checkInterval() time.Duration {
	if every := c.config().OffsetsCheckInterval; every > 0 {
		return every
	}
	return 10 * time.Minute
}
