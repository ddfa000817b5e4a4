package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// table is what is said around the rows.
type table struct {
	title, intro string // the intro's lines end with a newline
	head         string // of the columns behind the target
}

var durability = table{"What durability costs",
	"Written by `make bench-e2e`: the server against the null sink, the same server that writes nothing to disk. Medians\n" +
		"with the least and the greatest of the rounds; a ratio is the median of the ratios of each round. Clients run on the\n" +
		"same machine, so a saturated one says little of a server alone: CPU per GB says more.\n",
	"null sink | server | server / null"}

// An entry is a row of the table: figures of rounds, or text where it was measured another way.
type entry struct {
	load, measure, unit, target string
	promised                    string    // by what it is measured against, before it acknowledges; empty: the table does not ask
	against, real               []float64 // of the rounds, in pairs when both are there
	null                        []float64 // of the null sink, in the first of the rounds, where the table asks
	client, server              []float64 // in percent of the machine's CPU time, while ours ran
	written                     []float64 // MB/s, by ours to disk
	disk                        float64   // MB/s that the disk takes; zero where it was not measured
	sync                        latency   // of a write by itself
	ratio                       bool      // what counts is ours as a share of the other's, pair by pair
	text                        cells     // instead of the figures
	why                         string    // what more is known of what bounds it
}

// cells are what a row says of its figures.
type cells struct{ against, real, ratio string }

func (e entry) what() string {
	if e.measure == "" {
		return e.load
	}
	return e.load + ": " + e.measure
}

// ratios are in percent, one of each round, whose two runs met the same machine.
func (e entry) ratios() []float64 { return percents(e.real, e.against) }

// percents are the one's as shares of the other's, pair by pair.
func percents(ones, others []float64) (all []float64) {
	for i := range min(len(ones), len(others)) {
		all = append(all, 100*ones[i]/others[i])
	}
	return all
}

func (e entry) cells() cells {
	if len(e.real) == 0 {
		return e.text
	}
	c := cells{real: spread(e.real, e.unit)}
	if len(e.against) > 0 {
		c.against = spread(e.against, e.unit)
	}
	if e.ratio && len(e.against) > 0 {
		c.ratio = spread(e.ratios(), "%")
	}
	return c
}

// markdown is the row. The target of a column that has none is empty.
func (e entry) markdown() string {
	c, promised, null := e.cells(), "", ""
	if e.promised != "" {
		promised = e.promised + " | "
		null = fmt.Sprintf(" %s | %s |", e.nullCell(), e.bound())
	}
	return fmt.Sprintf("| %s | %s%s | %s%s | %s | %s |%s", e.what(), e.target, verdict(e.target, c.real, c.ratio), promised, c.against, c.real, c.ratio, null)
}

// result is the table as it grows.
type result struct {
	table
	began    time.Time
	machine  string
	busy     []string // the machine's load averages at the beginning and at the end
	notes    []string // of how it was measured
	warm     []string // how each load was warmed
	entries  []entry
	profiles []profiled
	promised string  // by the other side at rows of text, where the table asks
	one      float64 // MB/s with one partition, to compare with
	disk     float64 // MB/s that it takes; zero where it was not measured
}

func newResult(t table, dir string) *result {
	return &result{table: t, began: time.Now(), machine: machine(dir), busy: []string{loadAverage()}}
}

func (r *result) end() { r.busy = append(r.busy, loadAverage()) }

func (r *result) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// warmed says how the sides were, of which those that ran once are not in it.
func (r *result) warmed(l load, how []string) {
	if len(how) > 0 {
		r.warm = append(r.warm, l.name+": "+strings.Join(how, "; "))
	}
}

// line adds a row of text.
func (r *result) line(what, target, null, real, ratio string) *entry {
	return r.put(entry{load: what, target: target, promised: r.promised, text: cells{null, real, ratio}})
}

// put adds a row; what it returns is good until the next one.
func (r *result) put(e entry) *entry {
	r.entries = append(r.entries, e)
	return &r.entries[len(r.entries)-1]
}

