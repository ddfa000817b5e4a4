package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// missingInternalTopics is the status (KIP-1071) that goes with topics that are to be made.
const missingInternalTopics = 3

// streamsGroupHeartbeat serves key 88, versions 0-1 (KIP-1071), and makes the application's internal topics. Whether they
// could be made is in the status that says that they are missing: the member finds them with its next heartbeat.
//
// StreamsGroupTopologyDescriptionUpdate (key 93, KIP-1331) is not served: it hands the description of a topology to a
// plug-in, brokers of Kafka that have none refuse it, and members only send it to a broker that asks for it here.
func streamsGroupHeartbeat(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.StreamsGroupHeartbeatRequest) (kmsg.Response, error) {
	if err := b.finalised("streams.version"); err != nil {
		resp := req.ResponseKind().(*kmsg.StreamsGroupHeartbeatResponse)
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	resp, create := b.Groups.StreamsHeartbeat(ctx, client(rq), rq.Version, req)
	if create == nil {
		return resp, nil
	}
	if err := b.createTopics(ctx, rq, create); err != nil {
		b.Logger.Warn("internal topics of a streams group could not be created", "group", req.Group, "error", err)
		for i := range resp.Status {
			if s := &resp.Status[i]; s.StatusCode == missingInternalTopics {
				s.StatusDetail += " They could not be created: " + err.Error()
			}
		}
	}
	return resp, nil
}

// createTopics has the controller create topics. One that is there already, or that someone else creates at the same time, is
// a success; the error joins those of the topics that are not.
func (b *Broker) createTopics(ctx context.Context, rq *wire.Request, create *kmsg.CreateTopicsRequest) error {
	create.Version = table[create.Key()].max
	within, cancel := patience(ctx, create.TimeoutMillis)
	defer cancel()
	resp, err := kmsg.Response(nil), errHere
	if b.Forward != nil {
		resp, err = b.askController(within, rq, create)
	}
	if errors.Is(err, errHere) {
		return notCreated(b.Controller.CreateTopics(within, create, b.changes(rq, 0).permit()))
	}
	if err != nil {
		return err
	}
	return notCreated(resp.(*kmsg.CreateTopicsResponse).Topics)
}

func notCreated(topics []kmsg.CreateTopicsResponseTopic) error {
	var failed []error
	for _, t := range topics {
		if code := kerr.Code(t.ErrorCode); code != kerr.None && code != kerr.TopicAlreadyExists {
			failed = append(failed, fmt.Errorf("create %s: %w", t.Topic, kerr.Detail(code, "%s", orEmpty(t.ErrorMessage))))
		}
	}
	return errors.Join(failed...)
}
