package batch

import (
	"errors"
	"math"

	"chronik/kafka/kerr"
	"chronik/wal/arena"
)

// CheckOptions is what a topic and a produce request ask of a batch.
type CheckOptions struct {
	Version       int16      // of the produce request; zstd comes with 7
	MaxBytes      int        // max.message.bytes, of the batch as it arrives; 0 for no bound
	LogAppendTime bool       // message.timestamp.type: the broker will set the time, so the producer's is not looked at
	Now           int64      // milliseconds since 1970
	BeforeMax     int64      // message.timestamp.before.max.ms; math.MaxInt64 for no bound
	AfterMax      int64      // message.timestamp.after.max.ms; math.MaxInt64 for no bound
	NeedKey       bool       // the topic is compacted: every record must have a key
	Buf           *arena.Buf // that the records lie in, as they arrived, or nil: it may know their checksum
}

var (
	errNoBatch     = kerr.Detail(kerr.InvalidRecord, "a produce request must have a record batch for each partition")
	errMoreBatches = kerr.Detail(kerr.InvalidRecord, "a produce request may have only one record batch for each partition")
	errOldMagic    = kerr.Detail(kerr.InvalidRecord, "only record batches of magic version 2 are allowed here")
	errZstd        = kerr.Detail(kerr.UnsupportedCompressionType, "zstd may be produced only from version 7 of the request on")
	errControl     = kerr.Detail(kerr.InvalidRecord, "clients may not write control records")
	errNoProducer  = kerr.Detail(kerr.InvalidRecord, "a transactional batch must have a producer id")
	errSequence    = kerr.Detail(kerr.InvalidRecord, "a batch with a producer id must have a sequence number")
	errEpoch       = kerr.Detail(kerr.InvalidProducerEpoch, "a batch with a producer id must have a producer epoch")
	errAppendTime  = kerr.Detail(kerr.InvalidTimestamp, "a producer may not set the timestamp type to LogAppendTime")
	errDeltas      = kerr.Detail(kerr.InvalidRecord, "the offsets of the records in the batch are not consecutive")
	errKey         = kerr.Detail(kerr.InvalidRecord, "a compacted topic cannot take a record without a key")
)

// Check returns the one batch that records is, valid for appending by a client, or the error for the client. It holds
// to the rules of Kafka's ProduceRequest.validateRecords and LogValidator with two differences: the base offset that the
// client wrote is ignored, and records are looked at (which may mean decompressing) only when the topic asks for keys
// or bounds timestamps from below, or when the header's timestamps contradict each other. The batch aliases records;
// only its timestamp type, its greatest timestamp and then its CRC may have been corrected in it.
func Check(records []byte, o CheckOptions) (Batch, error) {
	b, err := only(records)
	if err != nil {
		return nil, err
	}
	if o.MaxBytes > 0 && len(b) > o.MaxBytes {
		return nil, kerr.Detail(kerr.MessageTooLarge, "the record batch has %d bytes, max.message.bytes is %d", len(b), o.MaxBytes)
	}
	if b.CRC() != b.sumIn(o.Buf) {
		return nil, errCRC
	}
	if err := b.checkHeader(o.Version); err != nil {
		return nil, err
	}
	return b, b.checkTopic(&o)
}

// sumIn is the CRC-32C that the batch should have.
func (b Batch) sumIn(buf *arena.Buf) uint32 {
	if buf != nil {
		if off, ok := buf.Offset(b); ok {
			return buf.Sum(off+posAttributes, off+len(b))
		}
	}
	return b.computeCRC()
}

func only(records []byte) (Batch, error) {
	if len(records) == 0 {
		return nil, errNoBatch
	}
	if m := MagicOf(records); m == 0 || m == 1 {
		return nil, errOldMagic
	}
	b, rest, err := Next(records)
	if errors.Is(err, ErrTruncated) {
		return nil, errNoBatch // as Kafka sees it; CORRUPT_MESSAGE would make clients send the same again
	}
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errMoreBatches
	}
	return b, nil
}

func (b Batch) checkHeader(version int16) error {
	if n := b.Count(); n <= 0 || int64(n) != int64(b.LastOffsetDelta())+1 {
		return kerr.Detail(kerr.InvalidRecord, "the batch declares %d records and a last offset delta of %d", n, b.LastOffsetDelta())
	}
	switch {
	case !b.Codec().Known():
		return errCodec
	case b.Codec() == Zstd && version < 7:
		return errZstd
	case b.IsControl():
		return errControl
	case b.Codec() == Uncompressed && int64(b.Count())*minRecord > int64(len(b.Payload())):
		return errMinRecords
	}
	return b.checkProducer()
}

func (b Batch) checkProducer() error {
	switch {
	case b.ProducerID() < 0 && b.IsTransactional():
		return errNoProducer
	case b.ProducerID() < 0:
		return nil
	case b.BaseSequence() < 0:
		return errSequence
	case b.ProducerEpoch() < 0:
		return errEpoch
	}
	return nil
}

// checkTopic looks at keys and timestamps. A batch that says LogAppendTime for a topic that does not is made CreateTime,
// as Kafka does it: then the records' own timestamps count.
func (b Batch) checkTopic(o *CheckOptions) error {
	if b.IsLogAppendTime() {
		if o.LogAppendTime || b.MaxTimestamp() == NoTimestamp {
			return errAppendTime
		}
		b.setCreateTime(b.MaxTimestamp())
		return b.checkRecords(o, true)
	}
	if o.NeedKey || !o.LogAppendTime && (o.BeforeMax != math.MaxInt64 || b.MaxTimestamp() < b.BaseTimestamp()) {
		return b.checkRecords(o, b.MaxTimestamp() < b.BaseTimestamp())
	}
	return o.checkTime(b.MaxTimestamp())
}

// checkRecords visits every record. With fix it corrects the greatest timestamp.
func (b Batch) checkRecords(o *CheckOptions, fix bool) error {
	it, err := b.Records(DecompressLimit(o.MaxBytes))
	if err != nil {
		return err
	}
	defer it.Close()
	it.DropHeaders = true
	greatest := NoTimestamp
	for at := b.BaseOffset(); it.Next(); at++ {
		if it.Record.Offset != at {
			return errDeltas
		}
		if o.NeedKey && it.Record.Key == nil {
			return errKey
		}
		if err := o.checkTime(it.Record.Timestamp); err != nil {
			return err
		}
		greatest = max(greatest, it.Record.Timestamp)
	}
	if it.Err() == nil && fix {
		b.setCreateTime(greatest)
	}
	return it.Err()
}

func (o *CheckOptions) checkTime(ts int64) error {
	if o.LogAppendTime || ts == NoTimestamp {
		return nil
	}
	// Differences of times that a client made up can wrap around: compare without them.
	if o.AfterMax < math.MaxInt64-o.Now && ts > o.Now+o.AfterMax || o.BeforeMax < math.MaxInt64 && ts < o.Now-o.BeforeMax {
		return kerr.Detail(kerr.InvalidTimestamp, "timestamp %d is not within %d ms before and %d ms after %d", ts, o.BeforeMax, o.AfterMax, o.Now)
	}
	return nil
}
