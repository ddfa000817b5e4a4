package cluster

import (
	"testing"
	"time"

	"chronik/wal/vfs"
)

// A process that was stopped, or had no processor, must not take the time for its disk's.
func TestAStoppedProcessDoesNotBlameItsDisk(t *testing.T) {
	h, o := hang{}, vfs.Operation{ID: 7, Op: "write", Dir: "wal", Name: "1"}
	h.look(o, true, diskLook)
	h.look(o, true, time.Hour)
	if h.age >= diskSlow {
		t.Fatal(h.age)
	}
	for range int(diskGone / diskLook) {
		h.look(o, true, diskLook)
	}
	if h.age < diskGone {
		t.Fatal(h.age)
	}
	h.look(vfs.Operation{ID: 8}, true, diskLook)
	if h.age != 0 {
		t.Fatal("a disk that answers, slowly", h.age)
	}
	h.look(vfs.Operation{}, false, diskLook)
	if h.age != 0 || h.ID != 0 {
		t.Fatal(h)
	}
}
