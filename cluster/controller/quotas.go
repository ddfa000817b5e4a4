package controller

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// AlterClientQuotas answers key 49 (KIP-546): all changes of an entity, or none. INVALID_REQUEST, NOT_CONTROLLER.
func (c *Controller) AlterClientQuotas(ctx context.Context, rq *kmsg.AlterClientQuotasRequest) []kmsg.AlterClientQuotasResponseEntry {
	seen := make(map[image.QuotaEntity]int, len(rq.Entries))
	for _, e := range rq.Entries {
		if entity, err := quotaEntity(e.Entity); err == nil {
			seen[entity]++
		}
	}
	outcome := c.carryOut(ctx, rq.ValidateOnly, len(rq.Entries), func(img *image.Image) planner {
		return func(i int) ([]image.Record, error) {
			e := &rq.Entries[i]
			if entity, err := quotaEntity(e.Entity); err == nil && seen[entity] > 1 {
				return nil, kerr.Detail(kerr.InvalidRequest, "Each client quota entity must appear at most once.")
			}
			return planQuotas(img, e)
		}
	})
	results := make([]kmsg.AlterClientQuotasResponseEntry, len(rq.Entries))
	for i, e := range rq.Entries {
		r := &results[i]
		*r = kmsg.NewAlterClientQuotasResponseEntry()
		r.ErrorCode, r.ErrorMessage = report(outcome[i])
		for _, p := range e.Entity {
			r.Entity = append(r.Entity, kmsg.AlterClientQuotasResponseEntryEntity{Type: p.Type, Name: p.Name})
		}
	}
	return results
}
