package metalog

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

func TestRunNoteIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.run")
	if r, err := ReadRun(path); r != nil || err != nil {
		t.Fatal(r, err)
	}
	for _, peers := range [][]string{nil, {"n2:9093"}, {"n2:9093", "[::1]:9093"}} {
		want := &Run{Node: 3, Cluster: uuid.New(), Incarnation: uuid.New(), ID: uuid.New(), Epoch: 1 << 40, Peers: peers}
		if err := want.Write(path); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadRun(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatal(got, want, err)
		}
	}
}

func TestDamagedRunNoteIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.run")
	if err := (&Run{Node: 1, ID: uuid.New(), Peers: []string{"n2:9093"}}).Write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := ReadRun(path); !errors.Is(err, image.ErrCorrupt) {
			t.Fatalf("byte %d: %v, %v", i, r, err)
		}
		b[i] ^= 1
	}
}

// Another incarnation, whatever of its two files a crash leaves as it was.
func TestRenewedIncarnationStays(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, NodeID: 1}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	was, server := l.Incarnation(), l.Self().ID
	before, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Renew(); err != nil {
		t.Fatal(err)
	}
	now := l.Incarnation()
	if err := l.Close(); err != nil || now == was {
		t.Fatal(now, was, err)
	}
	if err := os.WriteFile(filepath.Join(dir, identityFile), before, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(o); err != nil {
		t.Fatal(err)
	}
	if l.Incarnation() != now || l.Self().ID != server {
		t.Error(l.Incarnation(), now, l.Self(), server)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// A node that was away while another one started several times knows of an older run of it than the note does. Two nodes that
// took that for a newer one set the metadata log of the whole cluster aside.
func TestAnOlderRunMustNotMakeANoteOld(t *testing.T) {
	note := &Run{ID: uuid.New(), Before: uuid.New(), Epoch: 20}
	for _, c := range []struct {
		last  uuid.UUID
		epoch int64
		older bool
	}{
		{uuid.Nil, 0, false}, {note.ID, 30, false}, {note.Before, 20, false}, {note.Before, 30, false},
		{uuid.New(), 10, false}, {uuid.New(), 20, false}, {uuid.New(), 21, true},
	} {
		if got := note.Older(c.last, c.epoch); got != c.older {
			t.Errorf("%v, %d: %v", c.last, c.epoch, got)
		}
	}
	if damaged := (&Run{}); !damaged.Older(note.ID, 1) {
		t.Error("a note that says nothing is not taken for old")
	}
}
