package group

import "chronik/cluster/coordinator"

// holders are the processes that have each task in each role, by what members are assigned or still to give up.
type holders [roleCount]map[task][]string

func (g *streamsGroup) holders() (h holders) {
	for i := range h {
		h[i] = map[task][]string{}
	}
	for _, mem := range g.members {
		for i, list := range mem.holds() {
			list.each(func(s string, n int32) { h[i][task{s, n}] = append(h[i][task{s, n}], mem.process) })
		}
	}
	return h
}

// free says whether a member of a process may begin a task in a role: nobody else is active on it, and nobody in the process
// has it in any role, since they share the state's directory.
func (h holders) free(role int, t task, process string) bool {
	if role == active && len(h[active][t]) > 0 {
		return false
	}
	for i := range h {
		for _, p := range h[i][t] {
			if p == process {
				return false
			}
		}
	}
	return true
}

// reconcile takes a member as far towards the target as it can go now, and says whether its tasks are others than before.
// A member gives up first what it is not to have, and stays at its epoch until it says that it has; then it gets what
// nobody holds; what others hold it gets with a later heartbeat.
func (g *streamsGroup) reconcile(mem *streamsMember, epoch int32, target roles, owned roles, told bool, now coordinator.Instant) (changed bool) {
	if mem.reconciled(epoch) {
		return false
	}
	at := mem.epoch
	if mem.progress == revoking {
		if !told || !owned.and(mem.revoked).empty() {
			return false
		}
		at++ // what it commits from now on is not of what it gave up
	}
	before := mem.assigned
	keep, drop := mem.assigned.and(target), mem.assigned.minus(target)
	mem.revoked = roles{}
	if !drop.empty() && (!told || !owned.and(drop).empty()) {
		mem.progress, mem.assigned, mem.revoked = revoking, keep, drop
		mem.revokeBy = now.Up + mem.rebalance
		mem.advance(at)
	} else {
		g.grant(mem, epoch, keep, target)
	}
	mem.forget()
	g.log.mark(currentKey + mem.id)
	return !before.equal(mem.assigned)
}

// grant brings a member that has nothing to give up to the epoch.
func (g *streamsGroup) grant(mem *streamsMember, epoch int32, keep, target roles) {
	mem.assigned, mem.revokeBy = keep, never
	held := g.holders()
	mem.progress = settled
	for role, wanted := range target.minus(keep) {
		free := wanted.where(func(s string, n int32) bool { return held.free(role, task{s, n}, mem.process) })
		mem.assigned[role] = keep[role].plus(free)
		if free.count() < wanted.count() {
			mem.progress = waiting
		}
	}
	mem.advance(epoch)
	mem.assigned[active].minus(keep[active]).each(func(s string, n int32) { mem.granted[task{s, n}] = epoch })
}

// forget drops since when the member has what it does not have any more.
func (mem *streamsMember) forget() {
	for t := range mem.granted {
		if !mem.assigned[active].has(t.subtopology, t.partition) && !mem.revoked[active].has(t.subtopology, t.partition) {
			delete(mem.granted, t)
		}
	}
}
