package wire

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxElements bounds the strings, structures, tags and elements of arrays in one request. On the wire an element may
	// be one byte, in memory it is some hundred, and what is answered for it as many again: costOfElement.
	maxElements   = 1 << 18
	costOfElement = 512
)

// check walks over a request's body before it is decoded, and says about how much memory it will take. The decoder trusts
// counts: it loops as often as a count of tags says, and allocates as many elements as bytes are left. So whatever can't
// be true is found here, at no cost, and also bytes after the end, which the decoder does not report.
func check(rq kmsg.Request, body []byte) (cost int, err error) {
	plans, version := schemas()[rq.Key()], int(rq.GetVersion())
	if version < 0 || version >= len(plans) {
		return 0, fmt.Errorf("no schema")
	}
	w := walker{cursor: cursor{b: body}, flexible: rq.IsFlexible(), left: maxElements}
	w.fields(plans[version])
	switch {
	case w.left < 0:
		return 0, fmt.Errorf("more than %d elements", maxElements)
	case w.bad:
		return 0, fmt.Errorf("the body is cut short or claims more than it has")
	case len(w.b) > 0:
		return 0, fmt.Errorf("%d bytes after the body", len(w.b))
	}
	return (maxElements-w.left)*costOfElement + w.copied, nil
}

type kind uint8

const (
	fixed kind = iota
	text
	blob
	array
	structure
	nullable
)

// plan is the fields of a structure at one version.
type plan struct{ plain, tagged []field }

type field struct {
	kind kind
	size int    // of a fixed value, or of several in a row
	elem *field // of an array
	sub  plan   // of a structure
	tag  uint32
}

type walker struct {
	cursor
	flexible bool
	left     int // elements that may still come
	copied   int // bytes of strings, which the decoder copies
}

func (w *walker) fields(p plan) {
	for i := range p.plain {
		w.value(&p.plain[i])
	}
	if !w.flexible {
		return
	}
	for n := w.uvarint(); n > 0 && w.element(); n-- {
		tag := w.uvarint()
		value := w.take(int(w.uvarint()))
		for i := range p.tagged {
			if p.tagged[i].tag == tag {
				in := walker{cursor: cursor{b: value}, flexible: true, left: w.left}
				in.value(&p.tagged[i])
				w.left, w.copied, w.bad = in.left, w.copied+in.copied, w.bad || in.bad
			}
		}
	}
}

func (w *walker) value(f *field) {
	switch f.kind {
	case fixed:
		w.take(f.size)
	case text:
		w.text()
	case blob:
		w.take(w.length(w.length32))
	case array:
		w.array(f)
	case structure:
		w.fields(f.sub)
	case nullable:
		if b := w.take(1); len(b) == 1 && int8(b[0]) != -1 {
			w.fields(f.sub)
		}
	}
}

// text takes no more than Kafka does: what is longer would not fit into the responses of older versions.
func (w *walker) text() {
	n := w.length(w.length16)
	if n > math.MaxInt16 {
		w.fail()
		return
	}
	w.copied += len(w.take(n))
}

// array spares itself the elements when they are all of one size. They count all the same: a partition's number is four
// bytes here, and may be hundred in the answer.
func (w *walker) array(f *field) {
	n := w.length(w.length32)
	if f.elem.kind == fixed {
		if w.take(n * f.elem.size); !w.bad {
			w.left -= n
		}
		return
	}
	for ; n > 0 && w.element(); n-- {
		w.value(f.elem)
	}
}

func (w *walker) length(classic func() int) int {
	if w.flexible {
		return w.compact()
	}
	return classic()
}

// element counts one, and says whether to go on.
func (w *walker) element() bool {
	if w.left--; w.left < 0 {
		w.fail()
	}
	return !w.bad
}
