package server

import "chronik/kafka/wire"

const (
	maxBatch      = 16
	maxBatchBytes = 1 << 20
)

// outbox is responses that leave together, with the requests whose bytes they may still refer to.
type outbox struct {
	sender  *wire.Sender
	rqs     []*wire.Request
	replies []*wire.Reply
}

func (o *outbox) add(rq *wire.Request, r *wire.Reply) {
	o.rqs = append(o.rqs, rq)
	o.replies = append(o.replies, r)
}

func (o *outbox) len() int { return len(o.rqs) }

func (o *outbox) bytes() (n int64) {
	for _, r := range o.replies {
		n += r.Len()
	}
	return n
}

func (o *outbox) memory() (n int64) {
	for _, r := range o.replies {
		n += r.Memory()
	}
	return n
}

func (o *outbox) full() bool { return len(o.rqs) >= maxBatch || o.bytes() >= maxBatchBytes }

func (o *outbox) send() error { return o.sender.Send(o.replies...) }

// release gives back everything, sent or not; the requests go to done.
func (o *outbox) release(done func(*wire.Request)) {
	for i, r := range o.replies {
		r.Release()
		done(o.rqs[i])
	}
	clear(o.replies)
	clear(o.rqs)
	o.replies, o.rqs = o.replies[:0], o.rqs[:0]
}
