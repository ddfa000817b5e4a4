package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A meter counts records and their latencies. One goroutine owns it.
type meter struct {
	from      int64 // what was to be sent before is warm-up
	histogram *hdrhistogram.Histogram
	records   int64
	bytes     int64 // of values
	last      int64 // when the last one was measured
}

const longestLatency = int64(time.Hour)

func newMeter(from int64) *meter {
	return &meter{from: from, histogram: hdrhistogram.New(int64(time.Microsecond), longestLatency, 3)}
}

// record measures a record that was to be sent at intended; all times in nanoseconds since 1970.
func (m *meter) record(intended, now int64, size int) { m.batch(intended, now, 1, size) }

// batch measures records of size bytes in all that were sent as one.
func (m *meter) batch(intended, now int64, records, size int) {
	if intended < m.from {
		return
	}
	m.records += int64(records)
	m.bytes += int64(size)
	m.last = now
	_ = m.histogram.RecordValue(min(max(now-intended, 0), longestLatency)) // it fails only out of range
}

func (m *meter) merge(o *meter) {
	m.histogram.Merge(o.histogram)
	m.records += o.records
	m.bytes += o.bytes
	m.last = max(m.last, o.last)
}

// throughput is what a meter, or several merged ones, measured.
type throughput struct {
	Records       int64     `json:"records"`
	Bytes         int64     `json:"bytes"`
	Seconds       float64   `json:"seconds"`
	RecordsPerSec float64   `json:"records_per_second"`
	MBPerSec      float64   `json:"mb_per_second"` // 10^6 bytes of values
	Latency       latencies `json:"latency_ms"`
}

type latencies struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

func (m *meter) throughput() throughput {
	t := throughput{Records: m.records, Bytes: m.bytes, Seconds: time.Duration(m.last - m.from).Seconds()}
	if m.records == 0 {
		t.Seconds = 0
		return t
	}
	t.RecordsPerSec = float64(t.Records) / t.Seconds
	t.MBPerSec = float64(t.Bytes) / 1e6 / t.Seconds
	ms := func(percentile float64) float64 { return float64(m.histogram.ValueAtPercentile(percentile)) / 1e6 }
	t.Latency = latencies{ms(50), ms(90), ms(99), ms(99.9), float64(m.histogram.Max()) / 1e6}
	return t
}

// A gap is a time without any acknowledgement.
type gap struct {
	At      float64 `json:"at_seconds"` // since the run began
	Seconds float64 `json:"seconds"`
}

const (
	notableGap = 500 * time.Millisecond
	maxGaps    = 1000
)

// gapMeter sees the acknowledgements of all producers.
type gapMeter struct {
	start, last atomic.Int64
	longest     atomic.Int64
	mu          sync.Mutex
	notable     []gap
}

func newGapMeter(now int64) *gapMeter {
	g := new(gapMeter)
	g.start.Store(now)
	g.last.Store(now)
	return g
}

func (g *gapMeter) acked(now int64) {
	length := now - g.last.Swap(now)
	if length <= g.longest.Load() && length < int64(notableGap) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest.Store(max(g.longest.Load(), length))
	if length >= int64(notableGap) && len(g.notable) < maxGaps {
		at := time.Duration(now - length - g.start.Load())
		g.notable = append(g.notable, gap{at.Seconds(), time.Duration(length).Seconds()})
	}
}

// longestBy includes the time since the last acknowledgement.
func (g *gapMeter) longestBy(now int64) time.Duration {
	return time.Duration(max(g.longest.Load(), now-g.last.Load()))
}

// errorCounts counts what clients report, by text.
type errorCounts struct {
	mu    sync.Mutex
	texts map[string]int64
	total int64
}

const maxErrorTexts = 50

func (e *errorCounts) add(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.texts == nil {
		e.texts = make(map[string]int64)
	}
	text := err.Error()
	if _, known := e.texts[text]; !known && len(e.texts) == maxErrorTexts {
		text = "others"
	}
	e.texts[text]++
	e.total++
}
