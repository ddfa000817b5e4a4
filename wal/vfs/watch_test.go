package vfs

import "testing"

func TestWatchShowsTheOldestOperation(t *testing.T) {
	var w Watch
	if o, any := w.Oldest(); any {
		t.Fatal(o)
	}
	a, b := w.Begin("write", "d", "a"), w.Begin("sync", "d", "b")
	if o, any := w.Oldest(); !any || o != (Operation{a, "write", "d", "a"}) {
		t.Fatal(o, any)
	}
	w.End(a)
	if o, any := w.Oldest(); !any || o.ID != b || o.Name != "b" {
		t.Fatal(o, any)
	}
	w.End(b)
	w.End(b)
	if o, any := w.Oldest(); any {
		t.Fatal(o)
	}
	var none *Watch
	none.End(none.Begin("write", "d", "a"))
}
