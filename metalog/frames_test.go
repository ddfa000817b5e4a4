package metalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"reflect"
	"strings"
	"testing"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

func someMessages() []*message {
	return []*message{
		{kind: msgPropose, id: 7, low: true, proposals: [][]byte{{1, 2}, {}, {3}}},
		{kind: msgPropose, id: 1 << 40},
		{kind: msgProposed, id: 7, outcomes: []outcomeOf{
			{is: isApplied, index: 9}, {is: isRefused, index: 9, code: kerr.TopicAlreadyExists, text: "it is there"},
			{is: isRefused, code: kerr.UnknownServerError}, {is: isNotProposed}, {is: isUnknown, text: "the disk"},
		}},
		{kind: msgSync, id: 8},
		{kind: msgSynced, id: 8, leads: true, index: 1 << 50},
		{kind: msgSynced, id: 9},
		{kind: msgBegin, node: 3},
		{kind: msgBegun, leads: true},
		{kind: msgBegun},
	}
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	var all bytes.Buffer
	for _, m := range someMessages() {
		all.Write(encodeFrame(m))
	}
	for _, m := range someMessages() {
		got, err := readFrame(&all)
		if err != nil || got.kind != m.kind || got.id != m.id || got.low != m.low || got.index != m.index || got.leads != m.leads || got.node != m.node ||
			len(got.proposals) != len(m.proposals) || !reflect.DeepEqual(got.outcomes, m.outcomes) {
			t.Fatalf("%+v, %v; want %+v", got, err, m)
		}
	}
	if _, err := readFrame(&all); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

func TestOutcomesMeanTheSameElsewhere(t *testing.T) {
	for _, a := range []answer{
		{index: 5},
		{index: 6, err: kerr.Detail(kerr.TopicAlreadyExists, "it is there"), refused: true},
		{index: 6, err: kerr.InvalidUpdateVersion, refused: true},
		{err: errNotProposed},
		{err: unknown(errors.New("the disk"))},
	} {
		got := outcomeFor(a).answer()
		if got.index != a.index || got.refused != a.refused || kerr.Of(got.err) != kerr.Of(a.err) || kerr.Message(got.err) != kerr.Message(a.err) ||
			errors.Is(got.err, errNotProposed) != errors.Is(a.err, errNotProposed) || (got.err == nil) != (a.err == nil) {
			t.Errorf("%+v became %+v", a, got)
		}
	}
}

// Whatever is not as it was written is refused, and nothing is made room for that has not come.
func TestDamagedFramesAreRefused(t *testing.T) {
	for _, m := range someMessages() {
		frame := encodeFrame(m)
		for i := range frame {
			bad := bytes.Clone(frame)
			bad[i] ^= 0x10
			if _, err := readFrame(bytes.NewReader(bad)); err == nil {
				t.Errorf("kind %d with byte %d flipped was read", m.kind, i)
			}
			if _, err := readFrame(bytes.NewReader(frame[:i])); err == nil {
				t.Errorf("%d bytes of kind %d were read", i, m.kind)
			}
		}
	}
	huge := binary.BigEndian.AppendUint32(nil, maxFrame+1)
	if _, err := readFrame(bytes.NewReader(append(huge, 0, 0, 0, 0))); err == nil {
		t.Error("a frame that is too long")
	}
	full := &message{kind: msgProposed, outcomes: make([]outcomeOf, maxTogether)}
	for i := range full.outcomes {
		full.outcomes[i] = outcomeOf{isRefused, image.Index(1 << 60), 300, strings.Repeat("x", 2*maxText)}
	}
	if got, err := readFrame(bytes.NewReader(encodeFrame(full))); err != nil || len(got.outcomes) != maxTogether {
		t.Error(err)
	}
}

func TestPreamblesComeBackAsTheyWere(t *testing.T) {
	p := preamble{"1@a", "2@b", "host:9093"}
	if got, err := readPreamble(bytes.NewReader(p.encode())); err != nil || got != p {
		t.Fatal(got, err)
	}
	for i := range p.encode() {
		if _, err := readPreamble(bytes.NewReader(p.encode()[:i])); err == nil {
			t.Errorf("%d bytes were read", i)
		}
	}
	if _, err := readPreamble(strings.NewReader("GET / HTTP/1.1\r\n\r\n")); err == nil {
		t.Error("HTTP was read")
	}
}

func FuzzFrame(f *testing.F) {
	for _, m := range someMessages() {
		f.Add(encodeFrame(m)[frameHead:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		frame := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		frame = binary.BigEndian.AppendUint32(frame, crc32.Checksum(body, castagnoli))
		m, err := readFrame(bytes.NewReader(append(frame, body...)))
		if err != nil {
			return
		}
		again, err := readFrame(bytes.NewReader(encodeFrame(m)))
		if err != nil || again.kind != m.kind || again.id != m.id || len(again.proposals) != len(m.proposals) || len(again.outcomes) != len(m.outcomes) {
			t.Fatal(again, err)
		}
	})
}

func FuzzPreamble(f *testing.F) {
	f.Add(preamble{"1@a", "2@b", "host:9093"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := readPreamble(bytes.NewReader(b)); err == nil {
			if again, err := readPreamble(bytes.NewReader(p.encode())); err != nil || again != p {
				t.Fatal(again, err)
			}
		}
	})
}

func FuzzPromise(f *testing.F) {
	f.Add(promise{set: []Server{{ID: "1@a", Node: 1, Addr: "h:1", Voter: true}}}.text())
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parsePromise(b) })
}
