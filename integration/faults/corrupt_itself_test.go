package faults

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
)

// trialBatches are n batches of two records each.
func trialBatches(t *testing.T, n int) (batches []batch.Batch) {
	t.Helper()
	for i := range n {
		builder := batch.Builder{BaseOffset: int64(2 * i)}
		for j := range 2 {
			builder.Add(&batch.Record{Timestamp: 1, Value: fmt.Append(nil, "record ", i, j)})
		}
		b, err := builder.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, b)
	}
	return batches
}

// shownTrial is a node with one partition of five batches.
func shownTrial(t *testing.T) *shown {
	t.Helper()
	return &shown{
		said:       map[string]string{"topic t": "its id", "commit of g for t/0": "7"},
		partitions: map[string]*shownPartition{"t/0": {end: 10, stable: 10, batches: trialBatches(t, 5)}},
	}
}

const (
	trialFile    = "partitions/5becf83c-13fe-41bd-8229-29cfb493d5e8-0/00000000000000000000.seg"
	trialWAL     = "wal/00000000000000000007.wal"
	trialMessage = "/" + trialFile + " at 5: wrong"
)

// newTrial is one that did no harm.
func newTrial(t *testing.T) *corruptTrial {
	t.Helper()
	b := &corruptBase{
		name: "trial", files: map[string]*stored{trialFile: {}, trialWAL: {}}, means: map[string][]span{trialFile: {{0, 100}}},
		last: map[string][]span{trialWAL: {{50, 60}}}, lastGroup: map[string]int64{"t/0": 8}, killed: true,
	}
	return &corruptTrial{
		base: b, want: shownTrial(t), run: corruptRun{shown: shownTrial(t)},
		injury: injury{file: trialFile, way: bitFlips, spans: []span{{200, 201}}},
	}
}

// shorten takes the batches from n on away, and the log's end with them.
func (c *corruptTrial) shorten(n int) {
	p := c.run.shown.partitions["t/0"]
	p.batches = p.batches[:n]
	p.end, p.stable = int64(2*n), int64(2*n)
}

// fail takes batch n away, and has the reader told.
func (c *corruptTrial) fail(n int, err error) {
	p := c.run.shown.partitions["t/0"]
	p.batches = slices.Delete(p.batches, n, n+1)
	p.failures = append(p.failures, readFailure{int64(2 * n), int64(2*n) + 2, err})
}

// A judge that lets one of these through is of no use.
func TestFaultsCorruptionJudgeFindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *corruptTrial)
		want   string
	}{
		"a wrong byte": {func(c *corruptTrial) {
			b := c.run.shown.partitions["t/0"].batches[2]
			b[len(b)-1] ^= 1
		}, "wrong bytes: served at offset 4"},
		"a byte that no checksum covers": {func(c *corruptTrial) {
			c.run.shown.partitions["t/0"].batches[2][15] ^= 1
		}, "wrong bytes: served at offset 4"},
		"a record lost in the middle": {func(c *corruptTrial) {
			p := c.run.shown.partitions["t/0"]
			p.batches = slices.Delete(p.batches, 1, 2)
		}, "lost: offsets 2 to 3"},
		"a shorter log":    {func(c *corruptTrial) { c.shorten(4) }, "lost: it ends at 8"},
		"more than it had": {func(c *corruptTrial) { c.run.shown.partitions["t/0"].end = 11 }, "lost: it ends at 11"},
		"more than the last group": {func(c *corruptTrial) {
			c.injury.file, c.injury.spans = trialWAL, []span{{55, 56}}
			c.shorten(3)
		}, "lost: it ends at 6"},
		"the last group, which was not hit": {func(c *corruptTrial) {
			c.injury.file, c.injury.spans = trialWAL, []span{{60, 70}}
			c.shorten(4)
		}, "lost: it ends at 8"},
		"a log start that moved":  {func(c *corruptTrial) { c.run.shown.partitions["t/0"].start = 1 }, "it starts at 1"},
		"a lost partition":        {func(c *corruptTrial) { delete(c.run.shown.partitions, "t/0") }, "t/0: lost"},
		"a lost topic":            {func(c *corruptTrial) { delete(c.run.shown.said, "topic t") }, "topic t: it is"},
		"a commit that went back": {func(c *corruptTrial) { c.run.shown.said["commit of g for t/0"] = "6" }, "commit of g"},
		"a phantom":               {func(c *corruptTrial) { c.run.shown.said["topic u"] = "new" }, "topic u"},
		"another error": {func(c *corruptTrial) {
			c.fail(1, kerr.OffsetOutOfRange)
			c.dump, c.run.log = corruptDump{2, trialMessage}, trialMessage
		}, "fails with OFFSET_OUT_OF_RANGE"},
		"an error without a line in the log": {func(c *corruptTrial) {
			c.fail(1, kerr.CorruptMessage)
			c.dump = corruptDump{2, trialMessage}
		}, "no line of the log names"},
		"an error that dump does not find": {func(c *corruptTrial) {
			c.fail(1, kerr.CorruptMessage)
			c.run.log = trialMessage
		}, "dump: found nothing"},
		"a refusal without the file's name": {func(c *corruptTrial) {
			c.run.refused, c.dump = errors.New("it does not work"), corruptDump{2, trialMessage}
		}, "start: the error does not name"},
		"a refusal that dump does not find": {func(c *corruptTrial) { c.run.refused = errors.New(trialMessage) }, "dump: found nothing"},
		"a dump that names another file":    {func(c *corruptTrial) { c.dump = corruptDump{2, "/metalog/raft.db"} }, "does not name"},
		"a dump that failed":                {func(c *corruptTrial) { c.dump = corruptDump{1, ""} }, "dump: ended with 1"},
		"damage that dump does not find":    {func(c *corruptTrial) { c.injury.spans = []span{{99, 101}} }, "dump: found nothing"},
		"a stop that fails":                 {func(c *corruptTrial) { c.run.closing = errors.New("no") }, "stop: no"},
		"deleted records that are back without an older version": {func(c *corruptTrial) {
			p := c.want.partitions["t/0"]
			p.start, p.batches = 3, p.batches[1:]
		}, "it starts at 0"},
		"back to an older version after a clean stop": {func(c *corruptTrial) {
			c.injury.file, c.injury.way, c.base.killed = trialWAL, olderVersion, false
			c.injury.older, c.older = &corruptVersion{same: true}, shownTrial(t)
			c.shorten(4)
		}, "lost: it ends at 8"},
	} {
		trial := newTrial(t)
		c.change(trial)
		if outcome, wrong := trial.judge(); !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, c.want) }) {
			t.Errorf("%s: the judge says %q: %q, want %q", name, outcome, wrong, c.want)
		}
	}
}

