package image

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/google/uuid"
)

// Read is the image of a snapshot that Encode wrote. It returns one only after the last byte and the checksum. Errors
// wrap ErrCorrupt, ErrUnknown for a snapshot of a newer version, or are from.Read's.
func Read(from io.Reader) (*Image, error) {
	r := &itemReader{from: bufio.NewReaderSize(from, 64<<10)}
	if err := r.header(); err != nil {
		return nil, err
	}
	b := builder{change: begin(Empty(), 0)}
	for {
		kind, body, err := r.next()
		if err != nil {
			return nil, fmt.Errorf("snapshot item %d: %w", r.count, err)
		}
		f := &fields{rest: body}
		if kind == itemEnd {
			if n := f.uint(); f.err == nil && n != r.count {
				f.fail("%d items, %d counted", n, r.count)
			}
			if err := f.end(); err != nil {
				return nil, fmt.Errorf("snapshot end: %w", err)
			}
			break
		}
		if err := b.add(kind, f); err != nil {
			return nil, fmt.Errorf("snapshot item %d: %w", r.count, err)
		}
		r.count++
	}
	if err := r.sum(); err != nil {
		return nil, err
	}
	return b.commit(), nil
}

// builder puts items together. What they say was checked when it was applied, so it checks only what would break the
// image: names and ids that come twice, and parts without their whole.
type builder struct {
	*change
	topic *Topic
}

func (b *builder) add(kind item, f *fields) error {
	switch kind {
	case itemState:
		b.next.clusterID, b.next.index = f.uuid(), Index(f.uint())
		b.next.nextStream, b.next.nextProducerID = f.uint(), number[int64](f)
	case itemBroker:
		epoch := number[int64](f)
		b.addBroker(epoch, false, readBroker1(f))
	case itemBroker2:
		epoch, shuttingDown := number[int64](f), f.bool()
		b.addBroker(epoch, shuttingDown, readBroker2(f))
	case itemBroker3:
		epoch, shuttingDown := number[int64](f), f.bool()
		b.addBroker(epoch, shuttingDown, readBroker(f))
	case itemTurns:
		b.next.turns = list(f, readTurn)
	case itemFeature:
		name := f.string()
		b.features.put([]byte(name), number[int16](f))
	case itemTopic:
		b.addTopic(f)
	case itemPartition:
		b.addPartition(f)
	case itemLastKnownELR:
		b.addLastKnownELR(f)
	case itemConfigs:
		b.addConfigs(f)
	case itemGroup:
		g := readGroup(f)
		b.groups.put([]byte(g.ID), &g)
	case itemGroupState:
		b.addGroupState(f)
	case itemShare:
		group, p := f.string(), readTopicPartition(f)
		b.shares.put(shareKey(group, p), &ShareState{number[int32](f), f.bytes()})
	case itemOffsets:
		b.addOffsets(f)
	default:
		return fmt.Errorf("kind %d: %w", kind, ErrUnknown)
	}
	return f.end()
}

func (b *builder) addBroker(epoch int64, shuttingDown bool, r BrokerRecord) {
	b.setBroker(&Broker{
		ID: r.ID, Incarnation: r.Incarnation, Epoch: epoch, Rack: r.Rack, Endpoints: r.Endpoints,
		Features: r.Features, Fenced: r.Fenced, ShuttingDown: shuttingDown, Run: r.Run,
	})
}

func (b *builder) addTopic(f *fields) {
	r := readTopic(f)
	_, id := b.topicIDs.get(r.ID[:])
	_, name := b.topicNames.get([]byte(r.Name))
	if id || name || r.ID == uuid.Nil {
		f.fail("topic %q (%s) twice", r.Name, r.ID)
		return
	}
	b.topic = &Topic{ID: r.ID, Name: r.Name, Internal: r.Internal}
	b.topicIDs.put(r.ID[:], b.topic)
	b.topicNames.put([]byte(r.Name), b.topic)
}

func (b *builder) addPartition(f *fields) {
	p := readPartition(f)
	if b.topic == nil || int(p.Number) != len(b.topic.Partitions) {
		f.fail("partition %d is not the next one", p.Number)
		return
	}
	b.topic.Partitions = append(b.topic.Partitions, &p)
	b.next.partitions++
}

