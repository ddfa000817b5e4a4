package group

import (
	"container/heap"
	"time"
)

// pending are the member ids that were given out and that nobody has joined with yet. Every request of the group asks when the
// first of them expires, and a client may have been given any number: so they lie in a heap. The zero value is empty.
type pending struct {
	byID map[string]*pendingID
	due  pendingQueue
}

// pendingID counts until a time, in Instant.Up. place is where it lies in the queue.
type pendingID struct {
	id    string
	until time.Duration
	place int
}

func (p *pending) add(id string, until time.Duration) {
	p.drop(id)
	if p.byID == nil {
		p.byID = map[string]*pendingID{}
	}
	is := &pendingID{id: id, until: until}
	p.byID[id] = is
	heap.Push(&p.due, is)
}

// drop says whether id was there.
func (p *pending) drop(id string) bool {
	is := p.byID[id]
	if is == nil {
		return false
	}
	delete(p.byID, id)
	heap.Remove(&p.due, is.place)
	return true
}

// expire drops those that count no more, and says whether there were any.
func (p *pending) expire(now time.Duration) (forgotten bool) {
	for p.next() <= now {
		forgotten = p.drop(p.due[0].id)
	}
	return forgotten
}

// next is when the first expires, or never.
func (p *pending) next() time.Duration {
	if len(p.due) == 0 {
		return never
	}
	return p.due[0].until
}

func (p *pending) any() bool { return len(p.due) > 0 }

// pendingQueue is a heap by until.
type pendingQueue []*pendingID

func (q pendingQueue) Len() int           { return len(q) }
func (q pendingQueue) Less(i, j int) bool { return q[i].until < q[j].until }
func (q pendingQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *pendingQueue) Push(x any) {
	is := x.(*pendingID)
	is.place = len(*q)
	*q = append(*q, is)
}

func (q *pendingQueue) Pop() any {
	last := len(*q) - 1
	is := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return is
}
