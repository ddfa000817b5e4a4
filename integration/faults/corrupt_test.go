package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

// Whatever happens to a file of a stopped node: the start is refused with its name, or what was hit is not served and
// named, or nothing was lost. Never other bytes, a record or a topic less, an offset that goes back, or a panic; and
// chronik dump --verify finds what the node finds.
func TestFaultsCorruption(t *testing.T) {
	bases := corruptBases(t)
	c := &corruption{bases: bases, chronik: broker.Command(t, "chronik")}
	campaign.Run(t, campaign.Plan{
		Name: "damaged files", Unit: "injuries", Glance: 20, Share: 500, Soak: 10_000, Workers: 2,
	}, c.cycle)
}

type corruption struct {
	bases   []*corruptBase
	chronik string // the command
}

func (c *corruption) cycle(t *testing.T, seed uint64) campaign.Counts {
	r := rand.New(rand.NewPCG(seed, 17))
	b := c.bases[weighted(r, len(c.bases), func(i int) int { return []int{6, 5, 2, 1}[i] })]
	work, err := os.MkdirTemp(inMemory(), "chronik-damaged-")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(work, "data")
	trial := &corruptTrial{base: b, injury: injure(b, r)}
	if err := trial.injury.place(b, dir); err != nil {
		t.Fatal(err)
	}
	trial.dump = c.dump(t, dir)
	counts := campaign.Counts{}
	if r.IntN(processEvery) == 0 {
		trial.askServer(t, dir)
		counts["with a process and a client"] = 1
	} else {
		trial.askNode(t, dir)
	}
	outcome, wrong := trial.judge()
	if r.IntN(againEvery) == 0 && len(wrong) == 0 {
		counts["started twice"] = 1
		wrong = trial.again(t, dir, outcome)
	}
	counts[outcome], counts["in "+trial.injury.class], counts[trial.injury.way] = 1, 1, 1
	for _, problem := range wrong {
		t.Errorf("%s", problem)
	}
	if len(wrong) > 0 {
		if err := trial.injury.place(b, filepath.Join(work, "injured")); err != nil {
			t.Error(err)
		}
		t.Fatalf("base %q, %v: %s\nthe folder is kept, as it was (injured) and as it is (data): %s\nstart: %v\ndump ended with %d: %s\nlog: %s",
			b.name, trial.injury, outcome, work, trial.run.refused, trial.dump.code, head(trial.dump.text, 12), head(trial.run.log, 12))
	}
	if err := os.RemoveAll(work); err != nil {
		t.Fatal(err)
	}
	return counts
}

// One in how many times the broker runs as a process of its own, and is started once more.
const (
	processEvery = 40
	againEvery   = 10
)

// again starts on what the first start has left: nothing may have become worse, and what was refused is refused.
func (c *corruptTrial) again(t *testing.T, dir, outcome string) (wrong []string) {
	second := *c
	second.askNode(t, dir)
	became, wrong := second.judge()
	if became != outcome {
		wrong = append(wrong, fmt.Sprintf("again: it was %q, and the next time %q: %v", outcome, became, second.run.refused))
	}
	c.run = second.run
	return wrong
}

func (c *corruptTrial) askNode(t *testing.T, dir string) {
	if c.want = c.base.want; c.injury.older != nil {
		c.older = c.injury.older.want
	}
	c.run = runNode(t.Context(), dir, c.want)
}

func (c *corruptTrial) askServer(t *testing.T, dir string) {
	if c.want = c.base.asked; c.injury.older != nil {
		c.older = c.injury.older.asked
	}
	c.run = runServer(t, dir, c.want)
}

// dump verifies the directory with the command.
func (c *corruption) dump(t *testing.T, dir string) corruptDump {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), corruptPatience)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, c.chronik, "dump", "--verify", dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(out.String(), dir, "")
	if strings.Contains(text, "goroutine ") {
		t.Errorf("dump ended in a panic")
	}
	return corruptDump{cmd.ProcessState.ExitCode(), text}
}

// head is the first lines of a text.
func head(text string, lines int) string {
	all := strings.SplitAfterN(text, "\n", lines+1)
	return strings.Join(all[:min(lines, len(all))], "")
}
