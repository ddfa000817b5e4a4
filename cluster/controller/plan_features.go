package controller

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// FeatureUpdate.UpgradeType.
const (
	upgrade         = 1
	safeDowngrade   = 2
	unsafeDowngrade = 3
)

// planFeatures returns the records that finalise all levels of a request, or why none of them is.
func planFeatures(img *image.Image, rq *kmsg.UpdateFeaturesRequest) (recs []image.Record, err error) {
	seen := map[string]bool{}
	for _, u := range rq.FeatureUpdates {
		if u.Feature == "" || seen[u.Feature] {
			return nil, kerr.Detail(kerr.InvalidRequest, "Each feature needs a name and must appear at most once.")
		}
		seen[u.Feature] = true
		how := u.UpgradeType
		if rq.Version == 0 {
			how = upgrade
			if u.AllowDowngrade {
				how = safeDowngrade
			}
		}
		if err := checkLevel(img, u.Feature, u.MaxVersionLevel, how); err != nil {
			return nil, err
		}
		if u.MaxVersionLevel != img.Feature(u.Feature) {
			recs = append(recs, image.FeatureRecord{Name: u.Feature, Level: u.MaxVersionLevel})
		}
	}
	return recs, nil
}

// checkLevel refuses (INVALID_UPDATE_VERSION) a level that a broker does not know, and one that is not what the kind of
// update says. Level 0 removes the feature, which all know.
func checkLevel(img *image.Image, name string, level int16, how int8) error {
	refuse := func(format string, args ...any) error {
		args = append([]any{level, name}, args...)
		return kerr.Detail(kerr.InvalidUpdateVersion, "Invalid level %d of feature %s: "+format, args...)
	}
	now := img.Feature(name)
	switch {
	case how < upgrade || how > unsafeDowngrade:
		return refuse("there is no upgrade type %d.", how)
	case level < 0:
		return refuse("it can not be below 0.")
	case level < now && how == upgrade:
		return refuse("it is %d now, and a downgrade must be asked for by its upgrade type.", now)
	case level > now && how != upgrade:
		return refuse("it is %d now, which would be no downgrade.", now)
	}
	for _, b := range img.Brokers() {
		if least, most := rangeOf(b.Features, name); level != 0 && (level < least || level > most) {
			return refuse("broker %d supports %d to %d.", b.ID, least, most)
		}
	}
	return nil
}

// rangeOf is the levels of a feature that a broker understands; one that it has not heard of is 0 to 0.
func rangeOf(features []image.FeatureRange, name string) (least, most int16) {
	for _, f := range features {
		if f.Name == name {
			return f.Min, f.Max
		}
	}
	return 0, 0
}

// checkFeatures refuses (UNSUPPORTED_VERSION) a broker that does not understand what has been finalised: it would read
// wrongly, or not at all, what others write.
func checkFeatures(img *image.Image, features []image.FeatureRange) (err error) {
	img.Features(func(name string, level int16) bool {
		if least, most := rangeOf(features, name); level < least || level > most {
			err = kerr.Detail(kerr.UnsupportedVersion, "the cluster is at level %d of %s; this broker understands %d to %d: start a release that understands it", level, name, least, most)
		}
		return err == nil
	})
	return err
}

// planVoter finds the server of a node that is to become a voter: DUPLICATE_VOTER, INVALID_REQUEST where no such
// directory takes part.
func planVoter(img *image.Image, servers []Server, node image.BrokerID, directory [16]byte) (Server, error) {
	if slices.ContainsFunc(servers, func(s Server) bool { return s.Node == node && s.Voter }) {
		return Server{}, kerr.Detail(kerr.DuplicateVoter, "Node %d is a voter already.", node)
	}
	s, ok := serverOf(img, servers, node, directory)
	if !ok {
		return s, kerr.Detail(kerr.InvalidRequest, "Node %d with that directory does not take part in the metadata log: start it, and have it join.", node)
	}
	return s, nil
}

// planNoVoter finds the server of a voter that is to be none: VOTER_NOT_FOUND, INVALID_REQUEST for the last one.
func planNoVoter(img *image.Image, servers []Server, node image.BrokerID, directory [16]byte) (Server, error) {
	s, ok := serverOf(img, servers, node, directory)
	if !ok || !s.Voter {
		return s, kerr.Detail(kerr.VoterNotFound, "Node %d with that directory is no voter.", node)
	}
	if !slices.ContainsFunc(servers, func(other Server) bool { return other.Voter && other.ID != s.ID }) {
		return s, kerr.Detail(kerr.InvalidRequest, "Node %d is the only voter.", node)
	}
	return s, nil
}

// serverOf is the newest server of a node, if the node's directory is that one. Of a node that is not registered any more
// nobody knows the directory, and its number must do.
func serverOf(img *image.Image, servers []Server, node image.BrokerID, directory [16]byte) (found Server, ok bool) {
	if b, known := img.Broker(node); known && b.Incarnation != directory {
		return found, false
	}
	for _, s := range servers {
		if s.Node == node {
			found, ok = s, true
		}
	}
	return found, ok
}
