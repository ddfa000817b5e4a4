package api

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// DescribeClusterRequest.EndpointType (KIP-919).
const (
	brokerEndpoint     = 1
	controllerEndpoint = 2
)

// describeCluster serves key 60, versions 0-2.
func describeCluster(b *Broker, _ context.Context, rq *wire.Request, req *kmsg.DescribeClusterRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ControllerID, resp.ClusterAuthorizedOperations = -1, math.MinInt32
	if code, message := refusedEndpoint(req.EndpointType); code != kerr.None {
		resp.ErrorCode, resp.ErrorMessage = int16(code), &message
		return resp, nil
	}
	img := b.Meta.Image()
	resp.EndpointType = brokerEndpoint
	resp.ClusterID = clusterID(img)
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	for _, n := range img.Brokers() {
		if n.Fenced && !req.IncludeFencedBrokers {
			continue
		}
		host, port := b.endpoint(n, rq.Peer)
		resp.Brokers = append(resp.Brokers, kmsg.DescribeClusterResponseBroker{
			NodeID: int32(n.ID), Host: host, Port: port, Rack: orNil(n.Rack), IsFenced: n.Fenced,
		})
	}
	resp.ControllerID = b.controller(img)
	return resp, nil
}

// refusedEndpoint says why an endpoint of that type is not described here.
func refusedEndpoint(kind int8) (kerr.Code, string) {
	switch kind {
	case brokerEndpoint:
		return kerr.None, ""
	case controllerEndpoint:
		return kerr.MismatchedEndpointType, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
	}
	return kerr.UnsupportedEndpointType, fmt.Sprintf("Unsupported endpoint type %d", kind)
}
