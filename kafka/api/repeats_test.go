package api

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A topic of many partitions takes a few bytes to ask for, a thousand times in a request.
func TestAShortQuestionMustNotHaveAnEndlessAnswer(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 9
	configs := kmsg.NewPtrDescribeConfigsRequest()
	offsets := kmsg.NewPtrOffsetFetchRequest()
	offsets.Version = 8
	groups := kmsg.NewPtrDescribeGroupsRequest()
	consumers, streams, shares := kmsg.NewPtrConsumerGroupDescribeRequest(), kmsg.NewPtrStreamsGroupDescribeRequest(), kmsg.NewPtrShareGroupDescribeRequest()
	shares.Version = 1
	begins := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	for range 1000 {
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("t")})
		configs.Resources = append(configs.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: 2, ResourceName: "t"})
		offsets.Groups = append(offsets.Groups, kmsg.OffsetFetchRequestGroup{Group: "g"})
		groups.Groups = append(groups.Groups, "g")
		consumers.Groups, streams.Groups, shares.GroupIDs = groups.Groups, groups.Groups, groups.Groups
		begins.Groups = append(begins.Groups, kmsg.DescribeShareGroupOffsetsRequestGroup{GroupID: "g"})
	}
	for name, got := range map[string]int{
		"Metadata":        len(ask[*kmsg.MetadataResponse](n, metadata).Topics),
		"DescribeConfigs": len(ask[*kmsg.DescribeConfigsResponse](n, configs).Resources),
		"OffsetFetch":     len(ask[*kmsg.OffsetFetchResponse](n, offsets).Groups),
		"DescribeGroups":  len(ask[*kmsg.DescribeGroupsResponse](n, groups).Groups),

		"ConsumerGroupDescribe":     len(ask[*kmsg.ConsumerGroupDescribeResponse](n, consumers).Groups),
		"StreamsGroupDescribe":      len(ask[*kmsg.StreamsGroupDescribeResponse](n, streams).Groups),
		"ShareGroupDescribe":        len(ask[*kmsg.ShareGroupDescribeResponse](n, shares).Groups),
		"DescribeShareGroupOffsets": len(ask[*kmsg.DescribeShareGroupOffsetsResponse](n, begins).Groups),
	} {
		if got != mostRepeats {
			t.Errorf("%s: %d answers", name, got)
		}
	}
}

// An offset is committed with kilobytes of metadata, and four bytes ask for it. Neither the list of one topic nor many
// entries of that topic may have the answer again and again.
func TestAPartitionNamedAgainMustNotBeFetchedAgain(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 2)
	n.commit("g", "t", 0, 7)
	again := make([]int32, 1000)
	again[500] = 1
	for v := range int16(11) {
		rq := kmsg.NewPtrOffsetFetchRequest()
		rq.Version, rq.Group = v, "g"
		g := kmsg.OffsetFetchRequestGroup{Group: "g"}
		for range 100 {
			rq.Topics = append(rq.Topics, kmsg.OffsetFetchRequestTopic{Topic: "t", Partitions: again})
			g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: "t", TopicID: id, Partitions: again})
		}
		rq.Groups = append(rq.Groups, g, kmsg.OffsetFetchRequestGroup{Group: "h", Topics: g.Topics[:1]})
		want := []string{"0 at 7", "1 at -1"}
		if v >= 8 {
			want = append(want, "0 at -1", "1 at -1")
		}
		n.equal(fmt.Sprintf("version %d", v), fetchedOffsets(ask[*kmsg.OffsetFetchResponse](n, rq)), want)
	}
}

// Nor may a share group's state be read for it again and again, which is thousands of records long.
func TestAPartitionNamedAgainMustNotBeDescribedAgain(t *testing.T) {
	n := start(t, nil)
	n.create("t", 2)
	again := make([]int32, 1000)
	again[500] = 1
	rq := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	topic := kmsg.DescribeShareGroupOffsetsRequestGroupTopic{Topic: "t", Partitions: again}
	for _, group := range []string{"g", "h"} {
		rq.Groups = append(rq.Groups, kmsg.DescribeShareGroupOffsetsRequestGroup{GroupID: group, Topics: []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{topic, topic}})
	}
	var got []string
	for _, g := range ask[*kmsg.DescribeShareGroupOffsetsResponse](n, rq).Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				got = append(got, fmt.Sprint(g.GroupID, " ", p.Partition))
			}
		}
	}
	n.equal("partitions", got, []string{"g 0", "g 1", "h 0", "h 1"})
}

func fetchedOffsets(resp *kmsg.OffsetFetchResponse) (list []string) {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			list = append(list, fmt.Sprintf("%d at %d", p.Partition, p.Offset))
		}
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				list = append(list, fmt.Sprintf("%d at %d", p.Partition, p.Offset))
			}
		}
	}
	return list
}
