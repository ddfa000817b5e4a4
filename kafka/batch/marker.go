package batch

import (
	"encoding/binary"

	"chronik/kafka/kerr"
)

// Marker is the end of a transaction in a partition, as its control batch says it (KIP-98, EndTransactionMarker).
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16
	Commit           bool
	CoordinatorEpoch int32
}

const (
	markerAbort  = 0
	markerCommit = 1
)

var errMarker = kerr.Detail(kerr.InvalidRecord, "the control batch has no transaction marker")

// AppendMarker appends the control batch of m to dst and returns it; offset and leader epoch are for Assign. ts is in
// milliseconds since 1970.
func AppendMarker(dst []byte, m Marker, ts int64) Batch {
	kind := uint16(markerAbort)
	if m.Commit {
		kind = markerCommit
	}
	key := binary.BigEndian.AppendUint16(make([]byte, 2, 4), kind)
	value := binary.BigEndian.AppendUint32(make([]byte, 2, 6), uint32(m.CoordinatorEpoch))
	w := Builder{
		Producer:      &Producer{m.ProducerID, m.ProducerEpoch, NoSequence},
		Transactional: true,
		Control:       true,
	}
	w.Add(&Record{Timestamp: ts, Key: key, Value: value})
	b, _ := w.Build(dst) // an uncompressed batch cannot fail
	return b
}

// Marker returns what the control batch b says. It is INVALID_RECORD when b is not a control batch or holds another
// kind of control record (Kafka's Raft has some; a partition never does).
func (b Batch) Marker() (Marker, error) {
	if !b.IsControl() || b.Codec() != Uncompressed {
		return Marker{}, errMarker
	}
	it, err := b.Records(0)
	if err != nil {
		return Marker{}, err
	}
	defer it.Close()
	if !it.Next() || len(it.Record.Key) < 4 || len(it.Record.Value) < 6 {
		return Marker{}, errMarker
	}
	kind := binary.BigEndian.Uint16(it.Record.Key[2:])
	if kind > markerCommit {
		return Marker{}, errMarker
	}
	return Marker{
		ProducerID:       b.ProducerID(),
		ProducerEpoch:    b.ProducerEpoch(),
		Commit:           kind == markerCommit,
		CoordinatorEpoch: int32(binary.BigEndian.Uint32(it.Record.Value[2:])),
	}, nil
}
