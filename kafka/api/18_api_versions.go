package api

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// softwareName is what KIP-511 allows a client to call itself.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// apiVersions serves key 18, versions 0-5: exactly what the table serves. A version beyond is answered below (wire), as
// KIP-511 wants it.
func apiVersions(b *Broker, _ context.Context, rq *wire.Request, req *kmsg.ApiVersionsRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	if req.Version >= 3 {
		if !softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion) {
			resp.ErrorCode = int16(kerr.InvalidRequest)
			return resp, nil
		}
		rq.Peer.SoftwareName, rq.Peer.SoftwareVersion = req.ClientSoftwareName, req.ClientSoftwareVersion
	}
	if b.isMistaken(req) {
		resp.ErrorCode = int16(kerr.RebootstrapRequired)
		return resp, nil
	}
	resp.ApiKeys = servedKeys(rq.Peer)
	b.tellFeatures(resp)
	return resp, nil
}

// isMistaken says whether a client (v5+) looks for another broker: an address that was given to somebody else must not
// lead it into the wrong cluster (KIP-1242).
func (b *Broker) isMistaken(req *kmsg.ApiVersionsRequest) bool {
	return req.ClusterID != nil && *req.ClusterID != clusterID(b.Meta.Image()) || req.NodeID >= 0 && req.NodeID != int32(b.Self)
}

// tellFeatures says what this broker understands, and what all have agreed on (KIP-584).
func (b *Broker) tellFeatures(resp *kmsg.ApiVersionsResponse) {
	img := b.Meta.Image()
	resp.FinalizedFeaturesEpoch = int64(img.Index())
	if self, ok := img.Broker(b.Self); ok {
		for _, f := range self.Features {
			resp.SupportedFeatures = append(resp.SupportedFeatures, kmsg.ApiVersionsResponseSupportedFeature{Name: f.Name, MinVersion: f.Min, MaxVersion: f.Max})
		}
	}
	img.Features(func(name string, level int16) bool {
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, kmsg.ApiVersionsResponseFinalizedFeature{Name: name, MinVersionLevel: level, MaxVersionLevel: level})
		return true
	})
}

// servedKeys are those that peer may know of.
func servedKeys(peer *wire.Peer) []kmsg.ApiVersionsResponseApiKey {
	var keys []kmsg.ApiVersionsResponseApiKey
	for key := range table {
		if e := &table[key]; e.begin != nil && e.visible(peer) {
			keys = append(keys, kmsg.ApiVersionsResponseApiKey{ApiKey: int16(key), MinVersion: e.min, MaxVersion: e.max})
		}
	}
	return keys
}
