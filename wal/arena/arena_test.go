package arena

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"unsafe"

	"pgregory.net/rapid"

	"chronik/wal/crc"
)

func TestBuffersAreAlignedAndApart(t *testing.T) {
	p := New(1 << 20)
	var held []*Buf
	for _, n := range []int{0, 1, Page - 1, Page, Page + 1, 5*Page + 1, 100_000} {
		b := p.Overdraw(n)
		if len(b.Bytes()) != n || int64(cap(b.Bytes())) != pagesOf(n) {
			t.Errorf("%d: len %d cap %d", n, len(b.Bytes()), cap(b.Bytes()))
		}
		if uintptr(unsafe.Pointer(unsafe.SliceData(b.mem)))%Page != 0 {
			t.Errorf("%d: not aligned", n)
		}
		for i := range b.mem {
			b.mem[i] = byte(len(held))
		}
		held = append(held, b)
	}
	for i, b := range held {
		for _, c := range b.mem {
			if c != byte(i) {
				t.Fatalf("buffer %d was written by another", i)
			}
		}
		b.Release()
	}
	if p.InUse() != 0 {
		t.Errorf("in use: %d", p.InUse())
	}
}

// Memory that was touched once is used again, whatever sizes are asked for: fresh pages cost more than what is put there.
func TestAFullPoolMapsNothing(t *testing.T) {
	p := New(1 << 20)
	var tail []*Buf
	p.OnPressure(func(need int64) {
		for freed := int64(0); freed < need+need/2; tail = tail[1:] {
			freed += pagesOf(len(tail[0].Bytes()))
			tail[0].Release()
		}
	})
	for i := range 10_000 {
		b, err := p.Get(t.Context(), 1+i*7919%(24*Page))
		if err != nil {
			t.Fatal(err)
		}
		if b.mapped {
			t.Fatalf("buffer %d has memory of its own", i)
		}
		tail = append(tail, b)
	}
}

func TestOffset(t *testing.T) {
	p := New(1 << 20)
	b, other := p.Overdraw(10_000), p.Overdraw(10_000)
	if off, ok := b.Offset(b.Bytes()[123:456:456]); off != 123 || !ok {
		t.Errorf("got %d %v", off, ok)
	}
	if _, ok := b.Offset(other.Bytes()[:5]); ok {
		t.Error("another buffer's bytes")
	}
	if _, ok := b.Offset(make([]byte, 5)); ok {
		t.Error("the heap's bytes")
	}
}

func TestGetWaitsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(16 * Page)
		held := p.Overdraw(16 * Page)
		var mu sync.Mutex
		var order []int
		for i := range 3 {
			go func() {
				b, err := p.Get(context.Background(), 8*Page)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				b.Release()
			}()
			synctest.Wait()
		}
		if p.Waiting() != 3 {
			t.Errorf("waiting: %d", p.Waiting())
		}
		held.Release()
		synctest.Wait()
		if len(order) != 3 || p.InUse() != 0 {
			t.Errorf("order %v, in use %d", order, p.InUse())
		}
	})
}

func TestGetGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(16 * Page)
		held := p.Overdraw(12 * Page)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			if _, err := p.Get(ctx, 12*Page); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		synctest.Wait()
		var small *Buf
		go func() { small, _ = p.Get(context.Background(), Page) }() // behind the one that does not fit
		synctest.Wait()
		cancel()
		synctest.Wait()
		if small == nil {
			t.Fatal("the one behind was not served")
		}
		small.Release()
		held.Release()
	})
}

func TestPressureReleasesMemory(t *testing.T) {
	p := New(16 * Page)
	cache := p.Overdraw(16 * Page)
	p.OnPressure(func(need int64) {
		if cache != nil {
			cache.Release()
			cache = nil
		}
	})
	b, err := p.Get(t.Context(), 4*Page)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
}

func TestLargerThanTheLimit(t *testing.T) {
	p := New(16 * Page)
	small := p.Overdraw(2 * Page) // somebody always holds a little
	b, err := p.Get(t.Context(), 100*Page)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	small.Release()
	if p.InUse() != 0 {
		t.Errorf("in use: %d", p.InUse())
	}
}

