package wire

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// schemaText has a line per request: the key, the name, and then its fields in order.
//
//	1 2 4 8 16   a value of so many bytes
//	s            a string, nullable or not
//	b            bytes, nullable or not
//	[ x ]        an array of x
//	{ ... }      a structure with these fields
//	?{ ... }     a nullable structure
//
// After a field stand its versions (:3-14, or :3- without end) or its tag (#0). It is written from kmsg's source by
// TestSchemaIsKmsgs.
//
//go:embed schema.txt
var schemaText string

// schemas returns the plans of all requests, by key and version.
var schemas = sync.OnceValue(func() [][]plan {
	all := make([][]plan, kmsg.MaxKey+1)
	for line := range strings.Lines(schemaText) {
		p := parser{words: strings.Fields(line)}
		key, err := strconv.Atoi(p.next())
		if err != nil {
			panic("wire: schema.txt: " + err.Error())
		}
		p.next() // the name, for readers
		nodes := p.nodes("")
		rq := kmsg.RequestForKey(int16(key))
		for v := range rq.MaxVersion() + 1 {
			rq.SetVersion(v)
			all[key] = append(all[key], compile(nodes, v, rq.IsFlexible()))
		}
	}
	return all
})

// node is a field as it stands in the text, for all versions.
type node struct {
	field
	nodes    []node // of a structure
	elem     *node  // of an array
	min, max int16
	tagged   bool
}

type parser struct{ words []string }

func (p *parser) next() string {
	if len(p.words) == 0 {
		panic("wire: schema.txt: a line ends too soon")
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

// nodes reads fields until a word that begins with end, or, when that is empty, to the end of the line.
func (p *parser) nodes(end string) (nodes []node) {
	for len(p.words) > 0 && (end == "" || !strings.HasPrefix(p.words[0], end)) {
		nodes = append(nodes, p.node())
	}
	return nodes
}

func (p *parser) node() node {
	word := p.next()
	n := node{max: math.MaxInt16}
	switch word {
	case "[":
		n.kind = array
		elem := p.node()
		n.elem = &elem
		word = p.next()
	case "{", "?{":
		n.kind = structure
		if word == "?{" {
			n.kind = nullable
		}
		n.nodes = p.nodes("}")
		word = p.next()
	default:
		n.scalar(word)
	}
	n.suffix(word)
	return n
}

func (n *node) scalar(word string) {
	name := word
	if i := strings.IndexAny(word, ":#"); i >= 0 {
		name = word[:i]
	}
	switch name {
	case "s":
		n.kind = text
	case "b":
		n.kind = blob
	default:
		n.kind, n.size = fixed, number(name)
	}
}

func (n *node) suffix(word string) {
	if _, tag, ok := strings.Cut(word, "#"); ok {
		n.tagged, n.tag = true, uint32(number(tag))
	}
	if _, versions, ok := strings.Cut(word, ":"); ok {
		from, to, _ := strings.Cut(versions, "-")
		n.min = int16(number(from))
		if to != "" {
			n.max = int16(number(to))
		}
	}
}

func number(s string) int {
	n, err := strconv.ParseUint(s, 10, 15)
	if err != nil {
		panic(fmt.Sprintf("wire: schema.txt: %q is no number", s))
	}
	return int(n)
}

// compile picks the fields of one version; neighbours of fixed size become one.
func compile(nodes []node, version int16, flexible bool) (p plan) {
	for i := range nodes {
		n := &nodes[i]
		switch {
		case n.tagged && flexible:
			p.tagged = append(p.tagged, n.compile(version, flexible))
		case n.tagged || version < n.min || version > n.max:
		case n.kind == fixed && len(p.plain) > 0 && p.plain[len(p.plain)-1].kind == fixed:
			p.plain[len(p.plain)-1].size += n.size
		default:
			p.plain = append(p.plain, n.compile(version, flexible))
		}
	}
	return p
}

func (n *node) compile(version int16, flexible bool) field {
	f := n.field
	f.sub = compile(n.nodes, version, flexible)
	if n.elem != nil {
		elem := n.elem.compile(version, flexible)
		f.elem = &elem
	}
	return f
}
