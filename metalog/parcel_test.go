package metalog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// order notes what a log applies, and in which entry.
type order struct {
	groups []string
	at     map[string]image.Index
}

func (o *order) Apply(d *image.Delta) {
	for _, g := range d.Groups {
		o.groups = append(o.groups, g)
		o.at[g] = d.New.Index()
	}
}

func group(id string, size int) []image.Record {
	return []image.Record{image.GroupRecord{Group: image.Group{ID: id, Leader: strings.Repeat("x", size)}, OwnerEpoch: -1, OwnerSince: -1}}
}

// Each of several proposals has an outcome of its own, and none overtakes another, wherever the leader is.
func TestEachOfSeveralProposals(t *testing.T) {
	c := founded(t, 3)
	for i, l := range c.logs {
		if err := l.Ready(c.soon()); err != nil {
			t.Fatal(err)
		}
		o := &order{at: map[string]image.Index{}}
		l.Watch(o)
		o.groups = nil
		name := func(n int) string { return fmt.Sprintf("%d-%02d", i, n) }
		proposals := [][]image.Record{
			group(name(0), 1), {topic("same")}, {topic("same")}, group(name(1), maxProposal), group(name(2), 1),
		}
		for n := 3; n < 9; n++ {
			proposals = append(proposals, group(name(n), maxProposal/3)) // an entry has room for two, and for the small ones
		}
		errs := l.ProposeEach(c.soon(), true, proposals)
		for n, err := range errs {
			want := kerr.None
			switch {
			case n == 2, n == 1 && i > 0:
				want = kerr.TopicAlreadyExists
			case n == 3:
				want = kerr.RecordListTooLarge
			}
			if (err == nil) != (want == kerr.None) || err != nil && kerr.Of(err) != want {
				t.Errorf("node %d: proposal %d: %v", i+1, n, err)
			}
		}
		want := []string{name(0), name(2)}
		for n := 3; n < 9; n++ {
			want = append(want, name(n))
		}
		if fmt.Sprint(o.groups) != fmt.Sprint(want) {
			t.Errorf("node %d applied %v, want %v", i+1, o.groups, want)
		}
		if o.at[name(0)] != o.at[name(2)] || o.at[name(0)] != o.at[name(4)] || o.at[name(4)] == o.at[name(5)] {
			t.Errorf("node %d: entries %v", i+1, o.at)
		}
	}
}

// What comes in one message comes into one entry, but for what cannot be read.
func TestAMessageComesIntoOneEntry(t *testing.T) {
	c := founded(t, 3)
	v := c.visit(c.leader())
	if !v.begin() {
		t.Fatal("the leader does not take proposals")
	}
	m := &message{kind: msgPropose, low: true}
	for _, name := range []string{"a", "b"} {
		body, err := image.Append(nil, topic(name))
		if err != nil {
			t.Fatal(err)
		}
		m.proposals = append(m.proposals, body, []byte{99, 1, 0})
	}
	got := v.ask(m).outcomes
	for i, o := range got {
		if i%2 == 0 && (o.is != isApplied || o.index == 0 || o.index != got[0].index) ||
			i%2 == 1 && (o.is != isRefused || o.code != kerr.InvalidRecord) {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if got := v.ask(&message{kind: msgPropose, proposals: [][]byte{{99, 1, 0}}}).outcomes; len(got) != 1 || got[0].is != isRefused {
		t.Errorf("nothing but what cannot be read: %+v", got)
	}
}

// A leader of an older version may take a part of what it is sent. The rest is not proposed again: it would come in behind
// what was sent after it.
func TestAPartMustNotBeProposedAgain(t *testing.T) {
	applied, refused := answer{index: 7}, answer{err: kerr.InvalidRecord, refused: true}
	not, lost := answer{err: errNotProposed}, answer{err: unknown(errors.New("the disk"))}
	for _, c := range []struct {
		name  string
		all   []answer
		again bool
	}{
		{"all", []answer{not, not}, true},
		{"the others cannot be read", []answer{refused, not}, true},
		{"none", []answer{applied, refused}, false},
		{"the first", []answer{applied, not}, false},
		{"the last", []answer{not, {index: 7, err: kerr.InvalidRequest, refused: true}}, false},
		{"perhaps the first", []answer{lost, not}, false},
	} {
		got := together(c.all)
		if notProposed(got) != c.again {
			t.Errorf("%s was taken: %v", c.name, got)
		}
		for i, a := range got {
			if a.err == nil && a.index == 0 || a.refused != c.all[i].refused {
				t.Errorf("%s was taken: %d: %+v", c.name, i, a)
			}
		}
	}
}
