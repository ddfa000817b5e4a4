package image

import "slices"

// turn is the last time at which groups could be given to a broker from then on, or could be no more. Brokers that have
// gone keep theirs: what they left behind is others' since then.
type turn struct {
	coordinator
	in bool
	at Index // of the entry; 0: before turns were noted
}

// CoordinatorSince is Coordinator, and the entry since which it has been that broker without a break: the epoch of the
// group's coordination. It moves whenever the group does, also when it comes back to a broker whose own epoch is the same.
func (m *Image) CoordinatorSince(group string) (BrokerID, int64) {
	id := m.Coordinator(group)
	return id, since(m.turns, id, group)
}

// since is when group came to id, which coordinates it: when groups could be given to id, or when the last of those that
// were drawn before it went.
func since(turns []turn, id BrokerID, group string) int64 {
	var at Index
	h := hash(group)
	own := mix(h ^ saltOf(id))
	for _, t := range turns {
		n := mix(h ^ t.salt)
		if t.id == id || !t.in && (n > own || n == own && t.id < id) {
			at = max(at, t.at)
		}
	}
	return int64(at)
}

// turned is turns when an entry has left groups to those that are listed.
func turned(turns []turn, now []coordinator, at Index) []turn {
	next := slices.Clone(turns)
	for i, t := range next {
		if in := slices.Contains(now, t.coordinator); in != t.in {
			next[i].in, next[i].at = in, at
		}
	}
	for _, c := range now {
		if !slices.ContainsFunc(next, func(t turn) bool { return t.id == c.id }) {
			next = append(next, turn{c, true, at})
		}
	}
	slices.SortFunc(next, func(a, b turn) int { return int(a.id) - int(b.id) })
	return next
}

// turns are those by the image in the making.
func (c *change) turns() []turn {
	if c.next.turns == nil || len(c.touchedBrokers.list) == 0 {
		return c.next.turns
	}
	return turned(c.next.turns, c.coordinators(), c.next.index)
}

// noteTurns begins to note turns when a record was compared with them. It is done by a record and not by the program, so that
// all nodes begin with the same entry, however old the snapshots and logs are that they start from.
func (c *change) noteTurns(epoch, from int64) {
	if epoch >= 1 && from >= 0 && c.next.turns == nil {
		c.next.turns = turned(nil, c.coordinators(), 0)
	}
}

func appendTurn(dst []byte, t turn) []byte {
	return appendInt(appendBool(appendInt(dst, t.id), t.in), int64(t.at))
}

func readTurn(f *fields) turn {
	id := number[BrokerID](f)
	return turn{coordinator{id, saltOf(id)}, f.bool(), Index(number[int64](f))}
}
