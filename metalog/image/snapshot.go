package image

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
)

// A snapshot is an image in bytes; FORMAT.md draws it. The same image gives the same bytes.

const (
	snapshotMagic   = "CHRIMAGE"
	snapshotVersion = 1

	// maxItem bounds what a damaged length can make Read allocate. Every item is, or is smaller than, a record that
	// has been through the log, whose entries hold 1 MiB, or one resource's configs, which the controller bounds.
	maxItem = 4 << 20

	// offsetsPerItem and metadataPerItem keep an item with a group's offsets far below maxItem: metadata may be long.
	offsetsPerItem  = 64
	metadataPerItem = 64 << 10 // bytes, before the last offset
	statePerItem    = 64 << 10 // bytes, before the last entry
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// item numbers a piece of a snapshot, like Kind a record, and like it never reused.
type item uint64

const (
	itemEnd item = iota
	itemState
	itemBroker
	itemTopic
	itemPartition
	itemConfigs
	itemFeature
	itemGroup
	itemOffsets
	itemBroker2
	itemBroker3
	itemTurns
	itemLastKnownELR
	itemGroupState
	itemShare
)

// Encode writes the image as a snapshot.
func (m *Image) Encode(to io.Writer) error {
	w := &itemWriter{to: bufio.NewWriterSize(to, 64<<10)}
	w.raw([]byte(snapshotMagic))
	w.raw(binary.BigEndian.AppendUint32(nil, snapshotVersion))
	w.item(itemState, func(b []byte) []byte {
		b = binary.AppendUvarint(appendUUID(b, m.clusterID), uint64(m.index))
		return appendInt(binary.AppendUvarint(b, m.nextStream), m.nextProducerID)
	})
	m.encodeCluster(w)
	m.encodeTopics(w)
	m.encodeGroups(w)
	m.encodeShares(w)
	w.item(itemEnd, func(b []byte) []byte { return binary.AppendUvarint(b, w.count) })
	w.write(binary.BigEndian.AppendUint32(nil, w.crc))
	if w.err != nil {
		return w.err
	}
	return w.to.Flush()
}

func (m *Image) encodeCluster(w *itemWriter) {
	for _, b := range m.Brokers() {
		w.item(itemBroker3, func(dst []byte) []byte {
			r := BrokerRecord{
				ID: b.ID, Incarnation: b.Incarnation, Rack: b.Rack,
				Endpoints: b.Endpoints, Features: b.Features, Fenced: b.Fenced, Run: b.Run,
			}
			return writeBroker(appendBool(appendInt(dst, b.Epoch), b.ShuttingDown), r)
		})
	}
	if m.turns != nil {
		w.item(itemTurns, func(b []byte) []byte { return appendList(b, m.turns, appendTurn) })
	}
	m.features.Root().Walk(func(name []byte, level int16) bool {
		w.item(itemFeature, func(b []byte) []byte { return appendInt(appendString(b, name), level) })
		return w.err != nil
	})
}

func (m *Image) encodeTopics(w *itemWriter) {
	for t := range m.Topics {
		w.item(itemTopic, func(b []byte) []byte {
			return writeTopic(b, TopicRecord{ID: t.ID, Name: t.Name, Internal: t.Internal})
		})
		for _, p := range t.Partitions {
			w.item(itemPartition, func(b []byte) []byte { return appendPartition(b, *p) })
			if len(p.LastKnownELR) > 0 {
				w.item(itemLastKnownELR, func(b []byte) []byte { return appendList(b, p.LastKnownELR, appendInt[BrokerID]) })
			}
		}
	}
	m.configs.Root().Walk(func(key []byte, set map[string]string) bool {
		w.item(itemConfigs, func(b []byte) []byte {
			return appendList(appendResource(b, resourceOf(key)), slices.Sorted(maps.Keys(set)), func(b []byte, name string) []byte {
				return appendString(appendString(b, name), set[name])
			})
		})
		return w.err != nil
	})
}

func (m *Image) encodeGroups(w *itemWriter) {
	m.groups.Root().Walk(func(_ []byte, g *Group) bool {
		if g.Kind == ClassicGroup {
			w.item(itemGroup, func(b []byte) []byte { return appendGroup(b, *g) })
		} else {
			encodeState(w, g)
		}
		return w.err != nil
	})
	m.offsets.Root().Walk(func(group []byte, c *committed) bool {
		chunk, metadata := make([]PartitionOffset, 0, offsetsPerItem), 0
		flush := func() {
			r := OffsetsRecord{Group: string(group), Offsets: chunk}
			w.item(itemOffsets, func(b []byte) []byte { return writeOffsets1(b, r) })
			chunk, metadata = chunk[:0], 0
		}
		c.walk(func(t TopicID, partition int32, o Offset) bool {
			chunk = append(chunk, PartitionOffset{TopicPartition{t, partition}, o})
			metadata += len(o.Metadata)
			if len(chunk) == offsetsPerItem || metadata >= metadataPerItem {
				flush()
			}
			return true
		})
		if len(chunk) > 0 {
			flush()
		}
		return w.err != nil
	})
}

// encodeState writes a group's entries in items of a bounded size, and one at least: a group may have none.
func encodeState(w *itemWriter, g *Group) {
	r, size := GroupStateRecord{Group: g.ID, GroupKind: g.Kind}, 0
	flush := func() {
		w.item(itemGroupState, func(b []byte) []byte { return writeGroupEntries(b, r) })
		r.Entries, size = r.Entries[:0], 0
	}
	g.State.Walk(nil, func(e GroupEntry) bool {
		r.Entries = append(r.Entries, e)
		if size += len(e.Key) + len(e.Value); size >= statePerItem {
			flush()
		}
		return true
	})
	if len(r.Entries) > 0 || g.State.Len() == 0 {
		flush()
	}
}

func (m *Image) encodeShares(w *itemWriter) {
	m.shares.Root().Walk(func(key []byte, s *ShareState) bool {
		w.item(itemShare, func(b []byte) []byte {
			group, p := shareOf(key)
			return appendString(appendInt(appendTopicPartition(appendString(b, group), p), s.StateEpoch), s.Value)
		})
		return w.err != nil
	})
}

// itemWriter frames items and sums up their bytes; after the first error it does nothing.
type itemWriter struct {
	to    *bufio.Writer
	body  []byte
	count uint64
	crc   uint32
	err   error
}

func (w *itemWriter) item(kind item, body func([]byte) []byte) {
	if w.err != nil {
		return
	}
	w.body = body(w.body[:0])
	if len(w.body) > maxItem {
		w.err = fmt.Errorf("snapshot item %d of %d bytes", kind, len(w.body))
		return
	}
	head := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(kind)), uint64(len(w.body)))
	w.raw(head)
	w.raw(w.body)
	w.count++
}

func (w *itemWriter) raw(b []byte) {
	w.crc = crc32.Update(w.crc, castagnoli, b)
	w.write(b)
}

func (w *itemWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.to.Write(b)
	}
}
