package main

import (
	"errors"
	"fmt"
	"time"
)

// idlePair is what the sides take when nothing is asked of them.
func (b *bench) idlePair(p *pair) error {
	if err := b.pause(3 * time.Second); err != nil {
		return err
	}
	theirs, err := p.kafka.memory("VmRSS")
	own, err1 := p.ours.memory("VmRSS")
	file, err2 := p.ours.memory("RssFile")
	if err := errors.Join(err, err1, err2); err != nil {
		return err
	}
	b.memoryOf(p, "idle resident memory", "30 MiB", theirs, own).why = fmt.Sprintf("of it %.1f MiB are pages of the program's file", file)
	const window = 2 * time.Second
	k0, err := p.kafka.cpu()
	o0, err1 := p.ours.cpu()
	paused := b.pause(window)
	k1, err2 := p.kafka.cpu()
	o1, err3 := p.ours.cpu()
	share := func(from, to float64) string { return fmt.Sprintf("%.1f %%", 100*(to-from)/window.Seconds()) }
	b.result.line(nodesText(p.nodes)+": CPU when idle, of one core", "", share(k0, k1), share(o0, o1), "")
	return errors.Join(err, err1, err2, err3, paused)
}

// A peak is the most that a side had resident, in MiB.
type peak struct {
	most, before float64 // before the load under which it came to that
	load         string
}

// peaked notes what a load had ours come to.
func (p *pair) peaked(l load) error {
	now, err := p.ours.memory("VmHWM")
	if now > p.peak.most {
		p.peak = peak{now, p.peak.most, l.name}
	}
	return err
}

// peakMemory is the most that the loads have had the sides use.
func (b *bench) peakMemory(p *pair) error {
	theirs, err := p.kafka.memory("VmHWM")
	if err != nil || p.peak.load == "" { // every load has failed
		return err
	}
	e := b.memoryOf(p, "greatest resident memory under these loads", "256 MiB", theirs, p.peak.most)
	e.why = fmt.Sprintf("it came to that under %q", p.peak.load)
	if p.peak.before > 0 {
		e.why += fmt.Sprintf(", and to at most %.0f MiB under the loads before that one", p.peak.before)
	}
	return nil
}

// memoryOf adds a row; the target is that of one node.
func (b *bench) memoryOf(p *pair, what, target string, theirs, own float64) *entry {
	if p.nodes > 1 {
		target = ""
	}
	return b.result.put(entry{load: nodesText(p.nodes), measure: what, unit: "MiB", target: target,
		promised: b.result.promised, against: []float64{theirs}, real: []float64{own}, ratio: true})
}

func nodesText(nodes int) string {
	if nodes == 1 {
		return "one node"
	}
	return "three nodes"
}
