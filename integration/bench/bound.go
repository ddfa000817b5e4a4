package main

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// nullName is the null sink's: the same server, which writes nothing to disk. What it reaches, no disk would let Chronik pass.
const nullName = "null sink"

// usage is what a run took.
type usage struct {
	server, client float64 // CPU seconds; the client's with those of what goes on beside it
	written        float64 // bytes, to disk
	took           float64 // seconds
}

// using measures what it takes to do something with a server. The clients are this process, and those that it starts.
func using(s subject, do func() error) (u usage, err error) {
	began, own := time.Now(), ownCPU()
	cpu, err := s.cpu()
	written, writtenErr := s.written()
	if err = errors.Join(err, writtenErr); err != nil {
		return u, err
	}
	if err := do(); err != nil {
		return u, err
	}
	u.took, u.client = time.Since(began).Seconds(), ownCPU()-own
	u.server, err = s.cpu()
	u.written, writtenErr = s.written()
	u.server, u.written = u.server-cpu, u.written-written
	return u, errors.Join(err, writtenErr)
}

// share is so many CPU seconds in percent of those that the machine had.
func (u usage) share(seconds float64) float64 {
	return 100 * seconds / (u.took * float64(runtime.NumCPU()))
}

// ownCPU is the CPU time of this process and of those that it has started and waited for, in seconds.
func ownCPU() (sum float64) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if unix.Getrusage(who, &r) != nil {
			return unknown
		}
		sum += time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
	}
	return sum
}

// missed says whether the row has a target that it does not reach.
func (e entry) missed() bool {
	c := e.cells()
	return verdict(e.target, c.real, c.ratio) == missed
}

// nullCell is what the null sink reached.
func (e entry) nullCell() string {
	if len(e.null) == 0 {
		return ""
	}
	return spread(e.null, e.unit)
}

// bound is what keeps a row from its target, as far as it was measured: whether a server that does not write reaches it, what a write
// takes by itself, and who took the machine's CPU time.
func (e entry) bound() string {
	if !e.missed() {
		return ""
	}
	var said []string
	if len(e.null) > 0 {
		of := digits(median(percents(e.real, e.null)))
		if e.nullMisses() {
			said = append(said, fmt.Sprintf("not writing alone, for the null sink misses it too: Chronik has %s %% of what it has", of))
		} else {
			said = append(said, fmt.Sprintf("writing, for the null sink meets it: Chronik has %s %% of what it has", of))
		}
	}
	if e.sync.p99 > 0 && e.unit == "ms" {
		said = append(said, fmt.Sprintf("one synced write of %d KiB at a time, beside the null sink's load, takes %s ms at p50 and %s ms at p99 on this disk",
			probeGroup>>10, digits(e.sync.p50), digits(e.sync.p99)))
	}
	if client := median(e.client); client > 0 { // it is neither missing nor unknown
		said = append(said, fmt.Sprintf("of the machine's CPU time the client took %.0f %%%s", client, serverText(median(e.server))))
	}
	if written := median(e.written); written >= 1 {
		disk := ""
		if e.disk > 0 {
			disk = fmt.Sprintf(", of %.0f that it takes in writes of 1 MiB", e.disk)
		}
		said = append(said, fmt.Sprintf("to disk went %.0f MB/s%s", written, disk))
	}
	if e.why != "" {
		said = append(said, e.why)
	}
	if len(said) == 0 {
		return "nothing was measured that says it"
	}
	return strings.Join(said, "; ")
}

func serverText(share float64) string {
	if math.IsNaN(share) {
		return ""
	}
	return fmt.Sprintf(", Chronik %.0f %%", share)
}

// nullMisses says whether the null sink would not meet the row's target in Chronik's place.
func (e entry) nullMisses() bool {
	ratio := ""
	if e.ratio && len(e.against) > 0 {
		ratio = spread(percents(e.null, e.against), "%")
	}
	return verdict(e.target, spread(e.null, e.unit), ratio) == missed
}
