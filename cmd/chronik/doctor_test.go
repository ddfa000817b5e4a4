package main

import (
	"testing"
	"time"
)

// A clock was asked between two moments and told a whole second: what it is ahead or behind at least, and nothing that the second
// and the time on the way can explain.
func TestSkewIsWhatIsCertain(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	for _, c := range []struct {
		before, after, there float64
		want                 time.Duration
		text                 string
	}{
		{10.2, 10.3, 10, 0, ""},
		{10.9, 11.1, 10, 0, ""}, // asked in this second, answered in the next
		{10.9, 11.1, 11, 0, ""},
		{10.0, 10.0, 9, 0, ""},  // its second may end now
		{10.2, 12.9, 12, 0, ""}, // long under way
		{10.2, 10.3, 9, -200 * time.Millisecond, "0s behind this machine's"},
		{10.2, 10.3, 11, 700 * time.Millisecond, "1s ahead of this machine's"},
		{10.2, 10.3, 4, -5200 * time.Millisecond, "5s behind this machine's"},
		{10.2, 10.3, 130, 119700 * time.Millisecond, "2m0s ahead of this machine's"},
	} {
		got := skewOf(at(c.before), at(c.after), at(c.there)).Round(time.Millisecond)
		if got != c.want || c.text != "" && skewText(got) != c.text {
			t.Errorf("%+v: %v, %s", c, got, skewText(got))
		}
	}
}

func TestPlurals(t *testing.T) {
	for got, want := range map[string]string{
		counted(0, "record"): "0 records", counted(1, "record"): "1 record", counted(int64(2), "record"): "2 records",
		countedWith(1, "partition", "has", "have"): "1 partition has", countedWith(2, "partition", "has", "have"): "2 partitions have",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
