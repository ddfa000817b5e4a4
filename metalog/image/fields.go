package image

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// ErrCorrupt is in every error that says: these bytes are not what was written.
var ErrCorrupt = errors.New("corrupt metadata")

// ErrUnknown is in every error that says: a newer version wrote this, do not go on without it.
var ErrUnknown = errors.New("unknown metadata")

// The fields of records and snapshots: integers as varints, signed ones zig-zag; strings and bytes after their length;
// lists after their count; uuids as 16 bytes; booleans as one byte, 0 or 1.

func appendInt[T ~int8 | ~int16 | ~int32 | ~int64](dst []byte, v T) []byte {
	return binary.AppendVarint(dst, int64(v))
}

func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendList[T any](dst []byte, list []T, item func([]byte, T) []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, v := range list {
		dst = item(dst, v)
	}
	return dst
}

func appendUUID(dst []byte, id uuid.UUID) []byte { return append(dst, id[:]...) }

// fields reads fields one after another. After the first error all that it reads is zero, and err says what was wrong.
// What it returns never aliases the bytes that it reads from.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format+": %w", append(args, ErrCorrupt)...)
	}
	f.rest = nil
}

// end checks that everything has been read.
func (f *fields) end() error {
	if f.err == nil && len(f.rest) > 0 {
		f.fail("%d bytes too many", len(f.rest))
	}
	return f.err
}

func (f *fields) uint() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.fail("no unsigned integer")
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

// number reads a signed integer that must fit its type.
func number[T ~int8 | ~int16 | ~int32 | ~int64](f *fields) T {
	v, n := binary.Varint(f.rest)
	if n <= 0 {
		f.fail("no integer")
		return 0
	}
	f.rest = f.rest[n:]
	if int64(T(v)) != v {
		f.fail("integer %d out of range", v)
		return 0
	}
	return T(v)
}

func (f *fields) take(n uint64) []byte {
	if n > uint64(len(f.rest)) {
		f.fail("%d bytes wanted, %d left", n, len(f.rest))
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) string() string { return string(f.take(f.uint())) }

// bytes is nil when there are none.
func (f *fields) bytes() []byte { return append([]byte(nil), f.take(f.uint())...) }

func (f *fields) uuid() (id uuid.UUID) {
	copy(id[:], f.take(uint64(len(id))))
	return id
}

func (f *fields) bool() bool {
	b := f.take(1)
	if len(b) == 1 && b[0] > 1 {
		f.fail("no boolean: %d", b[0])
	}
	return len(b) == 1 && b[0] == 1
}

// list reads a list; every item takes a byte at least, which bounds what a wrong count can ask for.
func list[T any](f *fields, item func(*fields) T) []T {
	n := f.uint()
	if n > uint64(len(f.rest)) {
		f.fail("a list of %d with %d bytes left", n, len(f.rest))
		return nil
	}
	var all []T
	for range n {
		if f.err != nil {
			return nil
		}
		all = append(all, item(f))
	}
	return all
}
