package group

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// storedGroup is a streams group with something in every field that lasts.
func storedGroup(t testing.TB) *streamsGroup {
	w := newWorld(t)
	w.groupConfig = streamsConfig()
	g := newStreamsGroup(w.m, nil, w.now).(*streamsGroup)
	g.epochs = epochs{group: 7, assignment: 6, topics: 0xfeed, since: 1_700_000_000_000}
	g.validated, g.assignedAt, g.settings = 3, 1_700_000_000_123, "1 zone,rack"
	g.topology = &topology{epoch: 3, subtopologies: []subtopology{
		{
			id: "0", sources: []string{"in", "other"}, sinks: []string{"rep"},
			copartitioned: [][]string{{"in", "other"}},
		},
		{
			id: "1", repartitions: []internalTopic{{name: "rep", partitions: 4, replicas: 3}},
			changelogs: []internalTopic{{name: "log", configs: []pair{{"cleanup.policy", "compact"}}}},
		},
	}}
	a := newStreamsMember("a")
	a.instance, a.rack, a.client, a.process = "i", "r", Client{"c", "/h"}, "p"
	a.rebalance, a.topology, a.tags, a.endpoint = time.Minute, 3, []pair{{"zone", "1"}}, &endpoint{"host", 65535}
	a.epoch, a.previous, a.progress = 6, 5, revoking
	a.assigned = roles{{"0": {0, 2}}, {"1": {1}}, {"1": {3}}}
	a.revoked = roles{{"0": {1}}, {}, {}}
	a.target = roles{{"0": {0, 2}}, {"1": {1}}, {}}
	a.granted = map[task]int32{{"0", 0}: 4, {"0", 1}: 5, {"0", 2}: 6}
	b := newStreamsMember("b")
	b.epoch, b.instance = leavingForAWhile, "j"
	g.enlist(a)
	g.enlist(b)
	return g
}

// entries are all that a group keeps.
func (g *streamsGroup) entries() (list []image.GroupEntry) {
	keys := []string{epochsKey, settingsKey, topologyKey}
	for id := range g.members {
		keys = append(keys, memberKey+id, currentKey+id, targetKey+id)
	}
	for _, k := range slices.Sorted(slices.Values(keys)) {
		list = append(list, image.GroupEntry{Key: []byte(k), Value: g.encode(k)})
	}
	return list
}

func TestStreamsEntriesAreStoredAsEver(t *testing.T) {
	g := storedGroup(t)
	testGolden(t, "testdata/streams.golden", g.entries())
	again := newStreamsGroup(g.machine, &image.Group{State: image.GroupState{}.With(g.entries()...)}, coordinator.Instant{}).(*streamsGroup)
	if !slices.EqualFunc(again.entries(), g.entries(), sameEntry) {
		t.Error("what was read is written in another way")
	}
	if !maps.Equal(again.static, g.static) || again.members["a"].revokeBy == never {
		t.Error("what follows from the entries was not worked out")
	}
}

func sameEntry(a, b image.GroupEntry) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}

// FuzzStreamsEntries reads any values. What a group has read it writes so that it reads the same again.
func FuzzStreamsEntries(f *testing.F) {
	g := storedGroup(f)
	for _, e := range g.entries() {
		f.Add(string(e.Key), e.Value)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		load := func(entries ...image.GroupEntry) *streamsGroup {
			return newStreamsGroup(g.machine, &image.Group{State: image.GroupState{}.With(entries...)}, coordinator.Instant{}).(*streamsGroup)
		}
		if value == nil {
			value = []byte{}
		}
		first := load(image.GroupEntry{Key: []byte(key), Value: value})
		if first.topology == nil {
			first.topology = &topology{}
		}
		second := load(first.entries()...)
		if !slices.EqualFunc(first.entries(), second.entries(), sameEntry) {
			t.Errorf("%q: %x", key, value)
		}
	})
}
