package arena

import (
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Whoever takes a run finds it touched already, however far the runs have come, and no more than that is touched.
func TestRunsAreTouchedAhead(t *testing.T) {
	p := New(64 << 20)
	for taken := 0; taken < 40<<20; taken += 1 << 20 {
		p.Overdraw(1 << 20)
		for !settled(p) {
			runtime.Gosched()
		}
		next := p.region.mem[p.region.next*Page:][:1<<20]
		if n := resident(t, next); n != len(next)/Page {
			t.Fatalf("after %d MiB %d of the next %d pages are touched", taken>>20, n, len(next)/Page)
		}
	}
	if n := resident(t, p.region.mem); n > 50<<20/Page {
		t.Errorf("%d MiB are touched after 40 were taken", n*Page>>20)
	}
}

func settled(p *Pool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.touching
}

func resident(t *testing.T, mem []byte) int {
	t.Helper()
	pages := make([]byte, len(mem)/Page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)),
		uintptr(unsafe.Pointer(unsafe.SliceData(pages))))
	if errno != 0 {
		t.Fatal(errno)
	}
	n := 0
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}
