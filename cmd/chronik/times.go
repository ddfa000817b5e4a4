package main

import (
	"fmt"
	"strconv"
	"time"
)

// millisOf reads a time as people write it, into milliseconds since 1970: 2026-05-01T08:00:00Z, 2026-05-01, 2h (ago), or the
// milliseconds themselves.
func millisOf(text string) (int64, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return time.Now().Add(-ago).UnixMilli(), nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 {
		return ms, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, fmt.Errorf("%q: write 2026-05-01T08:00:00Z, 2026-05-01, how long ago (2h), or milliseconds since 1970", text)
}
