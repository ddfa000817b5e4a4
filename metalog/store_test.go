package metalog

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// stuck is bbolt after a page that cannot be read has had it panic, and again while it rolled back.
type stuck struct {
	backend
	held chan struct{}
}

func (s stuck) GetLog(uint64, *raft.Log) error { panic("unexpected fault address") }

func (s stuck) Close() error {
	<-s.held
	return nil
}

// A first start on a disk that failed to read raft.db hung for ever.
func TestAStoreThatMetDamageMustNotWaitForItsClosing(t *testing.T) {
	under := stuck{held: make(chan struct{})}
	defer close(under.held)
	s := &store{path: "raft.db", under: under, failure: newFailure()}
	if err := s.GetLog(1, &raft.Log{}); !errors.Is(err, image.ErrCorrupt) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
