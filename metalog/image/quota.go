package image

import "slices"

// QuotaResource is the type of resources that are entities of client quotas: what is set on one is its quotas. It has no
// number of Kafka's, so no client can name it as the type of a config's resource.
const QuotaResource ResourceType = -1

// QuotaEntity says whom a client quota is for: a user, a client id, both together, or an address (KIP-13, 257, 612).
type QuotaEntity struct{ User, ClientID, IP QuotaName }

// QuotaName is one part of a QuotaEntity: not there at all (the zero value), a name, or the default, which is for all that
// have no quota by their names.
type QuotaName struct {
	Is   bool
	Name string // "" is the default
}

// Resource is what e's quotas are set on.
func (e QuotaEntity) Resource() Resource {
	var name []byte
	for i, part := range [...]QuotaName{e.User, e.ClientID, e.IP} {
		if part.Is {
			name = appendString(append(name, byte(i)), part.Name)
		}
	}
	return Resource{Type: QuotaResource, Name: string(name)}
}

// Quotas goes through the entities that have quotas, with these by their keys: decimal numbers. The maps must not be changed.
func (m *Image) Quotas(fn func(e QuotaEntity, quotas map[string]string) bool) {
	for _, r := range m.ConfigResources(QuotaResource) {
		if e, ok := quotaEntityOf(r.Name); ok && !fn(e, m.Configs(r)) {
			return
		}
	}
}

// HasQuotas says whether one of the resources of a delta is an entity of quotas.
func HasQuotas(changed []Resource) bool {
	return slices.ContainsFunc(changed, func(r Resource) bool { return r.Type == QuotaResource })
}

func quotaEntityOf(name string) (e QuotaEntity, ok bool) {
	for f := (&fields{rest: []byte(name)}); len(f.rest) > 0; {
		part := [...]*QuotaName{&e.User, &e.ClientID, &e.IP}
		i := f.take(1)[0]
		if int(i) >= len(part) || part[i].Is {
			return e, false
		}
		part[i].Is, part[i].Name = true, f.string()
		if f.err != nil {
			return e, false
		}
	}
	return e, e != QuotaEntity{}
}