// verdict says whether the target was met: a rate or a share is to be reached, anything else not to be passed.
func verdict(target, real, ratio string) string {
	if strings.Contains(target, "%") && ratio != "" {
		real = ratio
	}
	limit, atMost := strings.CutPrefix(target, "at most ")
	var want, is float64
	if _, err := fmt.Sscan(strings.ReplaceAll(limit, ",", ""), &want); err != nil {
		return "" // there is none, or it is no number
	}
	if _, err := fmt.Sscan(real, &is); err != nil {
		return ""
	}
	atLeast := !atMost && (strings.Contains(target, "% of") || strings.HasSuffix(target, "/s"))
	if is == want || is > want == atLeast {
		return ": met"
	}
	return missed
}

const missed = ": **missed**"

// add adds the rows of a load.
func (r *result) add(l load, against, real, null []measured, sync latency) {
	for _, row := range l.rows {
		e := entry{load: l.name, measure: row.text, unit: row.unit, target: row.target, promised: l.promised,
			against: each(against, row.value), real: each(real, row.value), null: each(null, row.value), disk: r.disk, sync: sync, ratio: row.ratio,
			client:  each(real, func(m measured) float64 { return m.clientShare }),
			server:  each(real, func(m measured) float64 { return m.serverShare }),
			written: each(real, func(m measured) float64 { return m.written })}
		if e.target != "" && !strings.ContainsAny(e.target, "%/") {
			e.target += " " + row.unit
		}
		r.put(e)
		r.partitions(l, row, median(e.real))
	}
}

// partitions adds what many partitions cost once both loads that say it are done.
func (r *result) partitions(l load, row row, value float64) {
	switch {
	case row.unit != "MB/s" || !strings.Contains(l.args, "--batch 16384"):
	case strings.HasSuffix(l.name, "1 partition"):
		r.one = value
	case r.one > 0:
		r.line("1,000 partitions against 1", "90 % of it", "", fmt.Sprintf("%.0f %%", 100*value/r.one), "")
	}
}

func each(all []measured, value func(measured) float64) (values []float64) {
	for _, m := range all {
		values = append(values, value(m))
	}
	return values
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// percentile is of values in order.
func percentile(sorted []float64, percent int) float64 { return sorted[(len(sorted)*percent-1)/100] }

// spread is the median with the least and the greatest, where there are several.
func spread(values []float64, unit string) string {
	if len(values) == 1 {
		return digits(values[0]) + " " + unit
	}
	return fmt.Sprintf("%s %s (%s to %s)", digits(median(values)), unit, digits(slices.Min(values)), digits(slices.Max(values)))
}

// digits has three that count.
func digits(v float64) string {
	switch {
	case math.IsNaN(v), math.IsInf(v, 0): // the other side did nothing at all
		return "unknown"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *result) text(failure error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", r.title, r.intro)
	fmt.Fprintf(&b, "- %s\n- %s\n- load averages of 1, 5 and 15 minutes before and after: %s\n",
		r.began.UTC().Format("2006-01-02 15:04 MST"), r.machine, strings.Join(r.busy, "; "))
	for _, n := range r.notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	b.WriteString("\n" + r.rows(r.entries))
	if len(r.warm) > 0 {
		b.WriteString("\nHow the sides were warmed before each load:\n\n")
		for _, w := range r.warm {
			fmt.Fprintf(&b, "- %s\n", w)
		}
	}
	if failure != nil {
		b.WriteString("\nThe run did not come to its end.\n")
	}
	return b.String()
}

// rows is a table of some of the entries.
func (r *result) rows(entries []entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| load | target | %s |\n|---|---|%s\n", r.head, strings.Repeat("---|", strings.Count(r.head, "|")+1))
	for _, e := range entries {
		b.WriteString(e.markdown() + "\n")
	}
	return b.String()
}

// machine describes the machine without naming it.
func machine(dir string) string {
	model := field("/proc/cpuinfo", "model name")
	if model == "" {
		model = runtime.GOARCH
	}
	var release unix.Utsname
	kernel := "unknown"
	if unix.Uname(&release) == nil {
		kernel = unix.ByteSliceToString(release.Release[:])
	}
	return fmt.Sprintf("%d CPUs (%s), memory %s, %s %s, data on %s, %s", runtime.NumCPU(), model,
		field("/proc/meminfo", "MemTotal"), runtime.GOOS, kernel, fileSystem(dir), runtime.Version())
}

func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

const memoryFileSystem = "tmpfs"

func fileSystem(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "an unknown file system"
	}
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: memoryFileSystem, unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}
	if name, ok := names[int64(st.Type)]; ok {
		return name
	}
	return fmt.Sprintf("a file system of type %#x", st.Type)
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
