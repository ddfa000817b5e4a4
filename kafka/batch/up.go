package batch

import (
	"chronik/kafka/kerr"
)

// ConvertUp returns a message set of format 0 or 1, as a producer sent it, as one batch of version 2 in memory of its
// own: the messages in their order, with their timestamps (none in format 0), compressed as they were. What the messages
// say of offsets is not looked at. maxMessageBytes is max.message.bytes, of each message as it arrives, 0 for no bound.
// The errors are CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE and UNSUPPORTED_COMPRESSION_TYPE. Check is still to
// be called with the result.
func ConvertUp(records []byte, maxMessageBytes int) (Batch, error) {
	if len(records) == 0 {
		return nil, errNoBatch
	}
	up := upgrade{magic: MagicOf(records), maxBytes: maxMessageBytes, left: DecompressLimit(maxMessageBytes)}
	if up.left == 0 {
		up.left = MaxDecompressed
	}
	for len(records) > 0 {
		m, rest, err := nextMessage(records)
		if err != nil {
			return nil, err
		}
		if err := up.outer(&m); err != nil {
			return nil, err
		}
		records = rest
	}
	return up.to.Build(nil)
}

type upgrade struct {
	to       Builder
	magic    int8
	maxBytes int
	left     int // bytes that may still be decompressed
}

func (up *upgrade) outer(m *message) error {
	switch {
	case m.magic != up.magic:
		return errMixedMagic
	case up.maxBytes > 0 && m.size > up.maxBytes:
		return kerr.Detail(kerr.MessageTooLarge, "the message has %d bytes, max.message.bytes is %d", m.size, up.maxBytes)
	case m.codec == Uncompressed:
		up.add(m)
		return nil
	case m.codec == Zstd:
		return errOldZstd
	case !m.codec.Known():
		return errCodec
	case m.value == nil:
		return errWrapper
	}
	return up.wrapped(m)
}

func (up *upgrade) add(m *message) {
	up.to.Add(&Record{Timestamp: m.timestamp, Key: m.key, Value: m.value})
}

func (up *upgrade) wrapped(outer *message) error {
	up.to.Compression.Codec = outer.codec
	value := outer.value
	if outer.codec == LZ4 {
		value = mendLZ4(value)
	}
	memory := scratch.Get().(*[]byte)
	inner, err := decompress(*memory, value, outer.codec, up.left)
	if err != nil {
		scratch.Put(memory)
		return err
	}
	defer putScratch(memory, inner)
	if up.left -= len(inner); up.left <= 0 {
		return errBomb
	}
	if len(inner) == 0 {
		return errWrapper
	}
	return up.inner(outer, inner)
}

func (up *upgrade) inner(outer *message, set []byte) error {
	for len(set) > 0 {
		m, rest, err := nextMessage(set)
		switch {
		case err != nil:
			return err
		case m.codec != Uncompressed:
			return errNested
		case m.magic != outer.magic:
			return errMixedMagic
		}
		if outer.appendTime {
			m.timestamp = outer.timestamp
		}
		up.add(&m)
		set = rest
	}
	return nil
}
