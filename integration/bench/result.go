package main

import (
	"fmt"
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
	head         string // of the last three columns
}

var durability = table{"What durability costs",
	"Written by `make bench-e2e`: the server against the null sink, the same server that writes nothing to disk. Medians\n" +
		"with the least and the greatest of the rounds; a ratio is the median of the ratios of each round. Clients run on the\n" +
		"same machine, so a saturated one says little of a server alone: CPU per GB says more.\n",
	"null sink | server | server / null"}

// result is the table as it grows.
type result struct {
	table
	began   time.Time
	machine string
	busy    []string // the machine's load averages at the beginning and at the end
	lines   []string
	one     float64 // MB/s with one partition, to compare with
}

func newResult(t table, dir string) *result {
	return &result{table: t, began: time.Now(), machine: machine(dir), busy: []string{loadAverage()}}
}

func (r *result) end() { r.busy = append(r.busy, loadAverage()) }

// line adds a row of the table.
func (r *result) line(what, target, null, real, ratio string) {
	r.lines = append(r.lines, fmt.Sprintf("| %s | %s%s | %s | %s | %s |", what, target, verdict(target, real, ratio), null, real, ratio))
}

// verdict says whether the target was met: a rate or a share is to be reached, anything else not to be passed.
func verdict(target, real, ratio string) string {
	if strings.Contains(target, "%") && ratio != "" {
		real = ratio
	}
	var want, is float64
	if _, err := fmt.Sscan(strings.ReplaceAll(target, ",", ""), &want); err != nil {
		return "" // there is none, or it is no number
	}
	if _, err := fmt.Sscan(real, &is); err != nil {
		return ""
	}
	if atLeast := strings.Contains(target, "% of") || strings.HasSuffix(target, "/s"); is == want || is > want == atLeast {
		return ": met"
	}
	return ": **missed**"
}

// add adds the rows of a load. A ratio is the median of those of each round, whose two runs met the same machine.
func (r *result) add(l load, null, real []measured) {
	for _, row := range l.rows {
		values, against := each(real, row.value), each(null, row.value)
		var ratio, nullText string
		if len(against) > 0 {
			nullText = spread(against, row.unit)
		}
		if row.ratio && len(against) > 0 {
			var ratios []float64
			for i := range values {
				ratios = append(ratios, 100*values[i]/against[i])
			}
			ratio = spread(ratios, "%")
		}
		target := row.target
		if target != "" && !strings.ContainsAny(target, "%/") {
			target += " " + row.unit
		}
		r.line(l.name+": "+row.text, target, nullText, spread(values, row.unit), ratio)
		r.partitions(l, row, median(values))
	}
}

// partitions adds what many partitions cost once both loads that say it are done.
func (r *result) partitions(l load, row row, value float64) {
	switch {
	case !row.ratio || !strings.Contains(l.args, "--batch 16384"):
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

// spread is the median with the least and the greatest.
func spread(values []float64, unit string) string {
	return fmt.Sprintf("%s %s (%s to %s)", digits(median(values)), unit, digits(slices.Min(values)), digits(slices.Max(values)))
}

// digits has three that count.
func digits(v float64) string {
	switch {
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
	fmt.Fprintf(&b, "- %s\n- %s\n- load averages of 1, 5 and 15 minutes before and after: %s\n\n",
		r.began.UTC().Format("2006-01-02 15:04 MST"), r.machine, strings.Join(r.busy, "; "))
	fmt.Fprintf(&b, "| load | target | %s |\n|---|---|---|---|---|\n", r.head)
	for _, l := range r.lines {
		b.WriteString(l + "\n")
	}
	if failure != nil {
		b.WriteString("\nThe run did not come to its end.\n")
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

func fileSystem(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "an unknown file system"
	}
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}
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
