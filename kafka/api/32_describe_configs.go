package api

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// describeConfigs serves key 32, versions 0-4: every config of a resource, or those that are named, with where its value
// comes from. Clients go by what they find here (Kafka Connect looks for cleanup.policy=compact), so nothing is left out.
func describeConfigs(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.DescribeConfigsRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	unknown := unknownResource(req)
	told := asked[image.Resource]{}
	for i := range req.Resources {
		in := &req.Resources[i]
		if told.tooOften(image.Resource{Type: image.ResourceType(in.ResourceType), Name: in.ResourceName}) {
			continue
		}
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = in.ResourceType, in.ResourceName
		all, err := []config.Described(nil), unknown
		if err == nil {
			all, err = b.configsOf(in)
		}
		out.ErrorCode, out.ErrorMessage = int16(kerr.Of(err)), orNil(kerr.Message(err))
		for _, d := range all {
			// No names at all means every config, as in Kafka.
			if len(in.ConfigNames) == 0 || slices.Contains(in.ConfigNames, d.Name) {
				out.Configs = append(out.Configs, describedConfig(d, req))
			}
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

// unknownResource refuses a request as a whole when one of its resources is of no type that Kafka has.
func unknownResource(req *kmsg.DescribeConfigsRequest) error {
	for _, r := range req.Resources {
		switch r.ResourceType {
		case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
			clientMetricsResource, groupResource:
		default:
			return kerr.Detail(kerr.InvalidRequest, "Unexpected resource type %d for resource %s", r.ResourceType, r.ResourceName)
		}
	}
	return nil
}

const (
	clientMetricsResource = kmsg.ConfigResourceType(16)
	groupResource         = kmsg.ConfigResourceType(image.GroupResource)
)

func (b *Broker) configsOf(r *kmsg.DescribeConfigsRequestResource) ([]config.Described, error) {
	switch r.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		return b.topicConfigs(r.ResourceName)
	case kmsg.ConfigResourceTypeBroker:
		if r.ResourceName == "" {
			return b.Config().DescribeDynamicDefault(), nil
		}
		if err := b.isSelf(r.ResourceName, " or empty string,"); err != nil {
			return nil, err
		}
		return b.Config().Describe(), nil
	case kmsg.ConfigResourceTypeBrokerLogger:
		if r.ResourceName == "" {
			return nil, kerr.Detail(kerr.InvalidRequest, "Broker id must not be empty")
		}
		return nil, b.isSelf(r.ResourceName, "") // there is one logger, whose level is no config
	case clientMetricsResource:
		if r.ResourceName == "" {
			return nil, kerr.Detail(kerr.InvalidRequest, "Client metrics subscription name must not be empty")
		}
		return nil, nil // nobody can subscribe to any
	}
	if r.ResourceName == "" {
		return nil, kerr.Detail(kerr.InvalidRequest, "Group name must not be empty")
	}
	return b.Config().DescribeGroup(b.Meta.Image().Configs(image.Resource{Type: image.GroupResource, Name: r.ResourceName})), nil
}

func (b *Broker) topicConfigs(name string) ([]config.Described, error) {
	if err := config.CheckTopicName(name); err != nil {
		return nil, err
	}
	img := b.Meta.Image()
	if _, ok := img.TopicNamed(name); !ok {
		return nil, kerr.UnknownTopicOrPartition
	}
	return b.Config().DescribeTopic(img.Configs(image.Resource{Type: image.TopicResource, Name: name})), nil
}

// isSelf refuses the name of another broker: each describes itself only.
func (b *Broker) isSelf(name, orElse string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return kerr.Detail(kerr.InvalidRequest, "Broker id must be an integer, but it is: %s", name)
	}
	if id != int64(b.Self) {
		return kerr.Detail(kerr.InvalidRequest, "Unexpected broker id, expected %d%s but received %s", b.Self, orElse, name)
	}
	return nil
}

func describedConfig(d config.Described, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.ReadOnly, c.IsSensitive = d.Name, d.Value, d.ReadOnly, d.Sensitive
	c.IsDefault, c.Source, c.ConfigType = d.IsDefault(), kmsg.ConfigSource(d.Source), kmsg.ConfigType(d.Type)
	if req.IncludeSynonyms {
		for _, s := range d.Synonyms {
			c.ConfigSynonyms = append(c.ConfigSynonyms, kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{
				Name: s.Name, Value: s.Value, Source: kmsg.ConfigSource(s.Source),
			})
		}
	}
	if req.IncludeDocumentation {
		c.Documentation = &d.Doc
	}
	return c
}
