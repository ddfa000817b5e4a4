package group

import (
	"slices"
	"time"

	"chronik/metalog/image"
)

// The entries of a consumer group; FORMAT.md draws them.

// entryVersion stands first in every value. A value of another version is taken for missing.
const entryVersion = 0

// encode is the value of an entry by the state in memory, nil when there is none.
func (g *consumerGroup) encode(key string) []byte {
	if key == epochsKey {
		return g.at.encode()
	}
	mem := g.members[key[1:]]
	if mem == nil {
		return nil
	}
	switch key[:1] {
	case memberEntry:
		return mem.encodeMember()
	case currentEntry:
		return mem.encodeCurrent()
	default:
		return appendPartitions([]byte{entryVersion}, mem.target)
	}
}

func (mem *consumer) encodeMember() []byte {
	dst := []byte{entryVersion}
	for _, s := range []string{mem.instance, mem.rack, mem.client.ID, mem.client.Host, mem.assignor, mem.pattern} {
		dst = appendText(dst, s)
	}
	dst = appendNumber(dst, mem.rebalance.Milliseconds())
	dst = appendTexts(dst, mem.topics)
	if mem.classic == nil {
		return append(dst, 0)
	}
	dst = appendNumber(append(dst, 1), mem.classic.session.Milliseconds())
	dst = appendCount(dst, len(mem.classic.protocols))
	for _, p := range mem.classic.protocols {
		dst = appendText(appendText(dst, p.name), p.metadata)
	}
	return dst
}

func (mem *consumer) encodeCurrent() []byte {
	dst := appendNumber(appendNumber([]byte{entryVersion}, mem.epoch), mem.previous)
	dst = appendNumber(dst, mem.state)
	dst = appendPartitions(appendPartitions(dst, mem.held), mem.revoking)
	mem.eachHeld(func(at image.TopicPartition) { dst = appendNumber(dst, mem.granted[at]) })
	return dst
}

// eachHeld goes through what the member holds and is asked back, in the order in which their epochs are written.
func (mem *consumer) eachHeld(fn func(image.TopicPartition)) {
	for _, p := range []partitions{mem.held, mem.revoking} {
		p.each(func(t image.TopicID, n int32) { fn(image.TopicPartition{Topic: t, Partition: n}) })
	}
}

// decode fills an empty group. A member of which something can't be read is not in it: it is told so, and joins anew.
func (g *consumerGroup) decode(s image.GroupState) {
	if value, ok := s.Get([]byte(epochsKey)); ok {
		g.at, _ = readEpochs(value)
	}
	s.Walk([]byte(memberEntry), func(e image.GroupEntry) bool {
		mem := newConsumer(string(e.Key[1:]), "")
		current, _ := s.Get([]byte(currentEntry + mem.id))
		target, _ := s.Get([]byte(targetEntry + mem.id))
		if mem.decodeMember(e.Value) && mem.decodeCurrent(current) && mem.decodeTarget(target) {
			g.enlist(mem)
		}
		return true
	})
}

// version reads what stands first in every value.
func (r *reader) version() {
	if b := r.take(1); r.failed || b[0] != entryVersion {
		r.fail()
	}
}

func (mem *consumer) decodeMember(value []byte) bool {
	r := &reader{rest: value}
	r.version()
	for _, s := range []*string{&mem.instance, &mem.rack, &mem.client.ID, &mem.client.Host, &mem.assignor, &mem.pattern} {
		*s = r.text()
	}
	mem.rebalance = readMillis(r)
	mem.topics = r.texts()
	if b := r.take(1); !r.failed && b[0] == 1 {
		mem.classic = &classicSide{session: readMillis(r)}
		mem.classic.protocols = readList(r, func(r *reader) protocol { return protocol{r.text(), r.bytes()} })
		if len(mem.classic.protocols) == 0 {
			return false // it has at least one
		}
	}
	slices.Sort(mem.topics)
	return r.done()
}

// readMillis reads a duration that fits what requests can say.
func readMillis(r *reader) time.Duration { return millis(readNumber[int32](r)) }

func (mem *consumer) decodeCurrent(value []byte) bool {
	r := &reader{rest: value}
	r.version()
	mem.epoch, mem.previous = readNumber[int32](r), readNumber[int32](r)
	mem.state = readNumber[reconciliation](r)
	mem.held, mem.revoking = r.partitions(), r.partitions()
	told := len(r.rest) > 0 // an older version did not say
	mem.eachHeld(func(at image.TopicPartition) {
		mem.granted[at] = mem.epoch
		if told {
			mem.granted[at] = readNumber[int32](r)
		}
	})
	return r.done() && mem.state >= reconciled && mem.state <= unreleased
}

func (mem *consumer) decodeTarget(value []byte) bool {
	r := &reader{rest: value}
	r.version()
	mem.target = r.partitions()
	return r.done()
}
