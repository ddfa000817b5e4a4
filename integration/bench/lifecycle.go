package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A measure is what is no load.
type measure struct {
	name  string
	nodes int
	quick bool
	round time.Duration // that a round takes on both sides, about
	run   func(b *bench, p *pair) error
}

const restartMeasure = "stop and restart"

var measures = []measure{
	{"start", 1, true, 3 * time.Second, (*bench).starting},
	{restartMeasure, 1, false, 20 * time.Second, (*bench).restarting},
	{"topic creation", 1, false, 10 * time.Second, (*bench).creation},
	{"rebalance of 100 members", 1, false, 10 * time.Second, (*bench).rebalance},
	{"leader kill -9", fleetSize, false, 20 * time.Second, func(b *bench, p *pair) error {
		if err := b.gapsTopics(p.kafkaFleet, p.oursFleet); err != nil {
			return err
		}
		return b.gapsOf(blows[0], p.kafkaFleet, p.oursFleet)
	}},
}

// timed is what was measured in time, on the two sides.
type timed struct {
	load, measure, target string
	seconds               [2][]float64
	why                   string // what is known of what bounds it
}

// timed adds it, in milliseconds.
func (b *bench) timed(t timed) {
	e := entry{load: t.load, measure: t.measure, unit: "ms", promised: "–", ratio: true, why: t.why}
	if t.target != "" {
		e.target = t.target + " ms"
	}
	for i, into := range []*[]float64{&e.against, &e.real} {
		for _, s := range t.seconds[i] {
			*into = append(*into, 1000*s)
		}
	}
	b.result.put(e)
	c := e.cells()
	fmt.Fprintf(b.progress, "%-50s Kafka %s, Chronik %s\n", e.what(), c.against, c.real)
}

const startMeasure = "start to the first acknowledged record"

// starting measures how long one has to wait for a new node.
func (b *bench) starting(*pair) error {
	empty := timed{load: startMeasure, measure: "empty directory", target: "150"}
	var listening [2][]float64
	for round := range b.Rounds {
		err := b.eachAlone(fmt.Sprint("start", round), func(side int, f *fleet) error {
			ms, err := b.startTimed(f, &empty.seconds[side])
			listening[side] = append(listening[side], ms)
			return err
		})
		if err != nil {
			return err
		}
	}
	empty.why = "connections are taken after " + spread(listening[1], "ms")
	b.timed(empty)
	return nil
}

// restarting is stops and starts of a node that holds a lot.
func (b *bench) restarting(*pair) error {
	holding := fmt.Sprintf("%.1f GiB", float64(b.RestartFill)/1024)
	stop := timed{load: "stop in order", measure: holding}
	after := timed{load: startMeasure, measure: holding + ", after a stop in order"}
	killed := timed{load: startMeasure, measure: holding + ", after kill -9"}
	err := b.eachAlone("restart", func(side int, f *fleet) error {
		if err := f.start(b.ctx); err != nil {
			return err
		}
		return b.restarts(f, &stop.seconds[side], &after.seconds[side], &killed.seconds[side])
	})
	if err != nil {
		return err
	}
	for _, t := range []timed{stop, after, killed} {
		b.timed(t)
	}
	return nil
}

// eachAlone does something with a node of each side that is there for nothing else, and removes what it held.
func (b *bench) eachAlone(dir string, do func(side int, f *fleet) error) error {
	for side, make := range []func(string, int) (*fleet, error){b.kafkas, b.chroniks} {
		at := filepath.Join(b.dataDir, fmt.Sprint(dir, "-", side))
		f, err := make(at, 1)
		if err != nil {
			return err
		}
		err = do(side, f)
		f.kill()
		if err := errors.Join(err, os.RemoveAll(at), b.settle()); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

func (b *bench) restarts(f *fleet, stop, after, killed *[]float64) error {
	holding := *b
	holding.Fill = b.RestartFill
	if err := holding.fill(f, kept(12, 1), coldTopic); err != nil {
		return err
	}
	for range b.Rounds {
		began := time.Now()
		if err := f.nodes[0].stop(); err != nil {
			return err
		}
		*stop = append(*stop, time.Since(began).Seconds())
		if _, err := b.startTimed(f, after); err != nil {
			return err
		}
		f.kill()
		if _, err := b.startTimed(f, killed); err != nil {
			return err
		}
	}
	return nil
}

// startTimed also returns how long it took until connections were taken, in ms.
func (b *bench) startTimed(f *fleet, seconds *[]float64) (listening float64, err error) {
	began := time.Now()
	err = f.start(b.ctx)
	listening = 1000 * time.Since(began).Seconds()
	if err == nil {
		err = firstRecord(b.ctx, f.nodes[0].addr)
	}
	*seconds = append(*seconds, time.Since(began).Seconds())
	return listening, err
}

// creation measures how long it takes until every partition of new topics has acknowledged a record.
func (b *bench) creation(p *pair) error {
	for _, size := range []struct {
		topics     int
		partitions int32
		rounds     int
	}{{1, 1, b.Rounds}, {1, 1000, b.Rounds}, {10, 1000, 1}} {
		t := timed{load: "topic creation, and a record acknowledged in each partition", measure: partitionsText(size.topics * int(size.partitions))}
		for range size.rounds {
			for side, f := range []*fleet{p.kafkaFleet, p.oursFleet} {
				var names []string
				for i := range size.topics {
					names = append(names, fmt.Sprint("created", i))
				}
				began := time.Now()
				for _, name := range names { // Kafka takes no request for ten thousand
					if err := f.create(b.ctx, size.partitions, name); err != nil {
						return err
					}
				}
				if err := f.oneEach(b.ctx, size.partitions, names...); err != nil {
					return err
				}
				t.seconds[side] = append(t.seconds[side], time.Since(began).Seconds())
				err := f.admin(func(a *kadm.Client) error {
					_, err := a.DeleteTopics(b.ctx, names...)
					return err
				})
				if err := errors.Join(err, b.settle()); err != nil {
					return err
				}
			}
		}
		b.timed(t)
	}
	return nil
}
