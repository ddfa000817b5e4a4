package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
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
		{"voters that nobody tells", health{}, "ask again before you stop a broker"},
		{"a new disk without a vote", health{quorum: quorum{voters: []int32{1, 2, 3}, late: []int32{2}}}, "broker 2 has no vote on metadata yet"},
	} {
		said := strings.Join(c.health.advice(nil), "\n")
		if !strings.Contains(said, c.want) || c.want != well && strings.Contains(said, well) {
			t.Errorf("%s: %s", c.name, said)
		}
	}
}

// A script that stops one node after the other asks for the exit code.
func TestAClusterThatIsNotWellEndsWithAnError(t *testing.T) {
	three := kadm.Metadata{Controller: 1, Brokers: kadm.BrokerDetails{{NodeID: 1}, {NodeID: 2}, {NodeID: 3}}}
	voters := quorum{voters: []int32{1, 2, 3}}
	held := map[int32]int{1: 5, 2: 5, 3: 5}
	for _, c := range []struct {
		name   string
		health health
		at     kadm.Metadata
		want   string
	}{
		{"all is well", health{quorum: voters, held: held}, three, ""},
		{"moving and drained", health{quorum: quorum{voters: []int32{1, 2, 3}, late: []int32{2}}, drained: map[int32]bool{2: true},
			moving: map[string]moving{"t-0": {}}}, three, ""},
		{"no controller", health{headless: true}, three, "there is no controller"},
		{"voters that nobody tells: one may be down", health{held: held}, three, "nobody says who votes on metadata"},
		{"a broker with replicas is down", health{quorum: voters, held: map[int32]int{1: 5, 4: 5}}, three, "1 broker is down"},
		{"a broker that only votes is down", health{quorum: voters}, kadm.Metadata{Brokers: three.Brokers[:2]}, "1 broker is down"},
		{"no vote", health{quorum: quorum{voters: []int32{1, 2}, late: []int32{3}}}, three, "1 broker has no vote yet"},
		{"offline, and not whole", health{quorum: voters, leaderless: []string{"t-0"}, under: []string{"t-1", "t-2"}}, three,
			"1 partition has no leader, 2 partitions have replicas that are not in sync"},
	} {
		for _, format := range []string{formatTable, formatJSON} {
			var out strings.Builder
			cmd := &cobra.Command{}
			cmd.SetOut(&out)
			err := (&adminFlags{format: format}).showHealth(cmd, &c.health, c.at)
			if out.Len() == 0 || (err == nil) != (c.want == "") || err != nil && err.Error() != "the cluster is not well: "+c.want {
				t.Errorf("%s, as %s: %v\n%s", c.name, format, err, out.String())
			}
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
