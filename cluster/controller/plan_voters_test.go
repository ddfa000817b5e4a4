package controller

import (
	"fmt"
	"strings"
	"testing"

	"chronik/metalog/image"
)

// Servers are written as their ids, which begin with the node's number: V votes, n does not, + keeps up.
func TestVoters(t *testing.T) {
	for _, c := range []struct{ servers, promote, remove string }{
		{"1V+", "", ""},
		{"1V+ 2n+", "", ""},
		{"1V+ 2n+ 3n", "", ""},
		{"1V+ 2n+ 3n+", "2", ""},
		{"1V+ 2V+ 3n+", "3", ""},
		{"1V+ 2V+ 3n", "", ""},
		{"1V+ 2V+ 3V+ 4n+", "", ""},
		{"1V+ 2V+ 3V+ 4n+ 5n+", "4", ""},
		{"1V+ 2V+ 3V+ 4V+ 5n+ 6n+", "5", ""},
		{"1V+ 2V+ 3V+ 4V+ 5V+ 6n+ 7n+", "", ""},
		{"1V+ 2V+ 3V 3bn", "", ""},
		{"1V+ 2V+ 3V+ 3bn+", "", "3"},
		{"1V+ 2V+ 3n 3bn", "", "3"},
		{"1V+ 2V+ 3bn+", "3b", ""},
	} {
		var servers []Server
		up := map[image.BrokerID]bool{}
		for _, f := range strings.Fields(c.servers) {
			s := Server{ID: strings.TrimRight(f, "Vn+"), Voter: strings.Contains(f, "V")}
			fmt.Sscan(f[:1], &s.Node)
			up[s.Node] = strings.Contains(f, "+")
			servers = append(servers, s)
		}
		promote, remove := planVoters(servers, func(id image.BrokerID) bool { return up[id] })
		if promote != c.promote || remove != c.remove {
			t.Errorf("%s: promote %q, remove %q; want %q, %q", c.servers, promote, remove, c.promote, c.remove)
		}
	}
}

// Each partition is in as many racks as it has replicas, and the leaders are spread evenly, whatever the racks hold.
func TestReplicasAreSpreadOverRacks(t *testing.T) {
	m := image.Empty()
	racks := map[image.BrokerID]string{1: "a", 2: "a", 3: "a", 4: "b", 5: "c"}
	for id := image.BrokerID(1); id <= 5; id++ {
		m = with(t, m, image.BrokerRecord{ID: id, Rack: racks[id]})
	}
	s, leaders := newSpread(m), map[image.BrokerID]int{}
	for stream := range uint64(500) {
		replicas := s.place(stream, 3)
		used := map[string]bool{}
		for _, id := range replicas {
			used[racks[id]] = true
		}
		if leaders[replicas[0]]++; len(used) != 3 || len(replicas) != 3 {
			t.Fatalf("partition %d: %v", stream, replicas)
		}
		if all := s.place(stream, 5); len(all) != 5 {
			t.Fatalf("partition %d: %v", stream, all)
		}
	}
	for id, n := range leaders {
		if n != 100 {
			t.Errorf("broker %d leads %d", id, n)
		}
	}
}
