package group

import (
	"cmp"
	"maps"
	"slices"
)

// distribute is what each member is to have: the sticky assignor of KIP-1071. Every task is active with one member. Those
// with state go first, so that they are spread evenly by themselves, to who was active on them, then to who has a copy of
// their state; what is left fills up the processes that have the least. Copies of the state (standby tasks) go to other
// processes, those that differ in the tags of rack.aware.assignment.tags first. It is the same for the same members.
func (g *streamsGroup) distribute() map[string]roles {
	targets := map[string]roles{}
	if g.plan == nil || !g.plan.ready() || len(g.members) == 0 {
		return targets
	}
	c := g.machine.group(g.id).Streams
	d := newDistribution(g.sorted(), int(c.NumStandbyReplicas), c.RackAwareTags)
	stateful, stateless := g.allTasks()
	d.quotas(len(stateful), len(stateless))
	d.spread(slices.Clone(stateful), true)
	d.spread(stateless, false)
	d.copies(stateful)
	for _, w := range d.workers {
		targets[w.mem.id] = w.given
	}
	return targets
}

func (g *streamsGroup) allTasks() (stateful, stateless []task) {
	for i := range g.topology.subtopologies {
		s := &g.topology.subtopologies[i]
		for n := range g.plan.tasks[s.id] {
			if s.stateful() {
				stateful = append(stateful, task{s.id, n})
			} else {
				stateless = append(stateless, task{s.id, n})
			}
		}
	}
	return stateful, stateless
}

func sortedTasks[V any](m map[task]V) []task { return slices.SortedFunc(maps.Keys(m), bySubtopology) }

func bySubtopology(a, b task) int {
	return cmp.Or(cmp.Compare(a.subtopology, b.subtopology), cmp.Compare(a.partition, b.partition))
}

// byPartition puts the tasks together that read the same partitions of different topics.
func byPartition(a, b task) int {
	return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.subtopology, b.subtopology))
}

// distribution is an assignment that is being made.
type distribution struct {
	workers  []*worker // by member id
	hosts    []*host   // by process
	standbys int
	tags     []string

	wasActive map[task]*worker
	hadCopy   map[task][]*worker // best first
	owner     map[task]*host     // of the tasks with state

	stateful, active, all quota
}

// quota is how many tasks of some kind a member may have, when they are spread evenly over those that have not as many yet.
type quota struct{ each, tasks, members int }

func newQuota(tasks, members int) quota {
	q := quota{tasks: tasks, members: members}
	if members > 0 {
		q.each = (tasks + members - 1) / members
	}
	return q
}

// reached notes that a member has n tasks. One that has its share leaves the rest to the others.
func (q *quota) reached(n int) {
	if n == q.each {
		*q = newQuota(q.tasks-n, q.members-1)
	}
}

func newDistribution(members []*streamsMember, standbys int, tags []string) *distribution {
	d := &distribution{standbys: standbys, tags: tags, wasActive: map[task]*worker{}, hadCopy: map[task][]*worker{}, owner: map[task]*host{}}
	hosts := map[string]*host{}
	for _, mem := range members {
		h := hosts[mem.process]
		if h == nil {
			h = &host{process: mem.process, tags: mem.tags, has: map[task]bool{}}
			hosts[mem.process] = h
		}
		w := &worker{mem: mem, host: h, given: roles{tasks{}, tasks{}, tasks{}}}
		h.workers, d.workers = append(h.workers, w), append(d.workers, w)
		mem.target[active].each(func(s string, n int32) { d.wasActive[task{s, n}] = w })
	}
	for _, process := range slices.Sorted(maps.Keys(hosts)) {
		d.hosts = append(d.hosts, hosts[process])
	}
	d.rankCopies()
	return d
}

// rankCopies finds who has state of which task: members that are to have it as a copy, then those that only report that it
// lies on their disk, of both those first that have come farthest.
func (d *distribution) rankCopies() {
	for _, w := range d.workers {
		for role := standby; role < roleCount; role++ {
			w.mem.target[role].each(func(s string, n int32) { d.hadCopy[task{s, n}] = append(d.hadCopy[task{s, n}], w) })
		}
	}
	for _, w := range d.workers {
		for _, t := range sortedTasks(w.mem.offsets) {
			if !w.copies(t) {
				d.hadCopy[t] = append(d.hadCopy[t], w)
			}
		}
	}
	for t, list := range d.hadCopy {
		slices.SortStableFunc(list, func(a, b *worker) int {
			if a.copies(t) != b.copies(t) {
				if a.copies(t) {
					return -1
				}
				return 1
			}
			return cmp.Compare(b.mem.offsets[t], a.mem.offsets[t])
		})
	}
}

func (d *distribution) quotas(stateful, stateless int) {
	members := len(d.workers)
	d.stateful = newQuota(stateful, members)
	d.active = newQuota(stateful+stateless, members)
	d.all = newQuota(stateful*(1+d.standbys)+stateless, members)
}

// spread makes tasks active that are all with state, which must be the first that are given, or all without.
func (d *distribution) spread(list []task, stateful bool) {
	limit := &d.active
	if stateful {
		limit = &d.stateful
	}
	give := func(w *worker, t task) bool {
		if w == nil || w.count >= limit.each {
			return false
		}
		d.give(w, t, stateful)
		if stateful {
			d.stateful.reached(w.count) // nothing else was given yet
		}
		return true
	}
	slices.SortFunc(list, byPartition)
	list = slices.DeleteFunc(list, func(t task) bool { return give(d.wasActive[t], t) })
	list = slices.DeleteFunc(list, func(t task) bool { return give(d.leastLoaded(d.hadCopy[t], nil), t) })
	slices.SortFunc(list, bySubtopology)
	for _, t := range list {
		d.give(slices.MinFunc(d.hosts, compareLoad).least(), t, stateful)
	}
}

// give makes w active on t.
func (d *distribution) give(w *worker, t task, stateful bool) {
	w.add(active, t)
	if stateful {
		d.owner[t] = w.host
	} else {
		w.host.stateless++
	}
	d.active.reached(w.count)
	d.all.reached(w.count)
}

// leastLoaded is the first of list, unless another has less to do and so has its process. With a task, those count whose
// process does not have it.
func (d *distribution) leastLoaded(list []*worker, without *task) (best *worker) {
	for _, w := range list {
		if without != nil && w.host.has[*without] {
			continue
		}
		if best == nil || w.host.load() < best.host.load() && w.count < best.count {
			best = w
		}
	}
	return best
}
