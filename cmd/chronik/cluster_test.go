package main

import (
	"strings"
	"testing"
)

// Whoever reads that all is well stops the next node.
func TestAClusterThatCannotBearAnotherStopIsNotSaidToBeWell(t *testing.T) {
	const well = "every partition has a leader and all its replicas in sync"
	for _, c := range []struct {
		name   string
		health health
		want   string
	}{
		{"all is well", health{quorum: quorum{voters: []int32{1, 2, 3}}}, well},
		{"no quorum", health{headless: true}, "chronik cluster recover"},
		{"a new disk without a vote", health{quorum: quorum{voters: []int32{1, 2, 3}, late: []int32{2}}}, "broker 2 has no vote on metadata yet"},
	} {
		said := strings.Join(c.health.advice(nil), "\n")
		if !strings.Contains(said, c.want) || c.want != well && strings.Contains(said, well) {
			t.Errorf("%s: %s", c.name, said)
		}
	}
}

func TestAWrongCommandIsAnError(t *testing.T) {
	for args, want := range map[string]string{
		"topic crate x":   `there is no "chronik topic crate": chronik topic --help`,
		"cluster sattus":  `there is no "chronik cluster sattus"`,
		"topic grow x":    "how many? write --partitions",
		"topic grow x 3":  `"3" is one argument too many: chronik topic grow TOPIC --partitions number`,
		"topic delete":    "which topics? name them: chronik topic delete TOPIC...",
		"cluster recover": "data directory: chronik cluster recover DATA-DIR",
	} {
		cmd := command(&strings.Builder{})
		cmd.SetArgs(strings.Fields(args))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("chronik %s says %v", args, err)
		}
	}
}
