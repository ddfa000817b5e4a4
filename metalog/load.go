package metalog

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// Contents is what the directory of a stopped metalog says in the end.
type Contents struct {
	NodeID      image.BrokerID
	Incarnation uuid.UUID
	Image       *image.Image
}

// Load reads the directory of a stopped metalog as a start of its node would, and changes nothing. It fails where that
// start would. Entries that no other node has seen yet count: in a cluster of one there are no others, and a node of a larger
// one cannot tell.
func Load(dir string) (Contents, error) { return LoadAt(dir, math.MaxInt64) }

// LoadAt is Load without the entries after index, for who compares nodes of which one knows of more. What a snapshot holds, or a
// plain file of metadata, cannot be had without.
func LoadAt(dir string, index image.Index) (c Contents, err error) {
	if v, err := examineFile(dir); v != nil || err != nil {
		return v.contents(), err
	}
	path := filepath.Join(dir, storeFile)
	if err := checkBolt(path); err != nil {
		return c, err
	}
	var under backend
	err = guard(func() (err error) { under, err = openBolt(path, true); return err })
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	st := &store{path: path, under: under, failure: newFailure()}
	c, err = load(dir, st, uint64(index))
	return c, errors.Join(err, st.Close())
}

func load(dir string, st *store, end uint64) (c Contents, err error) {
	stored, err := st.identity()
	if err != nil {
		return c, err
	}
	n, err := readNewest(dir, st)
	if err != nil {
		return c, err
	}
	c = Contents{stored.node, stored.incarnation, n.image}
	last, err := st.LastIndex()
	if n.stale {
		last = n.index // the next start deletes the log
	}
	if err == nil {
		err = checkAgreed(filepath.Join(dir, identityFile), stored, st.path, last > 1)
	}
	if err != nil {
		return c, err
	}
	for index := n.index + 1; index <= min(last, end); index++ {
		if c.Image, err = replay(st, index, c.Image); err != nil {
			return c, err
		}
	}
	return c, nil
}

// replay is the image after one more entry, as fsm.Apply makes it. What the store says names the file and the entry.
func replay(st *store, index uint64, m *image.Image) (*image.Image, error) {
	var entry raft.Log
	err := st.GetLog(index, &entry)
	if errors.Is(err, raft.ErrLogNotFound) {
		return m, fmt.Errorf("%s: entry %d is missing: %w", st.path, index, err)
	}
	if err != nil || entry.Type != raft.LogCommand {
		return m, err
	}
	proposals, _, err := openEntry(&entry)
	if err != nil {
		return m, fmt.Errorf("%s: entry %d: %w", st.path, index, err)
	}
	next, _, _, err := m.ApplyAll(image.Index(index), proposals)
	if err != nil {
		return m, fmt.Errorf("%s: entry %d: %w", st.path, index, err)
	}
	return next, nil
}
