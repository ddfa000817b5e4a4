package group

import (
	"strings"
	"testing"
)

// A regular expression that a member sends is bounded, and means the whole name whatever stands in it.
func TestAPatternIsBoundedAndMeansTheWholeName(t *testing.T) {
	for pattern, matches := range map[string]map[string]bool{
		"a|bc":                             {"a": true, "bc": true, "abc": false, "xa": false},
		"(?i)A.*":                          {"abc": true, "xa": false},
		"^orders$":                         {"orders": true, "orders2": false},
		"a)|(?:b":                          nil,
		"(":                                nil,
		"a{2,1}":                           nil,
		"(?=a)a":                           nil,
		strings.Repeat("a", mostPattern+1): nil,
	} {
		expression, err := compilePattern(pattern)
		if (err == nil) != (matches != nil) {
			t.Errorf("%s: %v", shown(pattern), err)
			continue
		}
		for name, want := range matches {
			if expression.MatchString(name) != want {
				t.Errorf("%s: %s is not %v", pattern, name, want)
			}
		}
	}
	if _, err := compilePattern(strings.Repeat("a", mostPattern)); err != nil {
		t.Error(err)
	}
	if text := shown(strings.Repeat("ä", 200)); len(text) > 110 || !strings.HasSuffix(text, "ä...") {
		t.Error(text)
	}
}
