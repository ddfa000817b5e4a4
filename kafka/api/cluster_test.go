package api

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/controller"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

func TestDescribeCluster(t *testing.T) {
	n := start(t, nil)
	for _, c := range []struct {
		version int16
		kind    int8
		want    kerr.Code
	}{
		{0, controllerEndpoint, kerr.None}, // it cannot be said yet
		{1, brokerEndpoint, kerr.None},
		{1, controllerEndpoint, kerr.MismatchedEndpointType},
		{2, 7, kerr.UnsupportedEndpointType},
	} {
		rq := kmsg.NewPtrDescribeClusterRequest()
		rq.Version, rq.EndpointType, rq.IncludeClusterAuthorizedOperations = c.version, c.kind, true
		got := ask[*kmsg.DescribeClusterResponse](n, rq)
		n.code(got.ErrorCode, c.want)
		if c.want == kerr.None {
			if len(got.Brokers) != 1 || got.Brokers[0].Host != "192.0.2.7" || got.Brokers[0].Port != 9092 || got.ControllerID != self ||
				len(got.ClusterID) != 22 || got.ClusterAuthorizedOperations != clusterOperations {
				t.Errorf("%+v", got)
			}
		} else if got.ErrorMessage == nil || len(got.Brokers) > 0 {
			t.Errorf("%+v", got)
		}
	}
}

func TestDescribeLogDirs(t *testing.T) {
	n := start(t, nil)
	n.create("a", 2)
	n.create("b", 1)
	n.produce("a", 1, 1, 2, 3)
	describe := func(asked ...kmsg.DescribeLogDirsRequestTopic) string {
		rq := kmsg.NewPtrDescribeLogDirsRequest()
		rq.Version, rq.Topics = 5, asked
		got := ask[*kmsg.DescribeLogDirsResponse](n, rq)
		d := got.Dirs[0]
		if len(got.Dirs) != 1 || !filepath.IsAbs(d.Dir) || d.TotalBytes <= 0 || d.UsableBytes <= 0 || d.UsableBytes > d.TotalBytes || d.IsCordoned {
			t.Errorf("%+v", d)
		}
		var all []string
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				all = append(all, fmt.Sprintf("%s/%d:%v", t.Topic, p.Partition, p.Size > 0))
			}
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct{ got, want string }{
		{describe(), "a/0:false a/1:true b/0:false"},
		{describe([]kmsg.DescribeLogDirsRequestTopic{}...), ""}, // none, where null is all
		{describe(kmsg.DescribeLogDirsRequestTopic{Topic: "a", Partitions: []int32{1, 7}}, kmsg.DescribeLogDirsRequestTopic{Topic: "none", Partitions: []int32{0}}), "a/1:true"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	cordon := kmsg.NewIncrementalAlterConfigsRequestResource()
	cordon.ResourceType, cordon.ResourceName = kmsg.ConfigResourceTypeBroker, fmt.Sprint(self)
	cordon.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "cordoned.log.dirs", Value: kmsg.StringPtr("*")}}
	alter.Version, alter.Resources = 1, append(alter.Resources, cordon)
	if got := ask[*kmsg.IncrementalAlterConfigsResponse](n, alter); got.Resources[0].ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	rq := kmsg.NewPtrDescribeLogDirsRequest()
	rq.Version = 5
	if got := ask[*kmsg.DescribeLogDirsResponse](n, rq); !got.Dirs[0].IsCordoned {
		t.Errorf("%+v", got)
	}
}

func TestFindCoordinator(t *testing.T) {
	n := start(t, nil)
	for v := range int16(7) {
		for kind, want := range []kerr.Code{kerr.None, kerr.TransactionalIDAuthorizationFailed, kerr.InvalidRequest, kerr.InvalidRequest} {
			rq := kmsg.NewPtrFindCoordinatorRequest()
			rq.Version, rq.CoordinatorKey, rq.CoordinatorKeys, rq.CoordinatorType = v, "g", []string{"g", "h"}, int8(kind)
			if v == 0 {
				want = kerr.None
			}
			got := ask[*kmsg.FindCoordinatorResponse](n, rq)
			all := got.Coordinators
			if v < 4 {
				all = []kmsg.FindCoordinatorResponseCoordinator{{NodeID: got.NodeID, Host: got.Host, Port: got.Port, ErrorCode: got.ErrorCode}}
			} else if len(all) != 2 || all[1].Key != "h" {
				t.Errorf("v%d: %+v", v, all)
			}
			n.code(all[0].ErrorCode, want)
			if want == kerr.None && (all[0].NodeID != self || all[0].Host != "192.0.2.7" || all[0].Port != 9092) {
				t.Errorf("v%d: %+v", v, all[0])
			}
		}
	}
}

func TestInitProducerID(t *testing.T) {
	n := start(t, nil)
	seen := map[int64]bool{}
	for v := range int16(6) {
		rq := kmsg.NewPtrInitProducerIDRequest()
		rq.Version, rq.ProducerID, rq.ProducerEpoch = v, -1, -1
		got := ask[*kmsg.InitProducerIDResponse](n, rq)
		n.code(got.ErrorCode, kerr.None)
		if seen[got.ProducerID] || got.ProducerID < 0 || got.ProducerEpoch != 0 {
			t.Errorf("v%d: %+v", v, got)
		}
		seen[got.ProducerID] = true
	}
	for _, half := range [][2]int64{{5, -1}, {-1, 5}} {
		rq := kmsg.NewPtrInitProducerIDRequest()
		rq.Version, rq.ProducerID, rq.ProducerEpoch = 3, half[0], int16(half[1])
		n.code(ask[*kmsg.InitProducerIDResponse](n, rq).ErrorCode, kerr.InvalidRequest)
	}
}

// refusing is a metadata log that takes nothing.
type refusing struct {
	controller.Log
	err error
}

func (r refusing) Propose(context.Context, ...image.Record) (image.Index, error) { return 0, r.err }

// Producers give up for good on any code that they do not know to come from a coordinator that is not ready yet: whatever it is
// that a producer id could not be had for, they try again.
func TestAProducerIDThatCouldNotBeHadIsNotTheEndOfAProducer(t *testing.T) {
	n := start(t, nil)
	for _, err := range []error{kerr.InvalidUpdateVersion, kerr.NotController, kerr.RequestTimedOut, errors.New("the disk is gone"), context.DeadlineExceeded} {
		n.broker.Controller = controller.New(controller.Options{Self: self, Log: refusing{n.Meta, err}})
		got := ask[*kmsg.InitProducerIDResponse](n, kmsg.NewPtrInitProducerIDRequest())
		if kerr.Code(got.ErrorCode) != kerr.CoordinatorLoadInProgress || got.ProducerID != -1 {
			t.Errorf("%v: %+v", err, got)
		}
	}
}
