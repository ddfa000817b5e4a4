package controller

import (
	"slices"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// doomed is one topic of a DeleteTopics request: how the client named it, what it is, and why it may not go.
type doomed struct {
	name *string
	id   uuid.UUID
	err  error
}

// planDeletion finds the topics of a request, one for each entry, in order. Versions 0 to 5 have names only.
func planDeletion(img *image.Image, enabled bool, rq *kmsg.DeleteTopicsRequest) []doomed {
	entries := slices.Clone(rq.Topics)
	for i := range rq.TopicNames {
		entries = append(entries, kmsg.DeleteTopicsRequestTopic{Topic: &rq.TopicNames[i]})
	}
	plan, seen := make([]doomed, 0, len(entries)), map[uuid.UUID]int{}
	asked := map[string]int{}
	for _, e := range entries {
		d := find(img, e)
		if e.Topic != nil && d.err != nil {
			// A name that is not there twice is a duplicate too.
			if i, twice := asked[*e.Topic]; twice {
				plan[i].err = errDuplicateTopic
				continue
			}
			asked[*e.Topic] = len(plan)
		}
		if d.err == nil {
			if i, twice := seen[d.id]; twice {
				plan[i] = duplicate(plan[i], e)
				continue
			}
			seen[d.id] = len(plan)
		}
		if d.err == nil && !enabled {
			d.err = disabled(rq.Version)
		}
		plan = append(plan, d)
	}
	return plan
}

func find(img *image.Image, e kmsg.DeleteTopicsRequestTopic) doomed {
	id := uuid.UUID(e.TopicID)
	switch {
	case e.Topic == nil && id == uuid.Nil:
		return doomed{err: kerr.Detail(kerr.InvalidRequest, "Neither topic name nor id were specified.")}
	case e.Topic != nil && id != uuid.Nil:
		return doomed{name: e.Topic, id: id, err: kerr.Detail(kerr.InvalidRequest, "You may not specify both topic name and topic id.")}
	case e.Topic != nil:
		if t, ok := img.TopicNamed(*e.Topic); ok {
			return doomed{name: e.Topic, id: t.ID}
		}
		return doomed{name: e.Topic, err: kerr.Detail(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")}
	}
	if t, ok := img.Topic(id); ok {
		return doomed{name: &t.Name, id: id}
	}
	return doomed{id: id, err: kerr.Detail(kerr.UnknownTopicID, "This server does not host this topic ID.")}
}

func duplicate(first doomed, again kmsg.DeleteTopicsRequestTopic) doomed {
	if again.Topic != nil {
		return doomed{name: first.name, err: errDuplicateTopic}
	}
	return doomed{id: first.id, err: kerr.Detail(kerr.InvalidRequest, "Duplicate topic id.")}
}

// disabled is what clients are told when delete.topic.enable is off; those before version 3 do not know the code for it.
func disabled(version int16) error {
	if version < 3 {
		return kerr.Detail(kerr.InvalidRequest, "Topic deletion is disabled.")
	}
	return kerr.Detail(kerr.TopicDeletionDisabled, "Topic deletion is disabled.")
}

// planRemoval returns the record that removes a topic, unless it has gone in the meantime.
func planRemoval(img *image.Image, d doomed, permit Permit) ([]image.Record, error) {
	if d.err != nil {
		return nil, d.err
	}
	t, ok := img.Topic(d.id)
	if !ok {
		return nil, kerr.UnknownTopicID
	}
	if err := permit(len(t.Partitions)); err != nil {
		return nil, err
	}
	return []image.Record{image.RemoveTopicRecord{ID: d.id}}, nil
}
