package partlog

import (
	"testing"
	"testing/synctest"
	"time"
)

// A burst of cutting took half of two processors from those who produced small records.
func TestCuttingCopiesTwiceAsFastAsProducersWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		newest, most := int64(0), int64(128<<20)
		for _, s := range []struct {
			what    string
			after   time.Duration
			written int64
			want    int64
		}{
			{"nobody has cut before", 0, 0, most},
			{"too soon to say", 100 * time.Millisecond, 4 << 20, most},
			{"40 MiB/s", 150 * time.Millisecond, 6 << 20, 80 << 20},
			{"more than half of the most", 250 * time.Millisecond, 50 << 20, most},
			{"nobody writes", 250 * time.Millisecond, 0, most / cutSlowest},
			{"nobody has cut for long", 2 * time.Second, 0, most},
		} {
			<-time.After(s.after)
			newest += s.written
			if got := p.follow(newest, most); got != s.want {
				t.Errorf("%s: %d bytes a second, want %d", s.what, got, s.want)
			}
		}
	})
}