// Memory that lies in pieces must not be paid for twice: what is mapped elsewhere is given back there.
func TestScatteredMemoryIsGivenBack(t *testing.T) {
	p := New(64 * Page)
	var held []*Buf
	for range 64 {
		b := p.Overdraw(Page)
		b.mem[0] = 1
		held = append(held, b)
	}
	for i := 0; i < 64; i += 2 {
		held[i].Release()
	}
	large := []*Buf{p.Overdraw(10 * Page), p.Overdraw(15 * Page), p.Overdraw(20 * Page)}
	bare := 0
	for i := range 64 {
		if p.region.bare[0]>>i&1 == 0 {
			continue
		}
		bare++
		if p.region.used[0]>>i&1 != 0 || p.region.mem[i*Page] != 0 {
			t.Errorf("page %d was given back: used %b, byte %d", i, p.region.used[0]>>i&1, p.region.mem[i*Page])
		}
	}
	if !large[0].mapped || bare != 32 {
		t.Errorf("%d pages were given back", bare)
	}
	for i := 1; i < 64; i += 2 {
		if held[i].mem[0] != 1 {
			t.Errorf("page %d, which is held, was given back", i)
		}
	}
}

func TestSumsOfWhatArrived(t *testing.T) {
	p := New(8 << 20)
	for range 2 { // the second time in memory that had sums already
		b := p.Overdraw(5*sumBlock + 1234)
		for i := range b.Bytes() {
			b.Bytes()[i] = byte(rand.Uint32())
		}
		for n := 0; n < len(b.Bytes()); n += 1 + rand.IntN(sumBlock*2) {
			b.Arrived(n)
			for range 20 {
				from := rand.IntN(len(b.Bytes()))
				to := from + rand.IntN(len(b.Bytes())-from+1)
				if got, want := b.Sum(from, to), crc.Of(b.Bytes()[from:to]); got != want {
					t.Fatalf("%d arrived, %d to %d: %08x, want %08x", n, from, to, got, want)
				}
			}
		}
		b.Release()
	}
}

func TestReleaseTooOften(t *testing.T) {
	b := New(1 << 20).Overdraw(1)
	b.Release()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	b.Release()
}

// Against a list of runs: no two overlap, none is refused while there is room for it, all is free in the end.
func TestAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New(200 * Page)
		var held []*Buf
		taken := make([]bool, p.region.pages())
		set := func(b *Buf, to bool) {
			at := (int(uintptr(unsafe.Pointer(&b.mem[0])) - uintptr(unsafe.Pointer(&p.region.mem[0])))) / Page
			for i := at; i < at+len(b.mem)/Page; i++ {
				if taken[i] == to {
					t.Fatalf("page %d twice", i)
				}
				taken[i] = to
			}
		}
		room := func(n int64) bool {
			run := int64(0)
			for _, used := range taken {
				if run++; used {
					run = 0
				}
				if run*Page >= n {
					return true
				}
			}
			return false
		}
		var want int64
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				want -= int64(len(held[i].mem))
				if !held[i].mapped {
					set(held[i], false)
				}
				held[i].Release()
				held = append(held[:i], held[i+1:]...)
				continue
			}
			n := rapid.IntRange(0, 90*Page).Draw(t, "n")
			fits := room(pagesOf(n))
			b := p.Overdraw(n)
			if b.mapped == fits {
				t.Fatalf("%d bytes: mapped %v where there is room %v", n, b.mapped, fits)
			}
			if !b.mapped {
				set(b, true)
			}
			held, want = append(held, b), want+pagesOf(n)
		}
		if p.InUse() != want {
			t.Fatalf("in use %d, want %d", p.InUse(), want)
		}
		for _, b := range held {
			b.Release()
		}
		if p.InUse() != 0 || p.region.skip(0, p.region.pages(), false) != p.region.pages() {
			t.Fatalf("at the end: in use %d", p.InUse())
		}
	})
}

func BenchmarkGetRelease(b *testing.B) {
	p := New(64 << 20)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ := p.Get(b.Context(), 70_000)
		buf.Release()
	}
}
