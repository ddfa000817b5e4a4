package partlog

import (
	"runtime"
	"testing"

	"chronik/wal"
)

// Ten thousand partitions that hardly anybody uses must cost next to nothing.
func TestIdlePartitionsAreSmall(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	defer closeStore(t, s)
	before := heap()
	goroutines := runtime.NumGoroutine()
	const n = 1000
	for stream := wal.StreamID(1); stream <= n; stream++ {
		l, err := s.Log(testID(stream), d.config(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AppendAsLeader(Append{Data: idempotent(1, 0, 0, 1, "x"), Version: 9}); err != nil {
			t.Fatal(err)
		}
	}
	s.Commit()
	if err := s.barrier(); err != nil {
		t.Fatal(err)
	}
	if each := (heap() - before) / n; each > 8<<10 {
		t.Errorf("%d bytes each", each)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines more", now-goroutines)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
