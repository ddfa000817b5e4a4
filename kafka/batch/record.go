package batch

import (
	"chronik/kafka/kerr"
)

// Record is one record of a batch. Its slices alias the batch or the iterator's memory.
type Record struct {
	Offset    int64
	Timestamp int64  // milliseconds since 1970, or NoTimestamp; the batch's when it is of log append time
	Key       []byte // nil for null
	Value     []byte // nil for null: a tombstone
	Headers   []Header
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte // nil for null
}

// Records iterates over the records of a batch:
//
//	it, err := b.Records(limit)
//	...
//	defer it.Close()
//	for it.Next() { use(&it.Record) }
//	return it.Err()
//
// Record and all that it points to are valid until the next call of Next or Close.
type Records struct {
	Record Record

	// DropHeaders, set before the first Next, leaves Record.Headers empty and saves their memory.
	DropHeaders bool

	batch   Batch
	left    cursor
	n       int32 // records returned
	err     error
	payload []byte
	memory  *[]byte // pooled, behind payload; nil when that aliases the batch
	headers []Header
}

var (
	errRecord     = kerr.Detail(kerr.InvalidRecord, "a record of the batch is malformed")
	errCount      = kerr.Detail(kerr.InvalidRecord, "the batch has another number of records than it declares")
	errMinRecords = kerr.Detail(kerr.InvalidRecord, "the batch declares more records than its bytes can hold")
)

// minRecord is the size of the smallest record: a length byte and six fields of one byte each.
const minRecord = 7

// Records starts an iteration, decompressing into at most limit bytes (0 for MaxDecompressed). The errors are
// INVALID_RECORD, UNSUPPORTED_COMPRESSION_TYPE, and MESSAGE_TOO_LARGE beyond the limit.
func (b Batch) Records(limit int) (Records, error) {
	it := Records{batch: b, payload: b.Payload()}
	if c := b.Codec(); c != Uncompressed {
		memory := scratch.Get().(*[]byte)
		out, err := decompress(*memory, it.payload, c, limit)
		if err != nil {
			scratch.Put(memory)
			return Records{}, err
		}
		it.payload, it.memory = out, memory
	}
	it.left = cursor{it.payload, true}
	if int64(b.Count())*minRecord > int64(len(it.payload)) {
		it.Close()
		return Records{}, errMinRecords
	}
	return it, nil
}

// Next moves on to the next record and says whether there is one.
func (it *Records) Next() bool {
	if it.err != nil {
		return false
	}
	if it.n >= it.batch.Count() {
		if len(it.left.b) != 0 {
			it.err = errCount
		}
		return false
	}
	if !it.read() {
		it.err = errRecord
		return false
	}
	it.n++
	return true
}

// Err is why Next returned false, nil at the regular end.
func (it *Records) Err() error { return it.err }

// Close gives the memory back. It may be called more than once.
func (it *Records) Close() {
	if it.memory != nil {
		putScratch(it.memory, it.payload)
		it.memory = nil
	}
	it.payload, it.left.b, it.Record = nil, nil, Record{}
}

func (it *Records) read() bool {
	body := it.left.bytes()
	if body == nil || !it.left.ok {
		return false
	}
	c := cursor{body, true}
	r := &it.Record
	c.byte() // attributes: none are in use
	r.Timestamp = it.batch.BaseTimestamp() + c.varlong()
	if it.batch.IsLogAppendTime() {
		r.Timestamp = it.batch.MaxTimestamp()
	}
	r.Offset = it.batch.BaseOffset() + int64(c.varint())
	r.Key = c.bytes()
	r.Value = c.bytes()
	it.readHeaders(&c)
	return c.ok && len(c.b) == 0
}

func (it *Records) readHeaders(c *cursor) {
	n := c.varint()
	if n < 0 || int(n) > len(c.b)/2 { // a header has at least two bytes
		c.fail()
		return
	}
	it.headers = it.headers[:0]
	for ; n > 0 && c.ok; n-- {
		key := c.bytes()
		value := c.bytes()
		if key == nil {
			c.fail()
			return
		}
		if !it.DropHeaders {
			it.headers = append(it.headers, Header{string(key), value})
		}
	}
	it.Record.Headers = it.headers
}
