package api

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// listedTypes are the types of resources that have configs, in the order of the answer.
var listedTypes = []kmsg.ConfigResourceType{
	groupResource, clientMetricsResource, kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeTopic,
}

// listConfigResources serves key 74, versions 0-1. Version 0 asks for client metrics subscriptions only, of which there
// are none; no types at all ask for every type (KIP-1142).
func listConfigResources(b *Broker, _ context.Context, rq *wire.Request, req *kmsg.ListConfigResourcesRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	asked := make(map[kmsg.ConfigResourceType]bool)
	for _, t := range req.ResourceTypes {
		asked[kmsg.ConfigResourceType(t)] = true
		if !slices.Contains(listedTypes, kmsg.ConfigResourceType(t)) {
			resp.ErrorCode = int16(kerr.UnsupportedVersion)
			return resp, nil
		}
	}
	for _, t := range listedTypes {
		if rq.Version > 0 && (len(asked) == 0 || asked[t]) {
			for _, name := range resourceNames(b.Meta.Image(), t) {
				resp.ConfigResources = append(resp.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Name: name, Type: int8(t)})
			}
		}
	}
	return resp, nil
}

// resourceNames are the brokers and topics that there are, and the groups that have configs set.
func resourceNames(img *image.Image, t kmsg.ConfigResourceType) (names []string) {
	switch t {
	case kmsg.ConfigResourceTypeTopic:
		for t := range img.Topics {
			names = append(names, t.Name)
		}
	case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger:
		for _, n := range img.Brokers() {
			names = append(names, strconv.Itoa(int(n.ID)))
		}
	case groupResource:
		for _, r := range img.ConfigResources(image.GroupResource) {
			names = append(names, r.Name)
		}
	}
	return names
}
