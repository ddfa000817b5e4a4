package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is what a run prints; its JSON names are public.
type report struct {
	Run      string         `json:"run,omitempty"`
	Topic    string         `json:"topic"`
	Produce  *produceReport `json:"produce,omitempty"`
	Consume  *consumeReport `json:"consume,omitempty"`
	Fetch    *fetchReport   `json:"fetch,omitempty"`
	Verified *findings      `json:"verified,omitempty"`
	Nothing  string         `json:"nothing_to_verify,omitempty"` // why no acknowledged record was looked for
	Failure  string         `json:"failure,omitempty"`
}

type produceReport struct {
	throughput
	Sent       int64            `json:"sent"` // warm-up included, here and below
	Acked      int64            `json:"acked"`
	LongestGap float64          `json:"longest_gap_seconds"` // without any acknowledgement
	Gaps       []gap            `json:"gaps,omitempty"`      // those of half a second and more
	Errors     map[string]int64 `json:"errors,omitempty"`
}

type consumeReport struct {
	throughput
	EndToEnd bool             `json:"end_to_end"` // else there are no latencies
	Errors   map[string]int64 `json:"errors,omitempty"`
}

func (l *load) report() *produceReport {
	return &produceReport{
		throughput: l.meter().throughput(), Sent: l.sent.Load(), Acked: l.acked.Load(),
		LongestGap: time.Duration(l.gaps.longest.Load()).Seconds(), Gaps: l.gaps.notable, Errors: l.errors.texts,
	}
}

func (rs *readers) report(from int64) *consumeReport {
	return &consumeReport{throughput: rs.meter(from).throughput(), EndToEnd: rs.live, Errors: rs.errors.texts}
}

func (r *report) write(w io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.table(w)
}

func (r *report) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\trecords\tseconds\trecords/s\tMB/s\tp50 ms\tp90\tp99\tp99.9\tmax")
	if p := r.Produce; p != nil {
		p.row(w, "produce", true)
	}
	if c := r.Consume; c != nil && c.EndToEnd {
		c.row(w, "end to end", true)
	} else if c != nil {
		c.row(w, "consume", false)
	}
	if f := r.Fetch; f != nil {
		f.row(w, "responses", true)
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(out, r.notes())
	return err
}

func (t throughput) row(w io.Writer, name string, latency bool) {
	fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f\t%.1f", name, t.Records, t.Seconds, t.RecordsPerSec, t.MBPerSec)
	if l := t.Latency; latency {
		fmt.Fprintf(w, "\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f", l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	fmt.Fprintln(w)
}

func (r *report) notes() string {
	var b strings.Builder
	if p := r.Produce; p != nil {
		fmt.Fprintf(&b, "acknowledged %d of %d sent", p.Acked, p.Sent)
		if p.LongestGap > 0 { // raw does not look for one
			fmt.Fprintf(&b, ", longest gap without an acknowledgement %.3f s", p.LongestGap)
		}
		b.WriteByte('\n')
		for _, g := range p.Gaps {
			fmt.Fprintf(&b, "  none for %.3f s from %.1f s on\n", g.Seconds, g.At)
		}
		writeErrors(&b, "produce", p.Errors)
	}
	if c := r.Consume; c != nil {
		writeErrors(&b, "consume", c.Errors)
	}
	if v := r.Verified; v != nil {
		fmt.Fprintf(&b, "read %d, %d of them not the bench's; of %d acknowledged %d lost, %d at other offsets\n", v.Read, v.Foreign, v.Acked, v.Lost, v.Moved)
		fmt.Fprintf(&b, "%d duplicates, %d reordered, %d corrupt, %d misplaced, %d offsets skipped, %d repeated, %d sequences passed over\n",
			v.Duplicates, v.Reordered, v.Corrupt, v.Misplaced, v.Skipped, v.Repeated, v.Missing)
		for _, e := range v.Examples {
			fmt.Fprintln(&b, " ", e)
		}
	}
	switch {
	case r.Failure != "" || r.Verified == nil:
	case r.Nothing != "":
		fmt.Fprintf(&b, "nothing to verify: %s\n", r.Nothing)
	default:
		b.WriteString("verified\n")
	}
	return b.String()
}

// settle keeps the word "verified" from a run that looked for no acknowledged record.
func (r *report) settle(why string) {
	if r.Verified.Acked == 0 {
		r.Nothing = why
	}
}

func writeErrors(b *strings.Builder, name string, errors map[string]int64) {
	texts := make([]string, 0, len(errors))
	for text, n := range errors {
		texts = append(texts, fmt.Sprintf("  %s error, %d times: %s\n", name, n, text))
	}
	slices.Sort(texts)
	b.WriteString(strings.Join(texts, ""))
}