func TestFaultsCorruptionJudgeAllows(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *corruptTrial)
		want   string
	}{
		"no harm": {func(*corruptTrial) {}, nothingMeant},
		"a refusal": {func(c *corruptTrial) {
			c.run.refused, c.dump = errors.New(trialMessage), corruptDump{2, trialMessage}
		}, startRefused},
		"a part that is not served": {func(c *corruptTrial) {
			c.fail(1, fmt.Errorf("read: %w", kerr.KafkaStorageError))
			c.dump, c.run.log = corruptDump{2, trialMessage}, trialMessage
		}, notServed},
		"a torn last group": {func(c *corruptTrial) {
			c.injury.file, c.injury.spans = trialWAL, []span{{59, 70}}
			c.shorten(4)
		}, tornTail},
		"records that an older version does not know to be deleted": {func(c *corruptTrial) {
			c.injury.file, c.injury.way, c.base.killed = trialWAL, olderVersion, true
			c.injury.older, c.older = &corruptVersion{same: true}, shownTrial(t)
			p := c.want.partitions["t/0"]
			p.start, p.batches = 3, p.batches[1:]
		}, unnoticedBack},
	} {
		trial := newTrial(t)
		c.change(trial)
		if outcome, wrong := trial.judge(); outcome != c.want || len(wrong) > 0 {
			t.Errorf("%s: the judge says %q: %q, want %q", name, outcome, wrong, c.want)
		}
	}
}

// What is placed is the base with the one injury, and each injury says where it is.
func TestFaultsCorruptionInjuriesAreWhatTheySay(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	noise := func(n int) *stored {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return &stored{size: int64(n) + 9000, runs: []storedRun{{0, b}}}
	}
	files := map[string]*stored{trialFile: noise(20000), trialWAL: noise(9000), "metalog/node.id": noise(130), "metalog/lock": {}}
	older := maps.Clone(files)
	older[trialWAL] = noise(5000)
	b := &corruptBase{files: files, versions: []*corruptVersion{{files: older}}, sectors: map[*stored][]int64{}}
	for _, f := range []map[string]*stored{files, older} {
		for _, s := range f {
			b.sectors[s] = s.filled()
		}
	}
	ways := map[string]int{}
	for range 400 {
		i := injure(b, r)
		ways[i.way]++
		dir := t.TempDir()
		if err := i.place(b, dir); err != nil {
			t.Fatal(err)
		}
		left := readTree(t, dir)
		for name, was := range files {
			is := left[name]
			switch {
			case name != i.file && !was.equal(is):
				t.Fatalf("%v: %s is another too", i, name)
			case name == i.file && is == nil && i.way != missingFile:
				t.Fatalf("%v: it is missing", i)
			case name == i.file && is != nil && (was.equal(is) || !is.equal(i.left) || len(i.spans) == 0):
				t.Fatalf("%v: it is what it was, or not what was to be left", i)
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, "wal")); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range corruptWays {
		if ways[w.name] == 0 {
			t.Errorf("never %s", w.name)
		}
	}
}
