package controller

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// AlterConfigs answers key 33: each resource gets exactly the configs of the request, or none of them is changed.
// INVALID_CONFIG, INVALID_REQUEST, UNKNOWN_TOPIC_OR_PARTITION, NOT_CONTROLLER.
func (c *Controller) AlterConfigs(ctx context.Context, rq *kmsg.AlterConfigsRequest) []kmsg.AlterConfigsResponseResource {
	asked := make([]alteration, len(rq.Resources))
	for i, r := range rq.Resources {
		asked[i] = alteration{resource: resourceOf(r.ResourceType, r.ResourceName), replace: true}
		for _, o := range r.Configs {
			asked[i].ops = append(asked[i].ops, op{kmsg.IncrementalAlterConfigOpSet, o.Name, o.Value})
		}
	}
	outcome := c.alter(ctx, rq.ValidateOnly, asked)
	results := make([]kmsg.AlterConfigsResponseResource, len(rq.Resources))
	for i, r := range rq.Resources {
		results[i] = kmsg.NewAlterConfigsResponseResource()
		results[i].ResourceType, results[i].ResourceName = r.ResourceType, r.ResourceName
		results[i].ErrorCode, results[i].ErrorMessage = report(outcome[i])
	}
	return results
}

// IncrementalAlterConfigs answers key 44 (KIP-339): all changes of a resource, or none. Errors are AlterConfigs'.
func (c *Controller) IncrementalAlterConfigs(ctx context.Context, rq *kmsg.IncrementalAlterConfigsRequest) []kmsg.IncrementalAlterConfigsResponseResource {
	asked := make([]alteration, len(rq.Resources))
	for i, r := range rq.Resources {
		asked[i] = alteration{resource: resourceOf(r.ResourceType, r.ResourceName)}
		for _, o := range r.Configs {
			asked[i].ops = append(asked[i].ops, op{o.Op, o.Name, o.Value})
		}
	}
	outcome := c.alter(ctx, rq.ValidateOnly, asked)
	results := make([]kmsg.IncrementalAlterConfigsResponseResource, len(rq.Resources))
	for i, r := range rq.Resources {
		results[i] = kmsg.NewIncrementalAlterConfigsResponseResource()
		results[i].ResourceType, results[i].ResourceName = r.ResourceType, r.ResourceName
		results[i].ErrorCode, results[i].ErrorMessage = report(outcome[i])
	}
	return results
}

func (c *Controller) alter(ctx context.Context, validateOnly bool, asked []alteration) []error {
	refuseRepeated(asked)
	cfg := c.o.Config()
	return c.carryOut(ctx, validateOnly, len(asked), func(img *image.Image) planner {
		return func(i int) ([]image.Record, error) { return planAlteration(img, cfg, asked[i]) }
	})
}

// refuseRepeated refuses every mention of a resource that is there more than once: which was meant can't be told.
func refuseRepeated(asked []alteration) {
	count := make(map[image.Resource]int, len(asked))
	for _, a := range asked {
		count[a.resource]++
	}
	for i := range asked {
		if count[asked[i].resource] > 1 {
			asked[i].err = kerr.Detail(kerr.InvalidRequest, "Each resource must appear at most once.")
		}
	}
}

func resourceOf(t kmsg.ConfigResourceType, name string) image.Resource {
	return image.Resource{Type: image.ResourceType(t), Name: name}
}
