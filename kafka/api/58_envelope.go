package api

import (
	"context"
	"encoding/binary"
	"net/netip"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// envelope serves key 58, version 0, between nodes: a client's request that only the controller can carry out. One that is
// not the controller, by its own knowledge, does not pass it on: the node that has the client looks for the next one.
func envelope(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.EnvelopeRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.EnvelopeResponse)
	if !b.Controller.Leads() {
		resp.ErrorCode = int16(kerr.NotController)
		return resp, nil
	}
	host, _ := netip.AddrFromSlice(req.ClientHostAddress)
	peer := &wire.Peer{Listener: image.InternalListener, Remote: netip.AddrPortFrom(host, 0), Principal: string(req.RequestPrincipal)}
	inner, err := wire.Decode(wire.Frame{Bytes: req.RequestData}, forwardable, nil, peer, "")
	if err != nil || inner.Body == nil {
		resp.ErrorCode = int16(kerr.InvalidRequest)
		return resp, nil
	}
	answer, err := table[inner.Key].direct(b, ctx, inner)
	if err != nil {
		return nil, err
	}
	answer.SetVersion(inner.Version)
	data := binary.BigEndian.AppendUint32(nil, uint32(inner.CorrelationID))
	if answer.IsFlexible() {
		data = append(data, 0)
	}
	resp.ResponseData = answer.AppendTo(data)
	resp.UnknownTags.Set(indexTag, binary.AppendUvarint(nil, uint64(b.Meta.Image().Index())))
	return resp, nil
}

// forwardable says what may be in an envelope.
func forwardable(key, version int16) bool {
	if key < 0 || int(key) >= len(table) || table[key].direct == nil {
		return false
	}
	return table[key].min <= version && version <= table[key].max
}
