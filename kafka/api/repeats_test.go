package api

import (
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
	for range 1000 {
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("t")})
		configs.Resources = append(configs.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: 2, ResourceName: "t"})
		offsets.Groups = append(offsets.Groups, kmsg.OffsetFetchRequestGroup{Group: "g"})
		groups.Groups = append(groups.Groups, "g")
	}
	for name, got := range map[string]int{
		"Metadata":        len(ask[*kmsg.MetadataResponse](n, metadata).Topics),
		"DescribeConfigs": len(ask[*kmsg.DescribeConfigsResponse](n, configs).Resources),
		"OffsetFetch":     len(ask[*kmsg.OffsetFetchResponse](n, offsets).Groups),
		"DescribeGroups":  len(ask[*kmsg.DescribeGroupsResponse](n, groups).Groups),
	} {
		if got != mostRepeats {
			t.Errorf("%s: %d answers", name, got)
		}
	}
}
