package group

import (
	"encoding/binary"

	"chronik/metalog/image"
)

// The values of a group's entries; FORMAT.md draws them. Integers are varints, of which negative ones are zigzag; a text has
// its length before it, a list its count.

func appendNumber[T ~int8 | ~int16 | ~int32 | ~int64](dst []byte, v T) []byte {
	return binary.AppendVarint(dst, int64(v))
}

func appendCount(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) }

func appendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(appendCount(dst, len(s)), s...)
}

func appendTexts(dst []byte, list []string) []byte {
	dst = appendCount(dst, len(list))
	for _, s := range list {
		dst = appendText(dst, s)
	}
	return dst
}

// appendPartitions writes each topic's id and numbers.
func appendPartitions(dst []byte, p partitions) []byte {
	dst = appendCount(dst, len(p))
	for _, t := range p.topics() {
		dst = appendNumbers(append(dst, t[:]...), p[t])
	}
	return dst
}

// appendNumbers writes how many there are and the steps from one to the next; they are sorted.
func appendNumbers(dst []byte, list []int32) []byte {
	dst = appendCount(dst, len(list))
	last := int32(-1)
	for _, n := range list {
		dst = appendCount(dst, int(n-last-1))
		last = n
	}
	return dst
}

// reader reads a value from its front. What comes after something that can't be read is zero, and failed says so.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) fail() {
	r.rest, r.failed = nil, true
}

func readNumber[T ~int8 | ~int16 | ~int32 | ~int64](r *reader) T {
	v, n := binary.Varint(r.rest)
	if n <= 0 || int64(T(v)) != v {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return T(v)
}

// count is of things that take a byte each at least, so that a wrong one costs no memory.
func (r *reader) count() int {
	v := r.step()
	if v > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(v)
}

func (r *reader) step() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.fail()
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) text() string { return string(r.take(r.count())) }

func (r *reader) bytes() []byte { return append([]byte(nil), r.take(r.count())...) }

func readList[T any](r *reader, read func(*reader) T) []T {
	n := r.count()
	var list []T
	for range n {
		if list = append(list, read(r)); r.failed {
			return nil
		}
	}
	return list
}

func (r *reader) texts() []string { return readList(r, (*reader).text) }

func (r *reader) partitions() partitions {
	p := partitions{}
	for range r.count() {
		var t image.TopicID
		copy(t[:], r.take(len(t)))
		list := r.numbers()
		if r.failed {
			return nil
		}
		if len(list) > 0 {
			p[t] = list
		}
	}
	return p
}

func (r *reader) numbers() []int32 {
	last := int64(-1)
	return readList(r, func(r *reader) int32 {
		last += int64(r.step()) + 1
		if last < 0 || last != int64(int32(last)) {
			r.fail()
		}
		return int32(last)
	})
}

// done says whether all could be read. What a later version has appended may be left.
func (r *reader) done() bool { return !r.failed }
