package crc

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestCombineIsTheWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for range 2000 {
		n := 1 + r.IntN(1<<r.IntN(21))
		cut := r.IntN(n + 1)
		whole := data[:n]
		if got, want := NewShift(int64(n-cut)).Combine(Of(whole[:cut]), Of(whole[cut:])), crc32.Checksum(whole, table); got != want {
			t.Fatalf("%d+%d bytes: %08x, want %08x", cut, n-cut, got, want)
		}
		if got, want := Combine(Of(whole[:cut]), Of(whole[cut:]), int64(n-cut)), crc32.Checksum(whole, table); got != want {
			t.Fatalf("%d+%d bytes: %08x, want %08x", cut, n-cut, got, want)
		}
	}
}

// The powers repeat: a length of many GiB uses all of them.
func TestCombineOfLongPieces(t *testing.T) {
	zeros := make([]byte, 1<<20)
	piece, sum := Of(zeros), Of([]byte("start"))
	direct := sum
	const pieces = 5000
	for range pieces {
		direct = Update(direct, zeros)
	}
	long := uint32(0)
	for range pieces {
		long = Combine(long, piece, 1<<20)
	}
	if got := Combine(sum, long, pieces<<20); got != direct {
		t.Errorf("%08x, want %08x", got, direct)
	}
}

func BenchmarkCombine(b *testing.B) {
	for b.Loop() {
		Combine(1, 2, 1_000_003)
	}
}

func BenchmarkOf64KiB(b *testing.B) {
	data := make([]byte, 64<<10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		Of(data)
	}
}
