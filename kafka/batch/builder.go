package batch

import "encoding/binary"

// Producer is the identity under which an idempotent producer writes.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32 // of the batch's first record
}

// Builder writes one batch of version 2. Set the exported fields, Add records, Build. The zero Builder makes plain, uncompressed
// batches at offset 0.
type Builder struct {
	BaseOffset    int64
	LeaderEpoch   int32
	Compression   Compression
	Producer      *Producer // nil: not idempotent
	Transactional bool
	Control       bool
	AppendTime    *int64 // not nil: the batch is of log append time, at this time

	records []byte
	count   int32
	next    int64 // offset of the next record, relative to BaseOffset
	baseTS  int64
	maxTS   int64
}

// Add appends r with the offset after the previous record's (r.Offset is not looked at). It copies what r points to.
func (w *Builder) Add(r *Record) { w.addDelta(r, w.next) }

// AddAt appends r with its own offset, which must be above that of the record before and at or above BaseOffset.
func (w *Builder) AddAt(r *Record) { w.addDelta(r, r.Offset-w.BaseOffset) }

func (w *Builder) addDelta(r *Record, delta int64) {
	if w.count == 0 {
		w.baseTS, w.maxTS = r.Timestamp, r.Timestamp
	}
	w.maxTS = max(w.maxTS, r.Timestamp)
	w.records = appendRecord(w.records, r, r.Timestamp-w.baseTS, delta)
	w.count++
	w.next = delta + 1
}

func appendRecord(dst []byte, r *Record, tsDelta, offsetDelta int64) []byte {
	dst = binary.AppendVarint(dst, int64(sizeRecord(r, tsDelta, offsetDelta)))
	dst = append(dst, 0) // attributes
	dst = binary.AppendVarint(dst, tsDelta)
	dst = binary.AppendVarint(dst, offsetDelta)
	dst = appendVarBytes(dst, r.Key)
	dst = appendVarBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendVarBytes(dst, h.Value)
	}
	return dst
}

func sizeRecord(r *Record, tsDelta, offsetDelta int64) int {
	n := 1 + sizeVarint(tsDelta) + sizeVarint(offsetDelta) + sizeVarBytes(r.Key) + sizeVarBytes(r.Value)
	n += sizeVarint(int64(len(r.Headers)))
	for _, h := range r.Headers {
		n += sizeVarint(int64(len(h.Key))) + len(h.Key) + sizeVarBytes(h.Value)
	}
	return n
}

// Build appends the batch to dst and returns it, aliasing the result; the Builder keeps its records. It fails only for an
// unknown codec.
func (w *Builder) Build(dst []byte) (Batch, error) {
	at := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	dst, err := w.Compression.compress(dst, w.records)
	if err != nil {
		return nil, err
	}
	b := Batch(dst[at:])
	b.putInt64(0, w.BaseOffset)
	b.putInt32(posEpoch, w.LeaderEpoch)
	b[posMagic] = 2
	b.putInt16(posAttributes, w.attributes())
	b.putInt32(posLastDelta, int32(w.next-1))
	b.putInt64(posBaseTime, w.baseTS)
	b.putInt64(posMaxTime, w.maxTS)
	if w.AppendTime != nil {
		b.putInt64(posMaxTime, *w.AppendTime)
	}
	w.putProducer(b)
	b.putInt32(posCount, w.count)
	b.seal()
	return b, nil
}

func (w *Builder) putProducer(b Batch) {
	p := Producer{NoProducerID, -1, NoSequence}
	if w.Producer != nil {
		p = *w.Producer
	}
	b.putInt64(posProducerID, p.ID)
	b.putInt16(posProducerEp, p.Epoch)
	b.putInt32(posSequence, p.Sequence)
}

func (w *Builder) attributes() int16 {
	a := int16(w.Compression.Codec)
	if w.AppendTime != nil {
		a |= attrLogAppendTime
	}
	if w.Transactional {
		a |= attrTransactional
	}
	if w.Control {
		a |= attrControl
	}
	return a
}

// seal writes the length and the CRC of a batch that is otherwise complete.
func (b Batch) seal() {
	b.putInt32(posLength, int32(len(b)-lengthOverhead))
	b.putCRC()
}

// Recompress appends b to dst with its records compressed by c instead (compression.type of the topic), and returns
// that batch. All else stays, the CRC apart. It decompresses into at most limit bytes; errors as of Records.
func (b Batch) Recompress(dst []byte, c Compression, limit int) (Batch, error) {
	payload := b.Payload()
	if b.Codec() != Uncompressed {
		memory := scratch.Get().(*[]byte)
		out, err := decompress(*memory, payload, b.Codec(), limit)
		if err != nil {
			scratch.Put(memory)
			return nil, err
		}
		defer putScratch(memory, out)
		payload = out
	}
	at := len(dst)
	dst, err := c.compress(append(dst, b[:HeaderSize]...), payload)
	if err != nil {
		return nil, err
	}
	n := Batch(dst[at:])
	n.putInt16(posAttributes, b.Attributes()&^attrCodec|int16(c.Codec))
	n.seal()
	return n, nil
}
