package group

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzSubscription reads any metadata of a member. What kmsg reads as well, in the version that it says it is, must name
// the same topics.
func FuzzSubscription(f *testing.F) {
	for version := range int16(4) {
		m := kmsg.NewConsumerMemberMetadata()
		m.Version, m.Topics, m.UserData = version, []string{"a", "topic"}, []byte("data")
		f.Add(m.AppendTo(nil))
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, metadata []byte) {
		before := slices.Clone(metadata)
		topics, ok := subscription(metadata)
		if !slices.Equal(before, metadata) {
			t.Fatal("the member's metadata was changed")
		}
		oracle := kmsg.NewConsumerMemberMetadata()
		if oracle.ReadFrom(metadata) == nil && oracle.Version >= 0 && (!ok || !slices.Equal(topics, oracle.Topics)) {
			t.Errorf("%q, %v; kmsg reads %q", topics, ok, oracle.Topics)
		}
	})
}
