package image

import (
	"encoding/binary"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// committed is the committed offsets of one group: an immutable tree from topic id and block number to the block's
// offsets, sorted by partition. A leaf of the tree costs several hundred bytes, an offset in a block some sixty: that is
// why partitions share one.
type committed struct {
	blocks *iradix.Tree[[]placed]
	count  int
}

// placed is an offset with the number of its partition.
type placed struct {
	partition int32
	Offset
}

// partitionsPerBlock bounds what one commit copies.
const partitionsPerBlock = 16

var nothingCommitted = &committed{blocks: iradix.New[[]placed]()}

func blockKey(t TopicID, partition int32) []byte {
	key := make([]byte, 0, len(t)+4)
	return binary.BigEndian.AppendUint32(append(key, t[:]...), uint32(partition)/partitionsPerBlock)
}

func find(block []placed, partition int32) (int, bool) {
	return slices.BinarySearchFunc(block, partition, func(o placed, n int32) int { return int(o.partition) - int(n) })
}

func (c *committed) get(t TopicID, partition int32) (Offset, bool) {
	block, _ := c.blocks.Get(blockKey(t, partition))
	if i, ok := find(block, partition); ok {
		return block[i].Offset, true
	}
	return Offset{}, false
}

// walk goes through the offsets whose key begins with prefix: nil for all, a topic's id for that topic's.
func (c *committed) walk(prefix []byte, fn func(TopicID, int32, Offset) bool) {
	c.blocks.Root().WalkPrefix(prefix, func(key []byte, block []placed) bool {
		t := TopicID(key[:16])
		for _, o := range block {
			if !fn(t, o.partition, o.Offset) {
				return true
			}
		}
		return false
	})
}

func (c *committed) has(t TopicID) bool {
	found := false
	c.walk(t[:], func(TopicID, int32, Offset) bool { found = true; return false })
	return found
}

// with is c and offsets, without those for which known says no.
func (c *committed) with(offsets []PartitionOffset, known func(TopicID) bool) *committed {
	txn, count := c.blocks.Txn(), c.count
	for _, o := range offsets {
		if !known(o.Topic) {
			continue
		}
		key := blockKey(o.Topic, o.Partition)
		block, _ := txn.Get(key)
		i, had := find(block, o.Partition)
		block = slices.Clone(block)
		if had {
			block[i].Offset = o.Offset
		} else {
			block = slices.Insert(block, i, placed{o.Partition, o.Offset})
			count++
		}
		txn.Insert(key, block)
	}
	return &committed{txn.Commit(), count}
}

// without is c without the offsets of those partitions.
func (c *committed) without(partitions []TopicPartition) *committed {
	txn, count := c.blocks.Txn(), c.count
	for _, p := range partitions {
		key := blockKey(p.Topic, p.Partition)
		block, _ := txn.Get(key)
		i, had := find(block, p.Partition)
		if !had {
			continue
		}
		count--
		if len(block) == 1 {
			txn.Delete(key)
			continue
		}
		txn.Insert(key, slices.Delete(slices.Clone(block), i, i+1))
	}
	return &committed{txn.Commit(), count}
}

// withoutTopic is c without the offsets of that topic.
func (c *committed) withoutTopic(t TopicID) *committed {
	count := c.count
	c.walk(t[:], func(TopicID, int32, Offset) bool { count--; return true })
	blocks, _ := c.blocks.DeletePrefix(t[:])
	return &committed{blocks, count}
}
