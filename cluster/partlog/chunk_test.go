package partlog

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"chronik/kafka/batch"
)

// flat is a tail as it would be if memory did not count.
type flat struct {
	base    int64
	entries []entry
}

func (f *flat) end() int64 {
	if n := len(f.entries); n > 0 {
		return f.entries[n-1].end
	}
	return f.base
}

func (f *flat) drop(offset int64) (dropped int) {
	for len(f.entries) > 0 && f.entries[0].end <= offset {
		f.base, f.entries = f.entries[0].end, f.entries[1:]
		dropped++
	}
	return dropped
}

func (f *flat) cutOff(to int64, size int32) (dropped int) {
	for n := len(f.entries); n > 0 && f.entries[n-1].end > to; n-- {
		before := flat{f.base, f.entries[:n-1]}
		if before.end() < to && size > 0 {
			f.entries[n-1].end, f.entries[n-1].size = to, size
			return dropped
		}
		f.entries = f.entries[:n-1]
		dropped++
	}
	if len(f.entries) == 0 {
		f.base = to
	}
	return dropped
}

// same says how t differs from f.
func (f *flat) same(t *testing.T, got *tail) {
	t.Helper()
	var all []entry
	begin, bytes := f.base, int64(0)
	for c := got.seek(got.base); ; {
		l, ok := got.next(&c)
		if !ok {
			break
		}
		if l.base != begin {
			t.Fatalf("entry %d begins at %d, not at %d", len(all), l.base, begin)
		}
		all, begin, bytes = append(all, l.entry), l.end, bytes+int64(l.size)
	}
	if got.base != f.base || got.end() != f.end() || got.bytes != bytes || !slices.Equal(all, f.entries) {
		t.Fatalf("%d to %d with %d bytes, want %d to %d with %d:\n%v\n%v", got.base, got.end(), got.bytes, f.base, f.end(), bytes, all, f.entries)
	}
}

// A tail has differences where they are small, and must give back what it was given wherever they are not.
func TestTheIndexGivesBackWhatItWasGiven(t *testing.T) {
	steps := map[string]func(*rand.Rand) entry{
		"near": func(r *rand.Rand) entry {
			return entry{end: 1 + r.Int64N(9), maxTime: r.Int64N(100), pos: r.Int64N(4096)}
		},
		"far in time": func(r *rand.Rand) entry {
			return entry{end: 1, maxTime: r.Int64N(3) << 31, pos: 1}
		},
		"without a time now and then": func(r *rand.Rand) entry {
			return entry{end: 1, maxTime: 1<<40*int64(min(1, r.IntN(50))) + batch.NoTimestamp, pos: 1}
		},
		"far in the log":  func(r *rand.Rand) entry { return entry{end: 1, pos: 1 << (r.IntN(20) + 14)} },
		"of many offsets": func(r *rand.Rand) entry { return entry{end: 1 << r.IntN(32), pos: 1} },
		"of any size":     func(r *rand.Rand) entry { return entry{end: 1, pos: 1, size: 1 << r.IntN(31)} },
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for range 30 {
				testTail(t, r, step)
			}
		})
	}
}

func testTail(t *testing.T, r *rand.Rand, step func(*rand.Rand) entry) {
	first := r.Int64N(1 << 50)
	got, want := tail{base: first}, flat{base: first}
	pos := r.Int64N(1 << 40)
	for range 300 {
		for range r.IntN(20) {
			e := step(r)
			pos += e.pos
			e.end, e.pos, e.size, e.flags = e.end+want.end(), pos, max(e.size, 1), uint32(r.IntN(2))
			got.append(e)
			want.entries = append(want.entries, e)
		}
		var dropped, due int
		at := want.base + r.Int64N(want.end()-want.base+1)
		switch r.IntN(8) {
		case 0:
			dropped, due = got.drop(at), want.drop(at)
		case 1:
			size := int32(r.IntN(2))
			dropped, due = got.cutOff(at, size), want.cutOff(at, size)
		default:
			got.setFlag(at, checkedInFile)
			if i := slices.IndexFunc(want.entries, func(e entry) bool { return e.end == at }); i >= 0 {
				want.entries[i].flags |= checkedInFile
			}
		}
		if dropped != due {
			t.Fatalf("%d entries went, not %d", dropped, due)
		}
		want.same(t, &got)
		at = want.base + r.Int64N(want.end()-want.base+1)
		c := got.seek(at)
		l, ok := got.next(&c)
		i := slices.IndexFunc(want.entries, func(e entry) bool { return e.end > at })
		if ok != (i >= 0) || ok && l.entry != want.entries[i] {
			t.Fatalf("%+v holds offset %d, not entry %d", l, at, i)
		}
	}
}

// An index of a write-ahead log of small records was the most of the memory beside the records.
func TestAnEntryOfTheIndexTakesLittleMemory(t *testing.T) {
	if size := reflect.TypeFor[near]().Size(); size != nearSize {
		t.Errorf("an entry has %d bytes, %d are counted", size, nearSize)
	}
	var all tail
	now := int64(1_800_000_000_000)
	for i := range int64(10 * chunkEntries) {
		all.append(entry{end: i + 1, maxTime: now + i*1000, pos: 8<<40 + i*1<<20, size: 1 << 20})
	}
	for i, c := range all.chunks {
		if c.far != nil || i > 0 && cap(c.near) != chunkEntries {
			t.Errorf("chunk %d of entries a MiB and a second apart: %d whole ones, room for %d", i, len(c.far), cap(c.near))
		}
	}
}

// A partition that is written to for months, and cut all the time, has one chunk all along: each of its entries took twice as
// much from the first 4 GiB or 24 days on.
func TestAnEntryTakesLittleMemoryHoweverOldItsChunkIs(t *testing.T) {
	got, want := tail{base: 7}, flat{base: 7}
	for i := range int64(20 * chunkEntries) {
		e := entry{end: want.end() + 1<<25, maxTime: i << 25, pos: i << 25, size: 1 << 20}
		got.append(e)
		want.entries = append(want.entries, e)
		if n := len(want.entries); n > chunkEntries/4 {
			if dropped, due := got.drop(want.entries[n/2].end), want.drop(want.entries[n/2].end); dropped != due {
				t.Fatalf("%d entries went, not %d", dropped, due)
			}
		}
		want.same(t, &got)
		for _, c := range got.chunks {
			if c.far != nil {
				t.Fatalf("%d whole entries after %d were taken", len(c.far), i)
			}
		}
	}
	if len(got.chunks) != 1 {
		t.Errorf("%d chunks", len(got.chunks))
	}
}
