package metalog

import "github.com/hashicorp/raft"

// What raft's library gets wrong in requests that come in, and what is done about it before it gets them.

// SetHeartbeatHandler is told by Raft how heartbeats are answered while it waits for its disk. Only those are that tell
// nothing new. A newer term is a matter for Raft's own goroutine: that would go on with the election, or the leadership, which
// it has, count the votes of the term before for the newer one, and write its own entries in that. There would be two leaders
// of one term, and two entries of it in one place (hashicorp/raft 695). Raft looks at term and state again when it answers, without
// a lock: for harm to come of that a whole election would have to pass between two instructions.
func (t *transport) SetHeartbeatHandler(answer func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if t.follows(rpc.Command.(*raft.AppendEntriesRequest).Term) {
			answer(rpc)
			return
		}
		select {
		case t.requests <- rpc:
		case <-t.closed:
		}
	})
}

// follows says whether this server takes no part in an election, and leads in none, and is in that term.
func (t *transport) follows(term uint64) bool {
	r := t.raft.Load()
	return r != nil && r.State() == raft.Follower && r.CurrentTerm() == term
}

// agreed has Raft take for committed no more than what the request compares, or brings. Raft would take all of its log for the
// leader's: also what comes behind that, which another leader may have sent, and nobody agreed on.
func agreed(rq *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	compared := rq.PrevLogEntry + uint64(len(rq.Entries))
	if rq.LeaderCommitIndex <= compared {
		return rq
	}
	changed := *rq
	changed.LeaderCommitIndex = compared
	return &changed
}
