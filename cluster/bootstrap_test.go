package cluster

import (
	"errors"
	"testing"

	"chronik/kafka/kerr"
	"chronik/metalog"
)

// A node that gave its new cluster an id while the metadata log's leader changed did not start: nobody knew what came of it.
func TestANodeStartsThoughTheLeaderChangesWhileItFounds(t *testing.T) {
	meta, err := metalog.OpenFile(metalog.Options{Dir: t.TempDir(), NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer meta.Close()
	unknown := errors.New("outcome of the proposal unknown")
	for _, c := range []struct {
		name  string
		peers *peers
		fails []error
		want  error
	}{
		{"one of several", new(peers), []error{unknown, unknown, nil}, nil},
		{"the others say no", new(peers), []error{unknown, kerr.InconsistentClusterID}, kerr.InconsistentClusterID},
		{"alone", nil, []error{unknown}, unknown},
	} {
		n, tries := &Node{Meta: meta, peers: c.peers}, 0
		err := n.patiently(t.Context(), isUnknown, func() error {
			tries++
			return c.fails[tries-1]
		})
		if !errors.Is(err, c.want) || tries != len(c.fails) {
			t.Errorf("%s: %v after %d tries, want %v after %d", c.name, err, tries, c.want, len(c.fails))
		}
	}
}
