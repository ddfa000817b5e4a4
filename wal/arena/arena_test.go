package arena

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"unsafe"

	"pgregory.net/rapid"
)

func TestBuffersAreAlignedAndReused(t *testing.T) {
	p := New(1 << 20)
	for _, n := range []int{0, 1, Page - 1, Page, Page + 1, 5*Page + 1, 100_000} {
		b := p.Overdraw(n)
		if len(b.Bytes()) != n || cap(b.Bytes()) != roundUp(n) {
			t.Errorf("%d: len %d cap %d", n, len(b.Bytes()), cap(b.Bytes()))
		}
		if uintptr(unsafe.Pointer(unsafe.SliceData(b.mem)))%Page != 0 {
			t.Errorf("%d: not aligned", n)
		}
		b.Release()
		if again := p.Overdraw(n); again != b {
			t.Errorf("%d: not reused", n)
		} else {
			again.Release()
		}
	}
	if p.InUse() != 0 {
		t.Errorf("in use: %d", p.InUse())
	}
}

func TestClasses(t *testing.T) {
	for c := class(1); c < 120; c++ {
		if c.size() <= (c - 1).size() {
			t.Fatalf("class %d: %d after %d", c, c.size(), (c - 1).size())
		}
		if got := classOf(int(c.size())); got != c {
			t.Fatalf("classOf(%d) = %d, want %d", c.size(), got, c)
		}
		if got := classOf(int((c - 1).size()) + 1); got != c {
			t.Fatalf("classOf(%d) = %d, want %d", (c-1).size()+1, got, c)
		}
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
	if p.idle+p.inUse > p.limit {
		t.Errorf("kept %d", p.idle)
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

func TestAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New(64 * Page)
		var held []*Buf
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				held[i].Release()
				held = append(held[:i], held[i+1:]...)
				continue
			}
			held = append(held, p.Overdraw(rapid.IntRange(0, 20*Page).Draw(t, "n")))
		}
		var want int64
		for _, b := range held {
			want += b.class.size()
		}
		if p.InUse() != want {
			t.Fatalf("in use %d, want %d", p.InUse(), want)
		}
		for _, b := range held {
			b.Release()
		}
		if p.inUse != 0 || p.idle > p.limit {
			t.Fatalf("at the end: in use %d, idle %d", p.inUse, p.idle)
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
