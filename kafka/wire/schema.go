package wire

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxElements bounds the strings, structures and tags in one request. In memory each is some 100 bytes, on the wire it
// may be one.
const maxElements = 1 << 18

// check walks over a request's body before it is decoded. The decoder trusts counts: it loops as often as a count of
// tags says, and allocates as many elements as bytes are left. So whatever can't be true is found here, at no cost, and
// also bytes after the end, which the decoder does not report.
func check(rq kmsg.Request, body []byte) error {
	plans, version := schemas()[rq.Key()], int(rq.GetVersion())
	if version < 0 || version >= len(plans) {
		return fmt.Errorf("no schema")
	}
	w := walker{cursor: cursor{b: body}, flexible: rq.IsFlexible(), left: maxElements}
	w.fields(plans[version])
	switch {
	case w.left < 0:
		return fmt.Errorf("more than %d elements", maxElements)
	case w.bad:
		return fmt.Errorf("the body is cut short or claims more than it has")
	case len(w.b) > 0:
		return fmt.Errorf("%d bytes after the body", len(w.b))
	}
	return nil
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
				w.left, w.bad = in.left, w.bad || in.bad
			}
		}
	}
}

func (w *walker) value(f *field) {
	switch f.kind {
	case fixed:
		w.take(f.size)
	case text:
		w.take(w.length(w.length16))
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

// array spares itself the elements when they are all of one size.
func (w *walker) array(f *field) {
	n := w.length(w.length32)
	if f.elem.kind == fixed {
		w.take(n * f.elem.size)
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
