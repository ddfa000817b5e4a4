package share

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"chronik/metalog/image"
)

// noLog is a metadata log in which nothing is.
type noLog struct{}

func (noLog) Image() *image.Image { return image.Empty() }
func (noLog) ProposeEach(_ context.Context, _ bool, p [][]image.Record) []error {
	return make([]error, len(p))
}

// A request may be served after its connection has ended. There can be only so many sessions.
func TestASessionMustNotOutliveItsConnection(t *testing.T) {
	m := New(Options{Log: noLog{}, MaxSessions: func() int { return 1 }, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	defer m.Close()
	for range 100 {
		conn, end := context.WithCancel(t.Context())
		end()
		if _, err := m.Fetch(conn, Session{"g", "m", OpenEpoch}, nil, nil, false); err != nil {
			t.Fatal(err)
		}
		if err := m.Acknowledging(Session{"g", "m", 1}); err == nil {
			t.Fatal("the session is still there")
		}
	}
}

func TestASessionHasAPartitionOnce(t *testing.T) {
	a, b, c := image.TopicPartition{Partition: 1}, image.TopicPartition{Partition: 2}, image.TopicPartition{Partition: 3}
	is := &session{}
	is.change([]image.TopicPartition{a, b, a}, nil)
	is.change([]image.TopicPartition{c, b}, []image.TopicPartition{a, c})
	if got := is.partitions; len(got) != 2 || got[0] != b || got[1] != c {
		t.Errorf("the session has %v", got)
	}
}
