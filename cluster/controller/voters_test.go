package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

func TestVotersOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, 6, nil)
		r.end()
		v := &fakeVoters{servers: []Server{{"a", 1, true}, {"b", 2, true}, {"c", 3, true}, {"d", 4, false}, {"e", 9, true}, {"f", 5, false}, {"g", 6, false}}}
		r.o.Voters = v
		id := uuid.UUID{7}
		if _, err := r.log.apply(image.ClusterRecord{ID: id}); err != nil {
			t.Fatal(err)
		}
		r.reign()
		defer func() { r.end() }()
		for range 20 { // broker 5 says nothing, and 6 applies nothing
			r.beat(6, func(rq *kmsg.BrokerHeartbeatRequest) { rq.CurrentMetadataOffset = 1 })
			r.pass(250*time.Millisecond, 1, 2, 3, 4)
		}
		askForVoters(t, r, v, id)
		if !v.handedOver || !r.retired.has("c") || !r.retired.has("d") {
			t.Errorf("%+v, %v", v, r.retired.servers)
		}
	})
}

func askForVoters(t *testing.T, r *reign, v *fakeVoters, id uuid.UUID) {
	directory := func(node int32) [16]byte { return uuid.UUID{15: byte(node)} }
	for _, s := range []struct {
		name    string
		add     bool
		cluster uuid.UUID
		node    int32
		dir     [16]byte
		want    kerr.Code
		voters  string
	}{
		{"add", true, id, 4, directory(4), 0, "a b c d e"},
		{"add who is gone: one of two could not commit without it", true, id, 5, directory(5), kerr.RequestTimedOut, "a b c d e"},
		{"add who is far behind", true, id, 6, directory(6), kerr.RequestTimedOut, "a b c d e"},
		{"add again", true, id, 4, directory(4), kerr.DuplicateVoter, "a b c d e"},
		{"add who has not joined", true, uuid.Nil, 7, directory(7), kerr.InvalidRequest, "a b c d e"},
		{"add in another cluster", true, uuid.UUID{8}, 4, directory(4), kerr.InconsistentClusterID, "a b c d e"},
		{"remove", false, uuid.Nil, 4, directory(4), 0, "a b c e"},
		{"remove again", false, id, 4, directory(4), kerr.VoterNotFound, "a b c e"},
		{"add another directory", true, id, 4, directory(5), kerr.InvalidRequest, "a b c e"},
		{"remove another directory", false, id, 3, directory(4), kerr.VoterNotFound, "a b c e"},
		{"remove who is not registered any more", false, id, 9, [16]byte{}, 0, "a b c"},
		{"remove in another cluster", false, uuid.UUID{8}, 3, directory(3), kerr.InconsistentClusterID, "a b c"},
		{"remove the leader", false, id, 1, directory(1), kerr.NotController, "a b c"},
		{"remove", false, id, 3, directory(3), 0, "a b"},
	} {
		var err error
		if s.add {
			err = r.AddVoter(t.Context(), s.cluster, &kmsg.AddRaftVoterRequest{VoterID: s.node, VoterDirectoryID: s.dir})
		} else {
			err = r.RemoveVoter(t.Context(), s.cluster, &kmsg.RemoveRaftVoterRequest{VoterID: s.node, VoterDirectoryID: s.dir})
		}
		got := ""
		for _, server := range v.servers {
			if server.Voter {
				got += " " + server.ID
			}
		}
		if kerr.Of(err) != s.want || got != " "+s.voters {
			t.Errorf("%s %d: %v, voters%s; want %v, %s", s.name, s.node, err, got, s.want, s.voters)
		}
	}
}

func TestFeatures(t *testing.T) {
	c, l := cluster(t, 1)
	for id, most := range map[image.BrokerID]int16{1: 3, 2: 2} {
		r := image.BrokerRecord{ID: id, Incarnation: uuid.UUID{15: byte(id)}, Features: []image.FeatureRange{{Name: "f", Min: 1, Max: most}}}
		if _, err := l.apply(r); err != nil {
			t.Fatal(err)
		}
	}
	level := func(name string, level int16, how int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
		return kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: name, MaxVersionLevel: level, UpgradeType: how}
	}
	for _, s := range []struct {
		name    string
		version int16
		updates []kmsg.UpdateFeaturesRequestFeatureUpdate
		want    kerr.Code
		is      int16
	}{
		{"up", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 2, upgrade)}, 0, 2},
		{"beyond what one broker knows", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 3, upgrade)}, kerr.InvalidUpdateVersion, 2},
		{"what nobody knows", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("g", 1, upgrade)}, kerr.InvalidUpdateVersion, 2},
		{"down as an upgrade", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 1, upgrade)}, kerr.InvalidUpdateVersion, 2},
		{"up as a downgrade", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 3, safeDowngrade)}, kerr.InvalidUpdateVersion, 2},
		{"an unknown kind", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 1, 4)}, kerr.InvalidUpdateVersion, 2},
		{"below 0", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", -1, safeDowngrade)}, kerr.InvalidUpdateVersion, 2},
		{"all or none", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 1, safeDowngrade), level("g", 1, upgrade)}, kerr.InvalidUpdateVersion, 2},
		{"twice", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 1, safeDowngrade), level("f", 1, safeDowngrade)}, kerr.InvalidRequest, 2},
		{"down", 1, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 1, unsafeDowngrade)}, 0, 1},
		{"removed", 2, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 0, safeDowngrade)}, 0, 0},
		{"version 0, up", 0, []kmsg.UpdateFeaturesRequestFeatureUpdate{level("f", 2, 0)}, 0, 2},
		{"version 0, down", 0, []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "f", MaxVersionLevel: 1, AllowDowngrade: true}}, 0, 1},
	} {
		for _, validate := range []bool{true, false} {
			was := c.o.Log.Image().Feature("f")
			err := c.UpdateFeatures(context.Background(), &kmsg.UpdateFeaturesRequest{Version: s.version, FeatureUpdates: s.updates, ValidateOnly: validate})
			is := c.o.Log.Image().Feature("f")
			if kerr.Of(err) != s.want || validate && is != was || !validate && is != s.is {
				t.Errorf("%s: %v, level %d", s.name, err, is)
			}
		}
	}
	endpoint := []image.Endpoint{{Name: "PLAINTEXT", Port: 9092}}
	if _, err := c.RegisterBroker(t.Context(), image.BrokerRecord{ID: 3, Incarnation: uuid.UUID{3}, Endpoints: endpoint}); kerr.Of(err) != kerr.UnsupportedVersion {
		t.Errorf("a broker that does not know the level: %v", err)
	}
}

// A broker that was forgotten does not keep its vote because the metadata log's leader changed in between: asking again
// completes it.
func TestABrokerThatIsForgottenHalfIsForgottenWhole(t *testing.T) {
	c, _ := cluster(t, 3, 3)
	v := &fakeVoters{servers: []Server{{"a", 1, true}, {"b", 2, true}, {"c", 3, true}}, fail: kerr.NotController}
	c.o.Voters = v
	for i, want := range []error{kerr.NotController, nil, kerr.BrokerIDNotRegistered} {
		if err := c.UnregisterBroker(t.Context(), 3); kerr.Of(err) != kerr.Of(want) {
			t.Errorf("attempt %d: %v, want %v", i, err, want)
		}
	}
	if got := v.text(); got != "a:true b:true " {
		t.Error(got)
	}
}
