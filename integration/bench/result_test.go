package main

import "testing"

func TestVerdict(t *testing.T) {
	for _, c := range []struct{ target, real, ratio, want string }{
		{"55 % of null", "698 MB/s (668 to 743)", "20.2 % (19.2 to 25.2)", ": **missed**"},
		{"55 % of null", "698 MB/s (668 to 743)", "64.5 %", ": met"},
		{"2,500 MB/s", "3887 MB/s (1 to 2)", "96.0 %", ": met"},
		{"2,500 MB/s", "2400 MB/s", "", ": **missed**"},
		{"0.55 s/GB", "0.52 s/GB", "", ": met"},
		{"2 ms", "4.81 ms", "", ": **missed**"},
		{"150 ms", "150 ms", "", ": met"},
		{"90 % of it", "99 %", "", ": met"},
		{"5 %", "2.1 %", "", ": met"},
		{"20,000/s", "30000/s", "", ": met"},
		{"20,000/s", "10000/s", "", ": **missed**"},
		{"as the one before", "24 MiB", "", ""},
		{"", "24 MiB", "", ""},
	} {
		if got := verdict(c.target, c.real, c.ratio); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
