package partlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A group of the write-ahead log has its large entries behind the small ones. So of one partition's entries a later one
// may lie before an earlier one, and cutting must not take that for a span that ends before it begins.
func TestALaterEntryThatLiesBeforeAnEarlierOneIsCut(t *testing.T) {
	d := newDisk(t)
	d.fileSize, d.budget = 1<<20, 1<<30
	s := d.open()
	l := d.log(s, 1)
	var want []string
	for round := range 4 {
		var end int64
		for i, size := range []int{40_000, 100, 70_000, 3000, 200} {
			v := fmt.Sprintf("%d-%d-%s", round, i, strings.Repeat("v", size))
			a, err := l.AppendAsLeader(Append{Data: records(1, v), Version: 9})
			if err != nil {
				t.Fatal(err)
			}
			want, end = append(want, fmt.Sprintf("%d:%s", a.Base, v)), a.End
		}
		s.wal.Commit()
		settle(t, l, end)
	}
	forget(s)
	cutAll(t, s)
	if got := values(t, l, 0); !slices.Equal(got, want) {
		t.Errorf("%d values, want %d", len(got), len(want))
	}
	if l.tail.bytes != 0 {
		t.Errorf("%d bytes are still in the write-ahead log", l.tail.bytes)
	}
	closeStore(t, s)
}
