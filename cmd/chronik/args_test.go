package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// What was written and is too much is named; that something is missing is said only when it is.
func TestArgumentsThatAreTooManyAreNamed(t *testing.T) {
	cmd := &cobra.Command{Use: "grow TOPIC"}
	for args, want := range map[string]string{"": "which topic? name one: grow TOPIC", "a": "", "a b": `"b" is one argument too many: grow TOPIC`} {
		said := ""
		if err := oneTopic(cmd, strings.Fields(args)); err != nil {
			said = err.Error()
		}
		if said != want {
			t.Errorf("%q: %q, want %q", args, said, want)
		}
	}
}

func TestBrokersThatAreNoAddresses(t *testing.T) {
	for text, want := range map[string]bool{"a": true, "a:1": true, "::1": true, "[::1]:9092": true, "": false, "a:b": false, "a:99999": false, "http://a:1": false} {
		if isAddress(text) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

// A partition that cannot be read is named with the reason, in words and not as a part of a request.
func TestAPartitionThatIsNotListedSaysWhy(t *testing.T) {
	listed := []kadm.ListedOffsets{{"t": {0: {Offset: 7}, 1: {Err: kerr.NotLeaderForPartition}}}}
	for p, want := range map[int32]string{0: "", 1: "whether its replicas are there (broker 3, its leader, says NOT_LEADER", 2: "broker 3, its leader, can be reached from here (LEADER_NOT"} {
		said := ""
		if err := untold(topicPartition{"t", p}, 3, listed, nil); err != nil {
			said = err.Error()
		}
		if said != want && (want == "" || !strings.Contains(said, want)) {
			t.Errorf("%d: %q, want %q", p, said, want)
		}
	}
	if err := untold(topicPartition{"t", 2}, -1, listed, nil); err == nil || err.Error() != "t-2 has no leader: chronik cluster status shows why" {
		t.Error(err)
	}
}

// JSON in a table is legible, and no two values look alike.
func TestCells(t *testing.T) {
	for value, want := range map[string]string{`{"a": 3}`: `{"a": 3}`, "": `""`, "null": `"null"`, `"x"`: `"\"x\""`, "a\nb": `"a\nb"`, " a": `" a"`, "\xff": `"\xff"`, `\xff`: `\xff`, "ü": "ü"} {
		if got := cell([]byte(value)); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestALineThatIsNoRecordSaysWhy(t *testing.T) {
	for line, want := range map[string]string{
		`{"value":5}`: "it is no record: value is a JSON number, and is to be text",
		`[]`:          "it is no record: it is a JSON array, and is to be object",
	} {
		if _, err := readRecord([]byte(line)); err == nil || err.Error() != want {
			t.Errorf("%s: %v", line, err)
		}
	}
}