// addLastKnownELR is of the partition before it.
func (b *builder) addLastKnownELR(f *fields) {
	if b.topic == nil || len(b.topic.Partitions) == 0 {
		f.fail("who led last, of no partition")
		return
	}
	b.topic.Partitions[len(b.topic.Partitions)-1].LastKnownELR = list(f, number[BrokerID])
}

func (b *builder) addConfigs(f *fields) {
	r := readResource(f)
	set := make(map[string]string)
	list(f, func(f *fields) bool {
		name := f.string()
		set[name] = f.string()
		return true
	})
	b.configs.put(r.key(), set)
}

// addGroupState goes on with the group where it has more entries than an item.
func (b *builder) addGroupState(f *fields) {
	r := readGroupEntries(f)
	g := &Group{ID: r.Group, Kind: r.GroupKind}
	if was, ok := b.groups.get([]byte(r.Group)); ok && was.Kind == r.GroupKind {
		g.State = was.State
	}
	g.State = g.State.With(r.Entries...)
	b.groups.put([]byte(r.Group), g)
}

func (b *builder) addOffsets(f *fields) {
	r := readOffsets1(f)
	was, ok := b.offsets.get([]byte(r.Group))
	if !ok {
		was = nothingCommitted
	}
	b.offsets.put([]byte(r.Group), was.with(r.Offsets, func(TopicID) bool { return true }))
}

// itemReader takes a snapshot apart, summing up the bytes as they come.
type itemReader struct {
	from  *bufio.Reader
	body  []byte
	count uint64
	crc   uint32
}

func (r *itemReader) header() error {
	head := make([]byte, len(snapshotMagic)+4)
	if err := r.full(head); err != nil {
		return fmt.Errorf("snapshot header: %w", err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("snapshot header: %w", ErrCorrupt)
	}
	if v := binary.BigEndian.Uint32(head[len(snapshotMagic):]); v != snapshotVersion {
		return fmt.Errorf("snapshot of version %d: %w", v, ErrUnknown)
	}
	return nil
}

// next returns an item's body, which is good until the next call.
func (r *itemReader) next() (item, []byte, error) {
	kind, err := r.uvarint()
	if err != nil {
		return 0, nil, err
	}
	n, err := r.uvarint()
	if err != nil {
		return 0, nil, err
	}
	if n > maxItem {
		return 0, nil, fmt.Errorf("%d bytes: %w", n, ErrCorrupt)
	}
	if uint64(cap(r.body)) < n {
		r.body = make([]byte, n)
	}
	r.body = r.body[:n]
	return item(kind), r.body, r.full(r.body)
}

// sum reads the checksum, and that nothing follows it.
func (r *itemReader) sum() error {
	want := r.crc
	var b [4]byte
	if err := r.full(b[:]); err != nil {
		return fmt.Errorf("snapshot checksum: %w", err)
	}
	if binary.BigEndian.Uint32(b[:]) != want {
		return fmt.Errorf("snapshot checksum: %w", ErrCorrupt)
	}
	if _, err := r.from.ReadByte(); err != io.EOF {
		return fmt.Errorf("bytes after the snapshot: %w", ErrCorrupt)
	}
	return nil
}

func (r *itemReader) uvarint() (uint64, error) {
	var b [binary.MaxVarintLen64]byte
	for i := range b {
		if err := r.full(b[i : i+1]); err != nil {
			return 0, err
		}
		if b[i] < 0x80 {
			if v, n := binary.Uvarint(b[:i+1]); n > 0 {
				return v, nil
			}
			break
		}
	}
	return 0, fmt.Errorf("no unsigned integer: %w", ErrCorrupt)
}

func (r *itemReader) full(b []byte) error {
	if _, err := io.ReadFull(r.from, b); err != nil {
		return short(err)
	}
	r.crc = crc32.Update(r.crc, castagnoli, b)
	return nil
}

// short makes an early end a corruption; what a disk says about itself stays as it is.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("cut short: %w", ErrCorrupt)
	}
	return err
}
