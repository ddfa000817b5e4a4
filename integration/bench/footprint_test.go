package main

import (
	"strings"
	"testing"
)

// resident is a side whose memory is known.
type resident struct {
	remote
	mib float64
}

func (r *resident) memory(string) (float64, error) { return r.mib, nil }

func TestGreatestMemoryNamesItsLoad(t *testing.T) {
	ours := &resident{remote: remote{name: ourName}}
	b := &bench{result: &result{table: besideKafka, promised: notSynced}}
	p := &pair{nodes: 1, kafka: &resident{mib: 1000}, ours: ours}
	if err := b.peakMemory(p); err != nil || len(b.result.entries) != 0 {
		t.Errorf("without a load: %+v, %v", b.result.entries, err)
	}
	for _, step := range []struct {
		load string
		mib  float64
	}{{"first", 100}, {"second", 300}, {"third", 300}} {
		ours.mib = step.mib
		if err := p.peaked(load{name: step.load}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.peakMemory(p); err != nil {
		t.Fatal(err)
	}
	got := b.result.entries[0].markdown()
	for _, want := range []string{"300 MiB", "256 MiB" + missed, `under "second"`, "at most 100 MiB"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}
