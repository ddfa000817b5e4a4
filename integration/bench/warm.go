package main

import (
	"fmt"
	"slices"
	"time"
)

// warmth bounds the time before a load counts, for Kafka. What the first has warmed is warm for most of the others.
func (b *bench) warmth(place int, c contest) time.Duration {
	switch {
	case place == 0:
		return b.KafkaWarm
	case b.Quick && !c.slow:
		return 0 // one run
	case c.slow:
		return b.KafkaWarm / 4
	}
	return b.KafkaWarm / 12
}

const (
	warmRun    = 1500 * time.Millisecond // at most: what does not count may be short
	mostNative = 8 * time.Second         // bounds the warming of what is no JVM: it has buffers to fill, and nothing to compile
)

// warmingLine begins a line of what does not count.
const warmingLine = "warming: "

// saying is the bench with something before each line of its progress.
func (b *bench) saying(before string) *bench {
	other := *b
	other.before = before
	return &other
}

// warming is the bench as it runs what does not count.
func (b *bench) warming() *bench {
	w := b.saying(warmingLine)
	w.Duration = min(b.Duration, warmRun)
	return w
}

// warm runs a load on one side until its figures stand still, or for the bound, and says how that was. Kafka takes half of it at
// least: a JVM stands still for a while too before it has compiled what counts. The first run is not in that time: it makes the
// topic, which takes Kafka long where it has many partitions.
func (b *bench) warm(l load, s subject, bound time.Duration) (how []string, err error) {
	var figures []float64
	var began time.Time
	least := bound / 2
	if s.label() != kafkaName {
		bound, least = min(bound, mostNative), 0
	}
	for w := b.warming(); len(figures) == 0 || time.Since(began) < least || !still(figures) && time.Since(began) < bound; {
		m, err := w.turn(l, s)
		if err != nil {
			return nil, err
		}
		if figures = append(figures, l.rows[0].value(m)); len(figures) == 1 {
			began = time.Now()
		}
	}
	switch {
	case len(figures) == 1:
	case still(figures):
		how = append(how, fmt.Sprintf("%s stood still after %.0f s", s.label(), time.Since(began).Seconds()))
	default:
		how = append(how, fmt.Sprintf("%s did not stand still within %.0f s, its last figures were %s", s.label(), bound.Seconds(),
			spread(figures[max(0, len(figures)-stillRuns):], l.rows[0].unit)))
	}
	return how, nil
}

const stillRuns = 4

// still says whether the last figures lie within a tenth.
func still(figures []float64) bool {
	if len(figures) < stillRuns {
		return false
	}
	last := figures[len(figures)-stillRuns:]
	return slices.Max(last)-slices.Min(last) <= median(last)/10
}
