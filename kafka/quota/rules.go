package quota

import (
	"net/netip"
	"strconv"

	"chronik/kafka/config"
	"chronik/metalog/image"
)

// rules are the quotas of an image: by what is limited, then by whom.
type rules map[string]map[image.QuotaEntity]float64

// key is whose use is added up. A quota of a user and a client id is for the two together, one of a user for all its client
// ids; with a default each one that it is for has its own.
type key struct {
	quota        string
	user, client string // of an address: user
	both         bool
}

// compile returns nil when there are no quotas.
func compile(img *image.Image) *rules {
	var r rules
	img.Quotas(func(e image.QuotaEntity, quotas map[string]string) bool {
		for name, text := range quotas {
			rate, err := strconv.ParseFloat(text, 64)
			if err != nil || rate <= 0 {
				continue // the controller lets no such thing in
			}
			if r == nil {
				r = rules{}
			}
			if r[name] == nil {
				r[name] = map[image.QuotaEntity]float64{}
			}
			r[name][e] = rate
		}
		return true
	})
	if r == nil {
		return nil
	}
	return &r
}

// find is the quota that counts for c, and whose use is added up for it.
func (r *rules) find(quota string, c Client) (k key, rate float64, ok bool) {
	if r == nil || len((*r)[quota]) == 0 {
		return k, 0, false
	}
	var absent, byDefault image.QuotaName
	byDefault.Is = true
	user, client := image.QuotaName{Is: true, Name: c.User}, image.QuotaName{Is: true, Name: c.ID}
	for _, e := range [...]image.QuotaEntity{
		{User: user, ClientID: client}, {User: user, ClientID: byDefault}, {User: user, ClientID: absent},
		{User: byDefault, ClientID: client}, {User: byDefault, ClientID: byDefault}, {User: byDefault, ClientID: absent},
		{User: absent, ClientID: client}, {User: absent, ClientID: byDefault},
	} {
		if rate, ok := (*r)[quota][e]; ok {
			k := key{quota: quota, both: e.User.Is && e.ClientID.Is}
			if e.User.Is {
				k.user = c.User
			}
			if e.ClientID.Is {
				k.client = c.ID
			}
			return k, rate, true
		}
	}
	return k, 0, false
}

// address is how many connections a second may come from an address, which is none of IPv4 in IPv6.
func (r *rules) address(from netip.Addr) (rate float64, ok bool) {
	if r == nil {
		return 0, false
	}
	limits := (*r)[config.ConnectionCreationRate]
	rate, ok = limits[image.QuotaEntity{IP: image.QuotaName{Is: true, Name: from.String()}}]
	if !ok {
		rate, ok = limits[image.QuotaEntity{IP: image.QuotaName{Is: true}}]
	}
	return rate, ok
}
