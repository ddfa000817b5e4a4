package image

import (
	"bytes"
	"cmp"
	"slices"
)

// committed is the committed offsets of one group, immutable: blocks by topic id and number, each of which has the offsets
// of some neighbouring partitions. A commit copies the list, of eight bytes a block, and the blocks that it changes; a tree,
// which would copy less where a group has thousands of blocks, costs those that have few of them several times as much.
type committed struct {
	blocks []*block
	count  int
}

// block is the offsets of the partitions of a topic whose numbers divided by partitionsPerBlock are number, sorted.
type block struct {
	topic   TopicID
	number  int32
	offsets []placed
}

// placed is an offset with the number of its partition.
type placed struct {
	partition int32
	Offset
}

// partitionsPerBlock bounds what one commit copies.
const partitionsPerBlock = 16

var nothingCommitted = &committed{}

// find is the place of a partition's block, or where it would be.
func (c *committed) find(t TopicID, partition int32) (int, bool) {
	number := partition / partitionsPerBlock
	return slices.BinarySearchFunc(c.blocks, number, func(b *block, n int32) int {
		return cmp.Or(bytes.Compare(b.topic[:], t[:]), cmp.Compare(b.number, n))
	})
}

func (b *block) find(partition int32) (int, bool) {
	return slices.BinarySearchFunc(b.offsets, partition, func(o placed, n int32) int { return cmp.Compare(o.partition, n) })
}

func (c *committed) get(t TopicID, partition int32) (Offset, bool) {
	if at, ok := c.find(t, partition); ok {
		if i, ok := c.blocks[at].find(partition); ok {
			return c.blocks[at].offsets[i].Offset, true
		}
	}
	return Offset{}, false
}

// walk goes through the offsets, sorted.
func (c *committed) walk(fn func(TopicID, int32, Offset) bool) {
	for _, b := range c.blocks {
		for _, o := range b.offsets {
			if !fn(b.topic, o.partition, o.Offset) {
				return
			}
		}
	}
}

// of is where a topic's blocks are.
func (c *committed) of(t TopicID) (from, to int) {
	from, _ = c.find(t, 0)
	for to = from; to < len(c.blocks) && c.blocks[to].topic == t; {
		to++
	}
	return from, to
}

func (c *committed) has(t TopicID) bool {
	from, to := c.of(t)
	return from < to
}

// with is c and offsets, without those for which known says no.
func (c *committed) with(offsets []PartitionOffset, known func(TopicID) bool) *committed {
	next := &committed{slices.Clone(c.blocks), c.count}
	var own *block // copied here: the partitions of a commit are neighbours mostly
	for _, o := range offsets {
		if !known(o.Topic) {
			continue
		}
		at, had := next.find(o.Topic, o.Partition)
		switch {
		case !had:
			own = &block{topic: o.Topic, number: o.Partition / partitionsPerBlock}
			next.blocks = slices.Insert(next.blocks, at, own)
		case next.blocks[at] != own:
			own = next.blocks[at].clone()
			next.blocks[at] = own
		}
		if own.put(o.Partition, o.Offset) {
			next.count++
		}
	}
	return next
}

func (b *block) clone() *block { return &block{b.topic, b.number, slices.Clone(b.offsets)} }

// put says whether there was none for the partition.
func (b *block) put(partition int32, o Offset) bool {
	i, had := b.find(partition)
	if had {
		b.offsets[i].Offset = o
	} else {
		b.offsets = slices.Insert(b.offsets, i, placed{partition, o})
	}
	return !had
}

// without is c without the offsets of those partitions.
func (c *committed) without(partitions []TopicPartition) *committed {
	next := &committed{slices.Clone(c.blocks), c.count}
	for _, p := range partitions {
		at, ok := next.find(p.Topic, p.Partition)
		if !ok {
			continue
		}
		i, had := next.blocks[at].find(p.Partition)
		if !had {
			continue
		}
		next.count--
		if len(next.blocks[at].offsets) == 1 {
			next.blocks = slices.Delete(next.blocks, at, at+1)
			continue
		}
		b := next.blocks[at].clone()
		b.offsets = slices.Delete(b.offsets, i, i+1)
		next.blocks[at] = b
	}
	return next
}

// withoutTopic is c without the offsets of that topic.
func (c *committed) withoutTopic(t TopicID) *committed {
	from, to := c.of(t)
	next := &committed{slices.Concat(c.blocks[:from], c.blocks[to:]), c.count}
	for _, b := range c.blocks[from:to] {
		next.count -= len(b.offsets)
	}
	return next
}
