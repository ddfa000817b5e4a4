package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"chronik/metalog"
	"chronik/metalog/image"
)

// That the note of the last run is damaged makes what is on the disk old, and no other disk's: partitions of which only this
// node has a replica could not be opened any more.
func TestADamagedNoteLeavesTheDataItsIncarnation(t *testing.T) {
	o := options(t.TempDir())
	o.Peers = oneOfItself(t, "127.0.0.1:0")
	n := mustStart(t, o)
	incarnation := n.Meta.Incarnation()
	mustClose(t, n)
	if err := os.WriteFile(filepath.Join(o.Dir, runFile), []byte("rotten"), 0o600); err != nil {
		t.Fatal(err)
	}
	past, err := readPast(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Peers.Voters = []Voter{{2, "n2:9192"}}
	others, err := listenForPeers(o)
	if err != nil {
		t.Fatal(err)
	}
	knowsBetter := func(context.Context, string, question) (reply, error) {
		return reply{OK: true, Run: uuid.New(), Epoch: 9}, nil
	}
	m := metalog.Options{Dir: filepath.Join(o.Dir, "metalog"), NodeID: o.ID, Net: others.net}
	l, err := past.openMetalog(t.Context(), o, m, knowsBetter)
	if err != nil {
		t.Fatal(err)
	}
	if l.Incarnation() != incarnation {
		t.Errorf("the data is that of %s, and the metadata log is for %s", incarnation, l.Incarnation())
	}
	if _, err := os.Stat(filepath.Join(o.Dir, damagedDir, "metalog")); err != nil {
		t.Error(err)
	}
	if err := errors.Join(l.Close(), others.net.Close()); err != nil {
		t.Error(err)
	}
}

// Where the other nodes are is noted by the next occasion, when a full disk has kept it from being noted at first.
func TestWhereTheOthersAreIsNotedInTheEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "not yet", runFile)
	p := &past{path: path, now: &metalog.Run{Node: 1}}
	img, _, err := image.Empty().Apply(1, []image.Record{image.BrokerRecord{
		ID: 2, Incarnation: uuid.New(), Endpoints: []image.Endpoint{{Name: image.InternalListener, Host: "n2", Port: 9192}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.meet(img); err == nil {
		t.Fatal("it was written where no directory is")
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.meet(img); err != nil {
		t.Fatal(err)
	}
	if r, err := metalog.ReadRun(path); err != nil || r == nil || len(r.Peers) != 1 || r.Peers[0] != "n2:9192" {
		t.Errorf("%+v, %v", r, err)
	}
}
