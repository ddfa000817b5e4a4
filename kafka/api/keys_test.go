package api

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// lines are those of a file of testdata without its comments.
func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all
}

// Every key of Kafka's is served to clients in all of its versions, or has a reason in testdata/without.txt; and nothing else is.
func TestEveryKeyIsServedOrHasAReason(t *testing.T) {
	n := start(t, nil)
	reasons := map[int16]string{}
	for _, line := range lines(t, "without.txt") {
		number, reason, _ := strings.Cut(line, " | ")
		key, err := strconv.ParseInt(number, 10, 16)
		if err != nil || reason == "" {
			t.Fatalf("%q is no line of without.txt", line)
		}
		reasons[int16(key)] = reason
	}
	of := map[int16]bool{}
	for _, line := range lines(t, "kafka-4.4.0.txt") {
		var key, least, most int16
		var name, whose string
		if _, err := fmt.Sscanf(strings.Replace(line, "-", " ", 1), "%d %s %d %d %s", &key, &name, &least, &most, &whose); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		of[key] = true
		_, explained := reasons[key]
		served := table[key].begin != nil && table[key].visible(&n.peer)
		switch {
		case served == explained:
			t.Errorf("%d %s: served to clients %v, explained in without.txt %v", key, name, served, explained)
		case served && (table[key].min > least || table[key].max < most):
			t.Errorf("%d %s is served from %d to %d, by Kafka from %d to %d", key, name, table[key].min, table[key].max, least, most)
		}
	}
	for key := range reasons {
		if !of[key] {
			t.Errorf("%d is explained, and Kafka has no such key", key)
		}
	}
	for _, k := range servedKeys(&n.peer) {
		if !of[k.ApiKey] {
			t.Errorf("%d is served, and Kafka has no such key", k.ApiKey)
		}
	}
}
