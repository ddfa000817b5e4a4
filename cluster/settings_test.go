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
