package api

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// describeClientQuotas serves key 48, versions 0-1 (KIP-546): the quotas of the entities that have every part which the
// request names; with Strict, these parts and no others.
func describeClientQuotas(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.DescribeClientQuotasRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	filter, err := newQuotaFilter(req)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(kerr.Of(err)), orNil(kerr.Message(err))
		return resp, nil
	}
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	b.Meta.Image().Quotas(func(e image.QuotaEntity, quotas map[string]string) bool {
		if filter.matches(e) {
			resp.Entries = append(resp.Entries, describedQuotas(e, quotas))
		}
		return true
	})
	return resp, nil
}

// How a component is to be matched.
const (
	exactly   = 0
	asDefault = 1
	anyName   = 2
)

// quotaFilter says of each type of part what an entity must have there.
type quotaFilter struct {
	wanted map[string]wantedPart
	strict bool
}

// wantedPart is a name, "" for the default, or just any.
type wantedPart struct {
	name string
	any  bool
}

func newQuotaFilter(req *kmsg.DescribeClientQuotasRequest) (quotaFilter, error) {
	f := quotaFilter{wanted: map[string]wantedPart{}, strict: req.Strict}
	for i := range req.Components {
		c := &req.Components[i]
		if err := f.add(c); err != nil {
			return f, err
		}
	}
	_, ip := f.wanted["ip"]
	if ip && len(f.wanted) > 1 {
		return f, kerr.Detail(kerr.InvalidRequest, "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.")
	}
	return f, nil
}

func (f quotaFilter) add(c *kmsg.DescribeClientQuotasRequestComponent) error {
	_, twice := f.wanted[c.EntityType]
	switch {
	case c.EntityType == "":
		return kerr.Detail(kerr.InvalidRequest, "Invalid empty entity type.")
	case twice:
		return kerr.Detail(kerr.InvalidRequest, "Entity type %s cannot appear more than once in the filter.", c.EntityType)
	case partOf(image.QuotaEntity{}, c.EntityType) == nil:
		return kerr.Detail(kerr.UnsupportedVersion, "Unsupported entity type %s", c.EntityType)
	case c.MatchType == exactly && c.Match == nil:
		return kerr.Detail(kerr.InvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null.")
	case c.MatchType == asDefault && c.Match != nil:
		return kerr.Detail(kerr.InvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
	case c.MatchType == anyName && c.Match != nil:
		return kerr.Detail(kerr.InvalidRequest, "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
	case c.MatchType < exactly || c.MatchType > anyName:
		return kerr.Detail(kerr.InvalidRequest, "Unknown match type %d", c.MatchType)
	}
	part := wantedPart{any: c.MatchType == anyName}
	if c.Match != nil {
		part.name = *c.Match
		if part.name == "" { // nobody is called so
			part.name = "\x00"
		}
	}
	f.wanted[c.EntityType] = part
	return nil
}

func (f quotaFilter) matches(e image.QuotaEntity) bool {
	for _, kind := range quotaParts {
		wanted, asked := f.wanted[kind]
		switch has := *partOf(e, kind); {
		case !asked && (f.strict && has.Is):
			return false
		case asked && !has.Is, asked && !wanted.any && has.Name != wanted.name:
			return false
		}
	}
	return true
}

// quotaParts are the types of an entity's parts.
var quotaParts = []string{"user", "client-id", "ip"}

func partOf(e image.QuotaEntity, kind string) *image.QuotaName {
	return map[string]*image.QuotaName{"user": &e.User, "client-id": &e.ClientID, "ip": &e.IP}[kind]
}

func describedQuotas(e image.QuotaEntity, quotas map[string]string) kmsg.DescribeClientQuotasResponseEntry {
	out := kmsg.NewDescribeClientQuotasResponseEntry()
	for _, kind := range quotaParts {
		if part := partOf(e, kind); part.Is {
			out.Entity = append(out.Entity, kmsg.DescribeClientQuotasResponseEntryEntity{Type: kind, Name: orNil(part.Name)})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(quotas)) {
		value, _ := strconv.ParseFloat(quotas[key], 64) // written by the controller
		out.Values = append(out.Values, kmsg.DescribeClientQuotasResponseEntryValue{Key: key, Value: value})
	}
	return out
}
