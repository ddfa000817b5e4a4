package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"chronik/metalog/image"
)

// A version that checks more than the one before must not keep a node from starting.
func TestAConfigThatAnOlderVersionTookMustNotEndTheNode(t *testing.T) {
	all := image.Resource{Type: image.BrokerResource}
	img, _, err := image.Empty().Apply(1, []image.Record{
		image.ConfigRecord{Resource: all, Name: "log.cleanup.policy", Value: new("delete,delete")},
		image.ConfigRecord{Resource: all, Name: "log.retention.ms", Value: new("77000")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	s, err := newSettings(img, 1, nil, slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if topic := s.Topic(img, "t"); !topic.DeletePolicy || topic.RetentionMs != 77000 {
		t.Error(topic.DeletePolicy, topic.RetentionMs)
	}
	if !strings.Contains(told.String(), "log.cleanup.policy") {
		t.Error(told.String())
	}
}

// Configs that are good alone and refused together kept a node from starting: one that an older version let in, or a stored one
// beside what the node's file says now.
func TestConfigsThatDoNotGoTogetherMustNotEndTheNode(t *testing.T) {
	const least, most = "log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"
	all, own := image.Resource{Type: image.BrokerResource}, image.Resource{Type: image.BrokerResource, Name: "1"}
	set := func(r image.Resource, name, value string) image.Record {
		return image.ConfigRecord{Resource: r, Name: name, Value: &value}
	}
	for what, c := range map[string]struct {
		static      map[string]string
		stored      []image.Record
		least, most int64
		refused     []string
	}{
		"all good": {nil, []image.Record{set(all, least, "5"), set(all, most, "9")}, 5, 9, nil},
		"a good pair, of which neither is good beside the static ones": {map[string]string{least: "20", most: "30"},
			[]image.Record{set(all, most, "9"), set(own, least, "5")}, 5, 9, nil},
		"refused beside a static one": {map[string]string{most: "9"}, []image.Record{set(all, least, "10"), set(all, "log.retention.ms", "77000")}, 0, 9, []string{least}},
		"refused beside each other":   {nil, []image.Record{set(all, most, "9"), set(own, least, "10")}, 0, 9, []string{least}},
		"good beside a later one, and one refused": {map[string]string{most: "9"},
			[]image.Record{set(all, least, "10"), set(own, most, "12"), set(own, least, "13")}, 10, 12, []string{least}},
	} {
		img, _, err := image.Empty().Apply(1, c.stored)
		if err != nil {
			t.Fatal(err)
		}
		var told bytes.Buffer
		s, err := newSettings(img, 1, c.static, slog.New(slog.NewTextHandler(&told, nil)))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		topic := s.Topic(img, "t")
		if topic.MinCompactionLagMs != c.least || topic.MaxCompactionLagMs != c.most {
			t.Errorf("%s: %d to %d, want %d to %d", what, topic.MinCompactionLagMs, topic.MaxCompactionLagMs, c.least, c.most)
		}
		if c.static[most] == "9" && c.least == 0 && topic.RetentionMs != 77000 {
			t.Errorf("%s: what has nothing to do with it is not applied", what)
		}
		for _, name := range c.refused {
			if strings.Count(told.String(), "config="+name+" ") != 1 {
				t.Errorf("%s: %s is not told once:\n%s", what, name, told.String())
			}
		}
		if len(c.refused) == 0 && told.Len() > 0 {
			t.Errorf("%s: %s", what, told.String())
		}
	}
}

// The error of a bad stored value came again with each change of any broker config.
func TestAStoredConfigThatIsRefusedIsToldOnce(t *testing.T) {
	all := image.Resource{Type: image.BrokerResource}
	var told bytes.Buffer
	img := image.Empty()
	apply := func(name string, value *string) *image.Delta {
		next, d, err := img.Apply(img.Index()+1, []image.Record{image.ConfigRecord{Resource: all, Name: name, Value: value}})
		if err != nil {
			t.Fatal(err)
		}
		img = next
		return d
	}
	apply("log.cleanup.policy", new("delete,delete"))
	s, err := newSettings(img, 1, nil, slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		value *string
		want  int
	}{
		{"log.retention.ms", new("77000"), 1},
		{"log.cleanup.policy", new("nonsense"), 2},
		{"log.retention.ms", new("78000"), 2},
		{"log.cleanup.policy", nil, 2},
		{"log.cleanup.policy", new("nonsense"), 3},
	} {
		s.Apply(apply(c.name, c.value))
		if n := strings.Count(told.String(), "config=log.cleanup.policy "); n != c.want {
			t.Errorf("told %d times, want %d:\n%s", n, c.want, told.String())
		}
	}
}
