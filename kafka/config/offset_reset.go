package config

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// OffsetReset is where a share group begins in a partition: a number of milliseconds before now, or one of the two below,
// which are ListOffsets' timestamps for the same.
type OffsetReset int64

const (
	ResetLatest   OffsetReset = -1
	ResetEarliest OffsetReset = -2
)

const byDuration = "by_duration:"

// offsetReset is the rule for share.auto.offset.reset.
var offsetReset = Valid{"[latest, earliest, by_duration:PnDTnHnMn.nS]", func(name string, v value) string {
	if _, ok := parseOffsetReset(v.text); ok {
		return ""
	}
	return invalidText(name, v, "The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.")
}}

func parseOffsetReset(s string) (OffsetReset, bool) {
	switch s {
	case "latest":
		return ResetLatest, true
	case "earliest":
		return ResetEarliest, true
	}
	text, ok := strings.CutPrefix(s, byDuration)
	if !ok {
		return 0, false
	}
	ms, ok := parseDuration(text)
	return OffsetReset(ms), ok && ms >= 0
}

// iso8601 is a duration of days and less, with signs and in any case, as Java's Duration reads it.
var iso8601 = regexp.MustCompile(`(?i)^([-+]?)P(?:([-+]?\d+)D)?(?:T(?:([-+]?\d+)H)?(?:([-+]?\d+)M)?(?:([-+]?\d+)(?:[.,](\d{0,9}))?S)?)?$`)

// parseDuration returns the milliseconds of an ISO 8601 duration.
func parseDuration(s string) (ms int64, ok bool) {
	m := iso8601.FindStringSubmatch(s)
	if m == nil || strings.HasSuffix(strings.ToUpper(s), "P") || strings.HasSuffix(strings.ToUpper(s), "T") {
		return 0, false
	}
	sum := 0.0
	for i, unit := range []float64{24 * hour, hour, minute, 1000} {
		if m[i+2] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+2], 10, 64)
		if err != nil {
			return 0, false
		}
		sum += float64(n) * unit
	}
	if m[6] != "" {
		fraction, _ := strconv.ParseFloat("0."+m[6], 64) // digits only
		if strings.HasPrefix(m[5], "-") {
			fraction = -fraction
		}
		sum += fraction * 1000
	}
	if m[1] == "-" {
		sum = -sum
	}
	return int64(sum), math.Abs(sum) < math.MaxInt64
}
