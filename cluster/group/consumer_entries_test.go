package group

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"chronik/metalog/image"
)

// storedConsumers is a group with something in every field that lasts.
func storedConsumers(t testing.TB) *consumerGroup {
	g := emptyConsumerGroup(newWorld(t).m, 0)
	g.at = epochs{group: 7, assignment: 6, topics: 0xfeed, since: 1_700_000_000_000}
	some, others := partitions{topicT: {0, 1, 5}}, partitions{topicT: {3}, {2}: {300}}
	a := &consumer{
		seat: seat{
			id: "a", instance: "i", rack: "r", client: Client{"c", "/h"}, topics: []string{"t", "u"}, epoch: 6, previous: 5,
		},
		rebalance: time.Minute, assignor: rangeName, pattern: "t.*", state: unrevoked, held: some, revoking: others, target: some,
		granted: map[image.TopicPartition]int32{},
	}
	a.grant(some, 4)
	a.grant(others, 5)
	g.enlist(a)
	g.enlist(&consumer{
		seat: seat{id: "b", epoch: leavingForAWhile}, target: partitions{},
		classic: &classicSide{10 * time.Second, []protocol{{"range", []byte{0, 1}}, {"x", nil}}},
	})
	return g
}

func (g *consumerGroup) entries() (list []image.GroupEntry) {
	keys := []string{epochsKey}
	for id := range g.members {
		keys = append(keys, memberEntry+id, currentEntry+id, targetEntry+id)
	}
	for _, k := range slices.Sorted(slices.Values(keys)) {
		list = append(list, image.GroupEntry{Key: []byte(k), Value: g.encode(k)})
	}
	return list
}

func TestConsumerEntriesGolden(t *testing.T) {
	g := storedConsumers(t)
	testGolden(t, "testdata/consumer.golden", g.entries())
	again := emptyConsumerGroup(g.machine, 0)
	again.decode(image.GroupState{}.With(g.entries()...))
	if again.dump() != g.dump() {
		t.Errorf("it was\n%s\nand is read as\n%s", g.dump(), again.dump())
	}
}

// Version 0 once ended with what a member is to give up: its members have had all since the epoch that they are at.
func TestACurrentEntryWithoutEpochsIsRead(t *testing.T) {
	g := storedConsumers(t)
	mem := g.members["a"]
	whole := mem.encodeCurrent()
	again := newConsumer("a", "")
	if !again.decodeCurrent(whole[:len(whole)-5]) || !again.held.equal(mem.held) || !again.revoking.equal(mem.revoking) {
		t.Fatalf("%x is not read", whole[:len(whole)-5])
	}
	for at, since := range again.granted {
		if since != mem.epoch {
			t.Errorf("%v is the member's since %d, and it is at %d", at, since, mem.epoch)
		}
	}
	if len(again.granted) != 5 {
		t.Error(again.granted)
	}
}

// FuzzConsumerEntries reads any values of a member: what can be read is written as it was understood.
func FuzzConsumerEntries(f *testing.F) {
	g := storedConsumers(f)
	for id := range g.members {
		f.Add(g.encode(memberEntry+id), g.encode(currentEntry+id), g.encode(targetEntry+id), g.encode(epochsKey))
	}
	f.Fuzz(func(t *testing.T, member, current, target, head []byte) {
		g := emptyConsumerGroup(newWorld(t).m, 0)
		state := image.GroupState{}.With(
			image.GroupEntry{Key: []byte(memberEntry + "m"), Value: member}, image.GroupEntry{Key: []byte(currentEntry + "m"), Value: current},
			image.GroupEntry{Key: []byte(targetEntry + "m"), Value: target}, image.GroupEntry{Key: []byte(epochsKey), Value: head},
		)
		g.decode(state)
		again := emptyConsumerGroup(g.machine, 0)
		again.decode(image.GroupState{}.With(g.entries()...))
		if !bytes.Equal([]byte(again.dump()), []byte(g.dump())) {
			t.Errorf("read as\n%s\nand then as\n%s", g.dump(), again.dump())
		}
	})
}
