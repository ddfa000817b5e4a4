package partlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/wal"
)

// model is a log as a list. Every operation is done to it and to the real one, and both are asked the same.
type model struct {
	base    []modelBatch
	start   int64
	end     int64
	nextSeq int32
}

type modelBatch struct {
	base, end int64
	ts        []int64
	values    []string
	data      []byte // as sent; nil for one without a producer
}

func (m *model) add(ts []int64, values []string, data []byte) modelBatch {
	b := modelBatch{m.end, m.end + int64(len(values)), ts, values, data}
	m.base = append(m.base, b)
	m.end = b.end
	return b
}

// firstOf is the first offset whose timestamp fits.
func (m *model) firstOf(fits func(int64) bool) (int64, bool) {
	for _, b := range m.base {
		for i, ts := range b.ts {
			if o := b.base + int64(i); o >= m.start && fits(ts) {
				return o, true
			}
		}
	}
	return 0, false
}

func (m *model) list() []string {
	var all []string
	for _, b := range m.base {
		for i, v := range b.values {
			if o := b.base + int64(i); o >= m.start {
				all = append(all, fmt.Sprintf("%d:%s", o, v))
			}
		}
	}
	return all
}

const modelStreams = 3

type modelTest struct {
	t      *rapid.T
	d      *disk
	s      *Store
	models map[wal.StreamID]*model
	clock  int64
}

func (m *modelTest) stream() (*model, *Log) {
	id := wal.StreamID(rapid.IntRange(1, modelStreams).Draw(m.t, "stream"))
	return m.models[id], m.d.log(m.s, id)
}

func (m *modelTest) append(t *rapid.T) {
	model, l := m.stream()
	n := rapid.IntRange(1, 3).Draw(t, "records")
	m.clock += int64(rapid.IntRange(0, 5).Draw(t, "later"))
	w := batch.Builder{}
	if rapid.Bool().Draw(t, "idempotent") {
		w.Producer = &batch.Producer{ID: int64(l.id.Stream), Sequence: model.nextSeq}
		model.nextSeq += int32(n)
	}
	if rapid.Bool().Draw(t, "compressed") {
		w.Compression.Codec = batch.LZ4
	}
	var ts []int64
	var vs []string
	for i := range n {
		at := m.clock + int64(rapid.IntRange(-8, 8).Draw(t, "jitter"))
		v := fmt.Sprintf("%d.%d-%s", model.end, i, strings.Repeat("v", rapid.IntRange(0, 6000).Draw(t, "size")))
		ts, vs = append(ts, at), append(vs, v)
		w.Add(&batch.Record{Timestamp: at, Value: []byte(v)})
	}
	data := build(&w)
	sent := data
	if w.Producer != nil {
		sent = slices.Clone(data)
	} else {
		data = nil
	}
	want := model.add(ts, vs, data)
	if a := produce(t, l, sent); a.Base != want.base || a.End != want.end || a.Duplicate {
		t.Fatalf("%+v, want %d", a, want.base)
	}
}

// again sends one of the producer's newest five batches once more.
func (m *modelTest) again(t *rapid.T) {
	model, l := m.stream()
	var own []modelBatch
	for _, b := range model.base {
		if b.data != nil {
			own = append(own, b)
		}
	}
	if len(own) == 0 {
		return
	}
	b := own[len(own)-1-rapid.IntRange(0, min(4, len(own)-1)).Draw(t, "back")]
	if a := produce(t, l, slices.Clone(b.data)); !a.Duplicate || a.Base != b.base || a.End != b.end {
		t.Fatalf("%+v, want %d", a, b.base)
	}
}

func (m *modelTest) deleteRecords(t *rapid.T) {
	model, l := m.stream()
	to := rapid.Int64Range(0, model.end).Draw(t, "to")
	if err := l.SetLogStart(to); err != nil {
		t.Fatal(err)
	}
	model.start = max(model.start, to)
}

func (m *modelTest) retain(t *rapid.T) {
	model, l := m.stream()
	c := *plain()
	c.RetentionMs = m.d.clock.Load() - (m.clock - int64(rapid.IntRange(0, 100).Draw(t, "kept")))
	l.SetConfig(&c)
	tend(t, m.s, true)
	l.SetConfig(m.d.config(l.id.Stream))
	start := l.Offsets().LogStart
	for _, b := range model.base {
		if b.base < start && b.end > model.start && b.base >= model.start && slices.Max(b.ts) >= m.d.clock.Load()-c.RetentionMs {
			t.Fatalf("batch %d..%d expired early", b.base, b.end)
		}
	}
	model.start = max(model.start, start)
}

func (m *modelTest) cut(t *rapid.T)    { tend(t, m.s, false) }
func (m *modelTest) reopen(t *rapid.T) { closeStore(t, m.s); m.s = m.d.open() }

func (m *modelTest) cutAll(t *rapid.T) {
	m.s.tending.Lock()
	defer m.s.tending.Unlock()
	files := m.s.wal.Files()
	if err := m.s.cutTo(files[len(files)-1].Pos + files[len(files)-1].Size); err != nil {
		t.Fatal(err)
	}
	if err := m.s.checkpoint(); err != nil {
		t.Fatal(err)
	}
}

func (m *modelTest) find(t *rapid.T) {
	model, l := m.stream()
	ts := m.clock - int64(rapid.IntRange(-10, 100).Draw(t, "ago"))
	to, ok, err := l.FindTime(ts, everything)
	if err != nil {
		t.Fatal(err)
	}
	want, has := model.firstOf(func(at int64) bool { return at >= ts })
	if ok != has || ok && to.Offset != want {
		t.Fatalf("time %d: %+v %v, want %d %v", ts, to, ok, want, has)
	}
	greatest := int64(-1 << 62)
	model.firstOf(func(at int64) bool { greatest = max(greatest, at); return false })
	want, has = model.firstOf(func(at int64) bool { return at == greatest })
	if to, ok, err = l.MaxTime(everything); err != nil || ok != has || ok && to.Offset != want {
		t.Fatalf("greatest: %+v %v %v, want %d %v", to, ok, err, want, has)
	}
}

func (m *modelTest) check(t *rapid.T) {
	for id, model := range m.models {
		l := m.d.log(m.s, id)
		if o := l.Offsets(); o.LogStart != model.start || o.LogEnd != model.end || o.Durable != model.end {
			t.Fatalf("stream %d: %+v, want %d to %d", id, o, model.start, model.end)
		}
		if got := values(t, l, model.start); !slices.Equal(got, model.list()) {
			t.Fatalf("stream %d: %d records, want %d", id, len(got), len(model.list()))
		}
		if _, err := l.Read(nil, model.end+1, everything, 1, true); kerr.Of(err) != kerr.OffsetOutOfRange {
			t.Fatal(err)
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := small(newDisk(t))
		d.budget = 128 << 10
		d.clock.Store(1 << 40)
		m := &modelTest{t: rt, d: d, s: d.open(), models: map[wal.StreamID]*model{}, clock: 1 << 40}
		defer func() { closeStore(rt, m.s) }()
		for id := wal.StreamID(1); id <= modelStreams; id++ {
			m.models[id] = &model{}
			d.configs[id] = smallSegments()
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append more": m.append, "append much": m.append, "again": m.again,
			"delete": m.deleteRecords, "retain": m.retain, "cut": m.cut, "cut all": m.cutAll,
			"reopen": m.reopen, "find": m.find, "": m.check,
		})
	})
}

func smallSegments() *config.Topic {
	c := plain()
	c.SegmentBytes = 30 << 10
	return c
}
