package faults

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chronik/wal/campaign"
	"chronik/wal/mutant"
)

// killer is the tests that must fail when the product has a fault, in one package.
type killer struct{ pkg, tests string }

var killers = map[mutant.ID]killer{
	mutant.AckBeforeSync:      {"wal", "TestFaultsNoPowerCutLosesWhatWasDurable"},
	mutant.AckAfterError:      {"wal", "TestAnyErrorEndsTheLog"},
	mutant.SkipDirSync:        {"wal", "TestFaultsNoPowerCutLosesWhatWasDurable"},
	mutant.SkipCheckpointSync: {"wal", "TestFaultsNoPowerCutLosesWhatWasDurable"},
	mutant.AcceptOldFrame:     {"wal", "TestFaultsNoPowerCut|TestATorn"},
	mutant.AcceptTornGroup:    {"wal", "TestFaultsNoPowerCutLosesWhatWasDurable"},
	mutant.CutDamage:          {"wal", "TestNoDamageIsTakenForATornTail"},
	mutant.ForgetDuplicates:   {"cluster/partlog", "TestProducers"},
	mutant.ForgetProducers:    {"cluster/partlog", "TestFaultsNoPowerCutLosesOrInventsARecord|TestCrashAtEveryStep"},
	mutant.LogStartBeforeSync: {"cluster/partlog", "TestFaultsNoPowerCutLosesOrInventsARecord|TestCrashAtEveryStep"},
	mutant.TrimBeforeSync:     {"cluster/partlog", "TestFaultsNoPowerCutLosesOrInventsARecord|TestCrashAtEveryStep"},
	mutant.IndexBeforeData:    {"segment", "TestNothingThatWasSynced|TestFaultsNothingThatWasSynced"},
	mutant.TrustSegments:      {"segment", "TestDamagedDataIsNeverServed"},
	mutant.TrustRaftEntries:   {"metalog", "TestDamagedDirectoryIsRefused|TestWalkGoesOn|TestStatesThat|TestADamagedPage"},
	mutant.AckLostLeadership:  {"cluster/replica", "TestLostLeadershipAnswersProducers"},
	mutant.AckRefusedRecords:  {"cluster/coordinator", "Test"},
	mutant.AckWithoutISR:      {"cluster/replica", "TestAcknowledgedIsEverywhere"},
	mutant.SkipTruncation:     {"cluster/replica", "TestALeaderThatWasCutOff"},
	mutant.KeepDamagedInISR:   {"cluster", "TestReplicasLeave|TestNothingIsForgotten"},
	mutant.TrustOlderDisk:     {"metalog/image", "TestAnOlderDirectory"},
	mutant.FollowBeforeSync:   {"cluster/replica", "TestAFollowerCountsWhenItsDiskHasIt"},
}

// simulated are those that whole nodes in simulated time must show too, within a share.
var simulated = []mutant.ID{mutant.AckBeforeSync, mutant.AckWithoutISR, mutant.ForgetDuplicates}

var simulation = killer{"integration/sim", "TestFaultsSimulatedClusterKeepsItsPromises"}

// Each deliberate fault of the product is caught by its tests, which pass without it: a suite that lets one through
// proves nothing. What a test prints when it does its work is not kept.
func TestFaultsMutants(t *testing.T) {
	for _, id := range mutant.All {
		if killers[id].pkg == "" {
			t.Errorf("nothing is said to catch the mutant %s", id)
		}
	}
	m := &mutants{dir: t.TempDir(), healthy: map[killer]bool{}}
	next, n := 0, len(mutant.All)+len(simulated)
	plan := campaign.Plan{Name: "mutants of the product", Unit: "mutants", Share: n, Soak: n}
	campaign.Run(t, plan, func(t *testing.T, _ uint64) campaign.Counts {
		if at := next % n; at < len(mutant.All) {
			m.catch(t, mutant.All[at], killers[mutant.All[at]])
		} else {
			m.catch(t, simulated[at-len(mutant.All)], simulation)
		}
		next++
		return campaign.Counts{"caught": 1}
	})
}

// mutants builds the tests of each package once, with the mutants in the product, and runs them healthy once.
type mutants struct {
	dir     string
	healthy map[killer]bool
}

func (m *mutants) catch(t *testing.T, id mutant.ID, k killer) {
	t.Helper()
	binary := m.build(t, k.pkg)
	if !m.healthy[k] {
		if out, err := m.run(t, binary, k, "CHRONIK_MUTANT=", "CHRONIK_CAMPAIGN="); err != nil {
			t.Fatalf("without a mutant, %s of %s: %v\n%s", k.tests, k.pkg, err, out)
		}
		m.healthy[k] = true
	}
	// More is tried than without one: what has no chance to be seen in a few states is seen in many.
	out, err := m.run(t, binary, k, "CHRONIK_MUTANT="+string(id), "CHRONIK_CAMPAIGN=share")
	if err == nil {
		t.Fatalf("the mutant %s survives %s of %s", id, k.tests, k.pkg)
	}
	t.Logf("%s: %s", id, firstFailure(out))
}

func (m *mutants) build(t *testing.T, pkg string) string {
	t.Helper()
	binary := filepath.Join(m.dir, strings.ReplaceAll(pkg, "/", "-"))
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	build := exec.Command("go", "test", "-c", "-tags", "mutants", "-o", binary, "chronik/"+pkg)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests of %s: %v\n%s", pkg, err, out)
	}
	return binary
}

func (m *mutants) run(t *testing.T, binary string, k killer, env ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^("+k.tests+")", "-test.failfast", "-test.timeout", "4m")
	cmd.Dir = filepath.Join("..", "..", k.pkg)
	cmd.Env = append(append(os.Environ(), "CHRONIK_SEED=", "CHRONIK_CAMPAIGN_TABLE="), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// firstFailure is the line that says what was caught.
func firstFailure(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "_test.go:") && !strings.Contains(line, "seeds from") || strings.HasPrefix(line, "panic:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(out)
}
