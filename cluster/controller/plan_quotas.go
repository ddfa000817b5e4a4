package controller

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// planQuotas returns the records that alter one entity's quotas.
func planQuotas(img *image.Image, e *kmsg.AlterClientQuotasRequestEntry) ([]image.Record, error) {
	if err := checkQuotaKeys(e.Ops); err != nil {
		return nil, err
	}
	entity, err := quotaEntity(e.Entity)
	if err != nil {
		return nil, err
	}
	resource := entity.Resource()
	was := img.Configs(resource)
	var recs []image.Record
	for _, o := range e.Ops {
		old, set := was[o.Key]
		if o.Remove {
			if set {
				recs = append(recs, image.ConfigRecord{Resource: resource, Name: o.Key})
			}
			continue
		}
		if err := config.CheckQuota(entity.IP.Is, o.Key, o.Value); err != nil {
			return nil, err
		}
		if value := strconv.FormatFloat(o.Value, 'g', -1, 64); value != old {
			recs = append(recs, image.ConfigRecord{Resource: resource, Name: o.Key, Value: &value})
		}
	}
	return recs, nil
}

func checkQuotaKeys(ops []kmsg.AlterClientQuotasRequestEntryOp) error {
	for i, o := range ops {
		if slices.ContainsFunc(ops[:i], func(other kmsg.AlterClientQuotasRequestEntryOp) bool { return other.Key == o.Key }) {
			return kerr.Detail(kerr.InvalidRequest, "Duplicate quota key %s", o.Key)
		}
	}
	return nil
}

// quotaEntity is whom an entry is for; a part without a name is the default.
func quotaEntity(parts []kmsg.AlterClientQuotasRequestEntryEntity) (e image.QuotaEntity, err error) {
	for _, p := range parts {
		part := map[string]*image.QuotaName{"user": &e.User, "client-id": &e.ClientID, "ip": &e.IP}[p.Type]
		switch {
		case part == nil:
			return e, kerr.Detail(kerr.InvalidRequest, "Unhandled client quota entity type: %s", p.Type)
		case part.Is:
			return e, kerr.Detail(kerr.InvalidRequest, "Invalid client quota entity, duplicate entity entry %s", p.Type)
		case p.Name != nil && *p.Name == "":
			return e, kerr.Detail(kerr.InvalidRequest, "Empty %s not supported", p.Type)
		}
		part.Is = true
		if p.Name != nil {
			part.Name = *p.Name
		}
	}
	switch {
	case e == image.QuotaEntity{}:
		return e, kerr.Detail(kerr.InvalidRequest, "Invalid empty client quota entity")
	case e.IP.Is && (e.User.Is || e.ClientID.Is):
		return e, kerr.Detail(kerr.InvalidRequest, "Invalid quota entity combination, IP entity should not be combined with User or ClientId")
	case e.IP.Name != "":
		// Kafka looks names up, once and for all. Here they are refused: an address may belong to somebody else tomorrow.
		ip, err := netip.ParseAddr(e.IP.Name)
		if err != nil {
			return e, kerr.Detail(kerr.InvalidRequest, "%s is not a valid IP", e.IP.Name)
		}
		e.IP.Name = ip.Unmap().String()
	}
	return e, nil
}
