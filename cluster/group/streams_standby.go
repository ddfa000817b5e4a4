package group

import (
	"cmp"
	"slices"
)

// worker is a member with what it is given.
type worker struct {
	mem   *streamsMember
	host  *host
	count int
	given roles
}

// host is a process with its members.
type host struct {
	process   string
	workers   []*worker
	tags      []pair // of all its members: they are the process's
	has       map[task]bool
	count     int
	stateless int // active tasks without state
}

func (w *worker) add(role int, t task) {
	w.given[role] = w.given[role].plus(tasks{t.subtopology: {t.partition}})
	w.count++
	w.host.count++
	w.host.has[t] = true
}

// copies says whether w was to have a copy of t.
func (w *worker) copies(t task) bool {
	return w.mem.target[standby].has(t.subtopology, t.partition) || w.mem.target[warmup].has(t.subtopology, t.partition)
}

func (h *host) load() float64 { return float64(h.count) / float64(len(h.workers)) }

// compareLoad puts the process first that has the least for each member, and then the one that has more with state.
func compareLoad(a, b *host) int {
	return cmp.Or(cmp.Compare(a.load(), b.load()),
		cmp.Compare(float64(a.stateless)/float64(len(a.workers)), float64(b.stateless)/float64(len(b.workers))))
}

func (h *host) least() *worker {
	return slices.MinFunc(h.workers, func(a, b *worker) int { return cmp.Compare(a.count, b.count) })
}

func (h *host) tag(name string) (string, bool) {
	for _, t := range h.tags {
		if t.name == name {
			return t.value, true
		}
	}
	return "", false
}

// copies gives standby tasks for tasks with state, none twice to one process.
func (d *distribution) copies(list []task) {
	if d.standbys == 0 {
		return
	}
	type open struct {
		t task
		n int
	}
	var left []open
	slices.SortFunc(list, func(a, b task) int { return byPartition(b, a) })
	for _, t := range list {
		placed := d.apart(t)
		for placed < d.standbys && d.again(t) {
			placed++
		}
		if placed < d.standbys {
			left = append(left, open{t, d.standbys - placed})
		}
	}
	slices.SortFunc(left, func(a, b open) int { return bySubtopology(b.t, a.t) })
	for _, o := range left {
		for range o.n {
			if !d.anywhere(o.t) {
				break // there are not as many processes
			}
		}
	}
}

// copy makes w keep a copy of t.
func (d *distribution) copy(w *worker, t task) {
	w.add(standby, t)
	d.all.reached(w.count)
}

// again gives a copy to who had the task or a copy of it, as long as it has room.
func (d *distribution) again(t task) bool {
	if w := d.wasActive[t]; w != nil && !w.host.has[t] && w.count < d.all.each {
		d.copy(w, t)
		return true
	}
	if w := d.leastLoaded(d.hadCopy[t], &t); w != nil && w.count < d.all.each {
		d.copy(w, t)
		return true
	}
	return false
}

// anywhere gives a copy to the process that has the least to do of those that do not have the task.
func (d *distribution) anywhere(t task) bool {
	var best *host
	for _, h := range d.hosts {
		if !h.has[t] && (best == nil || h.load() < best.load()) {
			best = h
		}
	}
	if best != nil {
		d.copy(best.least(), t)
	}
	return best != nil
}

// apart gives copies to processes whose tags differ from those of all that have the task, and says how many. Of processes
// that differ in as many tags one that had the task or a copy goes first, then the one that has the least to do.
func (d *distribution) apart(t task) (placed int) {
	used := []*host{d.owner[t]}
	for placed < d.standbys {
		var best *host
		for _, h := range d.hosts {
			if !h.has[t] && d.differs(h, used) > 0 && d.room(h) != nil && (best == nil || d.compareApart(t, used, h, best) < 0) {
				best = h
			}
		}
		if best == nil {
			break
		}
		w := d.room(best)
		if former := d.former(t, best); former != nil && former.count < d.all.each {
			w = former
		}
		d.copy(w, t)
		used = append(used, best)
		placed++
	}
	return placed
}

// differs is in how many tags h is unlike all that are used.
func (d *distribution) differs(h *host, used []*host) (n int) {
	for _, name := range d.tags {
		value, ok := h.tag(name)
		if ok && !slices.ContainsFunc(used, func(o *host) bool { is, has := o.tag(name); return has && is == value }) {
			n++
		}
	}
	return n
}

func (d *distribution) compareApart(t task, used []*host, a, b *host) int {
	return cmp.Or(cmp.Compare(d.differs(b, used), d.differs(a, used)), cmp.Compare(d.rank(t, a), d.rank(t, b)), cmp.Compare(a.load(), b.load()))
}

// rank is how near h was to t before: 0 as active, then by its copy.
func (d *distribution) rank(t task, h *host) int {
	if w := d.wasActive[t]; w != nil && w.host == h {
		return 0
	}
	if i := slices.IndexFunc(d.hadCopy[t], func(w *worker) bool { return w.host == h }); i >= 0 {
		return 1 + i
	}
	return len(d.workers) + 1
}

// former is the member of h that had the task or a copy of it.
func (d *distribution) former(t task, h *host) *worker {
	if w := d.wasActive[t]; w != nil && w.host == h {
		return w
	}
	if i := slices.IndexFunc(d.hadCopy[t], func(w *worker) bool { return w.host == h }); i >= 0 {
		return d.hadCopy[t][i]
	}
	return nil
}

// room is the member of h that has the least to do, if that is less than its share.
func (d *distribution) room(h *host) *worker {
	if w := h.least(); w.count < d.all.each {
		return w
	}
	return nil
}
