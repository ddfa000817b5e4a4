package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// layout is where the replicas of a cluster lie, and where they are to lie. It is changed replica by replica; what differs
// from the beginning is the plan.
type layout struct {
	racks  map[int32]string // of the nodes that may have replicas
	places []place
	held   map[int32]int // replicas by node, of all places
	first  map[int32]int // places by the node of their first replica, which is to lead
}

// place is one partition.
type place struct {
	topic     string
	partition int32
	was, is   []int32 // replicas, the first is to lead
}

func (p place) name() string { return fmt.Sprintf("%s-%d", p.topic, p.partition) }

func (p place) moves() bool { return !slices.Equal(p.was, p.is) }

// copies is how many replicas are to be copied to other nodes.
func (p place) copies() (n int) {
	for _, id := range p.is {
		if !slices.Contains(p.was, id) {
			n++
		}
	}
	return n
}

func newLayout(racks map[int32]string, places []place) *layout {
	l := &layout{racks: racks, places: places, held: map[int32]int{}, first: map[int32]int{}}
	for i := range places {
		p := &places[i]
		p.is = slices.Clone(p.was)
		for _, id := range p.is {
			l.held[id]++
		}
		l.first[p.is[0]]++
	}
	return l
}

// nodes is those that may have replicas, those with fewest first.
func (l *layout) nodes() []int32 {
	all := make([]int32, 0, len(l.racks))
	for id := range l.racks {
		all = append(all, id)
	}
	slices.SortFunc(all, func(a, b int32) int { return cmp.Or(cmp.Compare(l.held[a], l.held[b]), cmp.Compare(a, b)) })
	return all
}

// replace has the place's i-th replica lie at another node.
func (l *layout) replace(p *place, i int, by int32) {
	l.held[p.is[i]]--
	l.held[by]++
	if i == 0 {
		l.first[p.is[0]]--
		l.first[by]++
	}
	p.is[i] = by
}

// crowd is how many of the place's other replicas are in the rack that id is in.
func (l *layout) crowd(p *place, i int, id int32) (n int) {
	for j, other := range p.is {
		if rack, known := l.racks[other]; j != i && known && rack == l.racks[id] {
			n++
		}
	}
	return n
}

// best is the node that should have the place's i-th replica if not the one that has: in a rack with fewest of the others,
// of these the one with fewest replicas.
func (l *layout) best(p *place, i int) (best int32, ok bool) {
	for _, id := range l.nodes() {
		if !slices.Contains(p.is, id) && (!ok || l.crowd(p, i, id) < l.crowd(p, i, best)) {
			best, ok = id, true
		}
	}
	return best, ok
}

// leave has every replica go from the nodes that may have none.
func (l *layout) leave() error {
	var stuck []string
	for k := range l.places {
		p := &l.places[k]
		for i, id := range p.is {
			if _, stays := l.racks[id]; stays {
				continue
			}
			by, ok := l.best(p, i)
			if !ok {
				stuck = append(stuck, p.name())
				break
			}
			l.replace(p, i, by)
		}
	}
	if len(stuck) > 0 {
		return fmt.Errorf("%s as many replicas as nodes would be left, or more: add a node first: %s", countedWith(len(stuck), "partition", "has", "have"), some(stuck))
	}
	return nil
}

// spread has replicas that share a rack go to racks without one, where there are such.
func (l *layout) spread() {
	for k := range l.places {
		p := &l.places[k]
		for i := len(p.is) - 1; i >= 0; i-- {
			if by, ok := l.best(p, i); ok && l.crowd(p, i, by) < l.crowd(p, i, p.is[i]) {
				l.replace(p, i, by)
			}
		}
	}
}

// level moves replicas from nodes with most to those of receivers with fewest, one at a time, until no move makes the two
// more alike. No move puts more replicas of a partition into one rack. Each is needed: the number of them is the least.
func (l *layout) level(receivers []int32) {
	for l.levelOne(receivers) {
	}
}

func (l *layout) levelOne(receivers []int32) bool {
	all := l.nodes()
	for _, to := range all {
		if !slices.Contains(receivers, to) {
			continue
		}
		for _, from := range slices.Backward(all) {
			if l.held[from]-l.held[to] < 2 {
				break
			}
			if l.shift(from, to) {
				return true
			}
		}
	}
	return false
}

// shift moves one replica, if there is one that can go: of those that do, one that leads from a node that leads much,
// else one that follows.
func (l *layout) shift(from, to int32) bool {
	leads := l.first[from] > l.first[to]
	for _, any := range []bool{false, true} {
		for k := range l.places {
			p := &l.places[k]
			i := slices.Index(p.is, from)
			if i < 0 || slices.Contains(p.is, to) || !any && (i == 0) != leads || l.crowd(p, i, to) > l.crowd(p, i, from) {
				continue
			}
			l.replace(p, i, to)
			return true
		}
	}
	return false
}

// lead changes which replica of each place is the first until no change makes the nodes more alike.
func (l *layout) lead() {
	for l.leadOne() {
	}
}

func (l *layout) leadOne() bool {
	for k := range l.places {
		p := &l.places[k]
		for i := 1; i < len(p.is); i++ {
			if a, b := p.is[0], p.is[i]; l.first[a]-l.first[b] >= 2 {
				l.first[a]--
				l.first[b]++
				p.is[0], p.is[i] = b, a
				return true
			}
		}
	}
	return false
}

var errNoNodes = errors.New("no node may have replicas")

// rebalance makes the layout even, over racks and nodes.
func (l *layout) rebalance() error {
	if len(l.racks) == 0 {
		return errNoNodes
	}
	if err := l.leave(); err != nil {
		return err
	}
	l.spread()
	l.level(l.nodes())
	l.lead()
	return nil
}

// give has a node get its share.
func (l *layout) give(id int32) {
	l.level([]int32{id})
	l.lead()
}

// plan is the places that are to change.
func (l *layout) plan() (plan []place) {
	for _, p := range l.places {
		if p.moves() {
			plan = append(plan, p)
		}
	}
	return plan
}
