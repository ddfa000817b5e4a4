package image

import (
	"errors"

	"chronik/kafka/kerr"
)

// ApplyAll is Apply for each proposal of the entry at index, in turn. It returns the image after those that were not refused,
// what they have changed together, nil when all were refused, and why the others were, by their place. An error is none of
// a proposal's, and no kerr.Code. Commits of offsets, of which an entry may have hundreds, share the copies of what they
// change.
func (m *Image) ApplyAll(index Index, proposals [][]Record) (*Image, *Delta, []error, error) {
	a := applying{now: m, index: index}
	refused := make([]error, len(proposals))
	for i, recs := range proposals {
		err := a.one(recs)
		if _, ok := errors.AsType[kerr.Code](err); err != nil && !ok {
			return nil, nil, nil, err
		}
		refused[i] = err
	}
	a.settle()
	if len(a.deltas) == 0 {
		return m, nil, refused, nil
	}
	return a.now, Join(a.deltas), refused, nil
}

// applying is an entry that is being applied.
type applying struct {
	now    *Image
	index  Index
	deltas []*Delta
	shared *change // of commits since now, nil when there are none
}

func (a *applying) one(recs []Record) error {
	if len(recs) > 0 && onlyCommits(recs) {
		return a.commit(recs)
	}
	a.settle()
	next, d, err := a.now.Apply(a.index, recs)
	if err == nil {
		a.now, a.deltas = next, append(a.deltas, d)
	}
	return err
}

func onlyCommits(recs []Record) bool {
	for _, r := range recs {
		if _, ok := r.(OffsetsRecord); !ok {
			return false
		}
	}
	return true
}

// commit looks at all of a proposal before it changes anything: what it refuses has no part in what others share.
func (a *applying) commit(recs []Record) error {
	c := a.shared
	if c == nil {
		c = begin(a.now, a.index)
	}
	for _, r := range recs {
		if err := c.mayCommit(r.(OffsetsRecord)); err != nil {
			return err
		}
	}
	for _, r := range recs {
		c.putOffsets(r.(OffsetsRecord))
	}
	a.shared = c
	return nil
}

func (a *applying) settle() {
	if a.shared == nil {
		return
	}
	next, d := a.shared.end(a.now)
	a.now, a.deltas, a.shared = next, append(a.deltas, d), nil
}
