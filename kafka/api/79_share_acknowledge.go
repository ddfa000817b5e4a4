package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/share"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// shareAcknowledge serves key 79, versions 1-2. It is answered when what it says is agreed on.
func shareAcknowledge(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ShareAcknowledgeRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.ShareAcknowledgeResponse)
	var answers shareAnswers
	err := b.finalised("share.version")
	if err == nil {
		err = acknowledgeShare(ctx, b.Shares, req, &answers)
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(kerr.Of(err)), orNil(kerr.Message(err))
		return resp, nil
	}
	resp.AcquisitionLockTimeoutMillis = b.Shares.Config(orEmpty(req.GroupID)).RecordLockDurationMs
	var nodes []wire.Node
	resp.Topics, nodes = answers.acknowledged(b, rq.Peer)
	for _, n := range nodes {
		resp.NodeEndpoints = append(resp.NodeEndpoints, kmsg.ShareAcknowledgeResponseNodeEndpoint{NodeID: n.ID, Host: n.Host, Port: n.Port, Rack: orNil(n.Rack)})
	}
	return resp, nil
}

func acknowledgeShare(ctx context.Context, shares *share.Manager, req *kmsg.ShareAcknowledgeRequest, answers *shareAnswers) error {
	session := share.Session{Group: orEmpty(req.GroupID), Member: orEmpty(req.MemberID), Epoch: req.ShareSessionEpoch}
	if session.Group == "" || session.Member == "" {
		return kerr.Detail(kerr.InvalidRequest, "an acknowledgement needs a group and a member")
	}
	var acks acknowledgements
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			var batches []share.Batch
			for _, a := range p.AcknowledgementBatches {
				batches = append(batches, share.Batch{First: a.FirstOffset, Last: a.LastOffset, Types: a.AcknowledgeTypes})
			}
			acks.add(image.TopicPartition{Topic: t.TopicID, Partition: p.Partition}, batches, req.IsRenewAck)
		}
	}
	if err := shares.Acknowledging(session); err != nil {
		return err
	}
	acks.send(shares, session)
	acks.await(ctx, answers)
	if session.Epoch == share.CloseEpoch {
		endSession(ctx, shares, session, answers)
	}
	return nil
}
