package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// racksOf reads "1:a 2:a 3:b"; placesOf reads "1,2,3 2,3,1".
func racksOf(text string) map[int32]string {
	racks := map[int32]string{}
	for _, f := range strings.Fields(text) {
		var id int32
		number, rack, _ := strings.Cut(f, ":")
		fmt.Sscan(number, &id)
		racks[id] = rack
	}
	return racks
}

func placesOf(text string) (places []place) {
	for i, f := range strings.Fields(text) {
		p := place{topic: "t", partition: int32(i)}
		for _, number := range strings.Split(f, ",") {
			var id int32
			fmt.Sscan(number, &id)
			p.was = append(p.was, id)
		}
		places = append(places, p)
	}
	return places
}

func (l *layout) text() string {
	var all []string
	for _, p := range l.places {
		all = append(all, list(p.is))
	}
	return strings.Join(all, " ")
}

func TestPlans(t *testing.T) {
	rebalance := (*layout).rebalance
	give := func(id int32) func(*layout) error {
		return func(l *layout) error { l.give(id); return nil }
	}
	for _, c := range []struct {
		name, nodes, was, want string
		do                     func(*layout) error
	}{
		{"even already", "1: 2: 3:", "1,2 2,3 3,1", "1,2 2,3 3,1", rebalance},
		{"a new node", "1: 2: 3: 4:", "1,2,3 2,3,1 3,1,2 1,2,3", "1,4,3 2,3,1 4,1,2 3,2,4", give(4)},
		{"a node goes", "1: 2: 4:", "1,2,3 2,3,1 3,1,2", "1,2,4 2,4,1 4,1,2", (*layout).leave},
		{"a node goes, and too few are left", "1: 2:", "1,2,3 2,1", "! 1 partition has as many replicas as nodes would be left, or more: add a node first: t-0", (*layout).leave},
		{"racks", "1:a 2:a 3:b 4:b", "1,2 2,1 3,4 4,3", "1,3 2,4 3,1 4,2", rebalance},
		{"a rack has one node", "1:a 2:a 3:b", "1,2 1,2 1,2", "2,3 3,1 1,3", rebalance},
		{"one node leads all", "1: 2: 3:", "1,2,3 1,2,3 1,2,3", "2,1,3 3,2,1 1,2,3", rebalance},
		{"nothing is there", "1: 2:", "", "", rebalance},
	} {
		l := newLayout(racksOf(c.nodes), placesOf(c.was))
		got := ""
		if err := c.do(l); err != nil {
			got = "! " + err.Error()
		} else {
			got = l.text()
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
}

// Whatever there was: no partition loses a replica or has two at one node, and without racks the nodes are as even as can
// be, by no more copies than it takes.
func TestRebalancedIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := int32(rapid.IntRange(1, 7).Draw(t, "nodes"))
		racks, ids := map[int32]string{}, []int32{}
		kinds := rapid.IntRange(1, 3).Draw(t, "racks")
		for id := range n {
			racks[id] = fmt.Sprint(rapid.IntRange(1, kinds).Draw(t, "rack"))
			ids = append(ids, id)
		}
		var places []place
		for i := range rapid.IntRange(0, 40).Draw(t, "partitions") {
			factor := rapid.IntRange(1, int(min(n, 3))).Draw(t, "factor")
			places = append(places, place{topic: "t", partition: int32(i), was: rapid.Permutation(ids).Draw(t, "replicas")[:factor]})
		}
		l := newLayout(racks, places)
		least := 0 // what is above an even share must go
		total, held := 0, map[int32]int{}
		for _, id := range ids {
			total += l.held[id]
			held[id] = l.held[id]
		}
		for _, id := range ids {
			least += max(0, held[id]-(total+int(n)-1)/int(n))
		}
		if err := l.rebalance(); err != nil {
			t.Fatal(err)
		}
		copies := 0
		for _, p := range l.places {
			copies += p.copies()
			if sorted := slices.Sorted(slices.Values(p.is)); len(slices.Compact(sorted)) != len(p.was) {
				t.Fatalf("%v became %v", p.was, p.is)
			}
		}
		nodes := l.nodes()
		if kinds == 1 && (l.held[nodes[len(nodes)-1]]-l.held[nodes[0]] > 1 || copies > least+int(n)) {
			t.Fatalf("%v with %d copies, where %d were needed", l.held, copies, least)
		}
		again := newLayout(racks, placesAs(l.places))
		if err := again.rebalance(); err != nil || len(again.plan()) > 0 && kinds == 1 {
			t.Fatalf("it does not come to rest: %v", again.plan())
		}
	})
}

// placesAs begins where a plan ended.
func placesAs(places []place) (all []place) {
	for _, p := range places {
		all = append(all, place{topic: p.topic, partition: p.partition, was: p.is})
	}
	return all
}
