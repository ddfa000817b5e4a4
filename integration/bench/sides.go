package main

import (
	"errors"
	"path/filepath"
	"slices"
)

// A pair is the two sides. The fleets are nil where the brokers are elsewhere.
type pair struct {
	kafka, ours           subject
	null                  subject // nil where it has none
	kafkaFleet, oursFleet *fleet
	fleets                []*fleet // of all of them
	nodes                 int
	kafkaRecords          float64 // the most that Kafka takes in a second
	peak                  peak    // of ours
}

// sides starts all that the plan's loads need. What it returns is to be killed, also with an error.
func (b *bench) sides(dir string, plan plan) (p *pair, err error) {
	p = &pair{nodes: plan.nodes}
	if p.kafkaFleet, err = b.kafkas(filepath.Join(dir, "kafka"), p.nodes); err != nil {
		return p, err
	}
	if p.oursFleet, err = b.chroniks(filepath.Join(dir, "chronik"), p.nodes); err != nil {
		return p, err
	}
	p.kafka, p.ours, b.dataDir = p.kafkaFleet, p.oursFleet, dir
	p.fleets = []*fleet{p.kafkaFleet, p.oursFleet}
	if slices.ContainsFunc(plan.loads, contest.onNull) {
		null, err := b.chronikFleet(nullName, "chronik-server-null", filepath.Join(dir, "null"), p.nodes)
		if err != nil {
			return p, err
		}
		p.null, p.fleets = null, append(p.fleets, null)
	}
	for _, f := range p.fleets {
		if err := errors.Join(f.start(b.ctx), f.ready(b.ctx)); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *pair) kill() {
	for _, f := range p.fleets {
		f.kill()
	}
}

// remote is a side that runs elsewhere.
type remote struct{ name, bootstrap string }

func (r remote) label() string                  { return r.name }
func (r remote) brokers() string                { return r.bootstrap }
func (r remote) cpu() (float64, error)          { return unknown, nil }
func (r remote) written() (float64, error)      { return unknown, nil }
func (r remote) memory(string) (float64, error) { return unknown, nil }
