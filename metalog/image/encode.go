package image

import (
	"encoding/binary"
	"fmt"
)

// Append appends the encoding of r: kind, version and length as uvarints, then the fields. The error is of a record
// that is not in the table of kinds.
func Append(dst []byte, r Record) ([]byte, error) {
	kind, ok := kindOf(r.Kind())
	if !ok || !kind.is(r) {
		return nil, fmt.Errorf("record %T of kind %d: %w", r, r.Kind(), ErrUnknown)
	}
	dst = binary.AppendUvarint(dst, uint64(r.Kind()))
	dst = binary.AppendUvarint(dst, kind.version())
	body := kind.write(nil, r)
	return appendString(dst, body), nil
}

// Decode takes the first record off b. The error wraps ErrUnknown for a kind or a version that this program does not
// know, ErrCorrupt for anything else; either way nothing after it can be relied on. The record does not alias b.
func Decode(b []byte) (r Record, rest []byte, err error) {
	f := &fields{rest: b}
	number, version := f.uint(), f.uint()
	body := f.take(f.uint())
	if f.err != nil {
		return nil, nil, fmt.Errorf("record: %w", f.err)
	}
	kind, ok := kindOf(Kind(number))
	if !ok || number > maxKind {
		return nil, nil, fmt.Errorf("record of kind %d: %w", number, ErrUnknown)
	}
	if version == 0 || version > kind.version() {
		return nil, nil, fmt.Errorf("%s record of version %d: %w", kind.name, version, ErrUnknown)
	}
	in := &fields{rest: body}
	r = kind.read[version-1](in)
	if err := in.end(); err != nil {
		return nil, nil, fmt.Errorf("%s record: %w", kind.name, err)
	}
	return r, f.rest, nil
}

// DecodeAll is Decode until b is used up.
func DecodeAll(b []byte) ([]Record, error) {
	var recs []Record
	for len(b) > 0 {
		r, rest, err := Decode(b)
		if err != nil {
			return nil, fmt.Errorf("%d records on: %w", len(recs), err)
		}
		recs, b = append(recs, r), rest
	}
	return recs, nil
}

// The parts that records and snapshots share.

func appendPartition(dst []byte, p Partition) []byte {
	dst = appendInt(dst, p.Number)
	dst = binary.AppendUvarint(dst, p.Stream)
	for _, brokers := range [][]BrokerID{p.Replicas, p.ISR, p.ELR, p.Adding, p.Removing} {
		dst = appendList(dst, brokers, appendInt[BrokerID])
	}
	dst = appendInt(dst, p.Leader)
	dst = appendInt(dst, p.LeaderEpoch)
	return appendInt(dst, p.Epoch)
}

func readPartition(f *fields) (p Partition) {
	p.Number, p.Stream = number[int32](f), f.uint()
	for _, brokers := range []*[]BrokerID{&p.Replicas, &p.ISR, &p.ELR, &p.Adding, &p.Removing} {
		*brokers = list(f, number[BrokerID])
	}
	p.Leader, p.LeaderEpoch, p.Epoch = number[BrokerID](f), number[int32](f), number[int32](f)
	return p
}

func appendEndpoint(dst []byte, e Endpoint) []byte {
	return appendInt(appendString(appendString(dst, e.Name), e.Host), e.Port)
}

func readEndpoint(f *fields) Endpoint {
	return Endpoint{Name: f.string(), Host: f.string(), Port: number[int32](f)}
}

func appendFeatureRange(dst []byte, r FeatureRange) []byte {
	return appendInt(appendInt(appendString(dst, r.Name), r.Min), r.Max)
}

func readFeatureRange(f *fields) FeatureRange {
	return FeatureRange{Name: f.string(), Min: number[int16](f), Max: number[int16](f)}
}

func appendResource(dst []byte, r Resource) []byte {
	return appendString(appendInt(dst, r.Type), r.Name)
}

func readResource(f *fields) Resource {
	return Resource{Type: number[ResourceType](f), Name: f.string()}
}

func appendGroup(dst []byte, g Group) []byte {
	dst = appendString(dst, g.ID)
	dst = appendString(dst, g.ProtocolType)
	dst = appendInt(dst, g.Generation)
	dst = appendString(dst, g.Protocol)
	dst = appendString(dst, g.Leader)
	dst = appendInt(dst, g.StateSince)
	return appendList(dst, g.Members, appendMember)
}

func readGroup(f *fields) Group {
	return Group{
		ID: f.string(), ProtocolType: f.string(), Generation: number[int32](f), Protocol: f.string(),
		Leader: f.string(), StateSince: number[int64](f), Members: list(f, readMember),
	}
}

func appendMember(dst []byte, m Member) []byte {
	for _, s := range []string{m.ID, m.InstanceID, m.ClientID, m.ClientHost} {
		dst = appendString(dst, s)
	}
	dst = appendInt(appendInt(dst, m.RebalanceTimeoutMs), m.SessionTimeoutMs)
	return appendString(appendString(dst, m.Subscription), m.Assignment)
}

func readMember(f *fields) Member {
	return Member{
		ID: f.string(), InstanceID: f.string(), ClientID: f.string(), ClientHost: f.string(),
		RebalanceTimeoutMs: number[int32](f), SessionTimeoutMs: number[int32](f),
		Subscription: f.bytes(), Assignment: f.bytes(),
	}
}

func appendTopicPartition(dst []byte, p TopicPartition) []byte {
	return appendInt(appendUUID(dst, p.Topic), p.Partition)
}

func readTopicPartition(f *fields) TopicPartition {
	return TopicPartition{Topic: f.uuid(), Partition: number[int32](f)}
}

func appendPartitionOffset(dst []byte, o PartitionOffset) []byte {
	dst = appendTopicPartition(dst, o.TopicPartition)
	dst = appendInt(dst, o.Offset.Offset)
	dst = appendInt(dst, o.LeaderEpoch)
	return appendInt(appendString(dst, o.Metadata), o.CommittedAt)
}

func readPartitionOffset(f *fields) PartitionOffset {
	return PartitionOffset{readTopicPartition(f), Offset{
		Offset: number[int64](f), LeaderEpoch: number[int32](f), Metadata: f.string(), CommittedAt: number[int64](f),
	}}
}
