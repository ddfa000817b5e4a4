package api

import (
	"context"
	"strings"
	"time"

	"chronik/cluster/controller"
	"chronik/kafka/kerr"
	"chronik/kafka/quota"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// payer is who a request comes from, as quotas know it.
func payer(rq *wire.Request) quota.Client {
	return quota.Client{User: strings.TrimPrefix(rq.Peer.Principal, "User:"), ID: rq.ClientID}
}

// limited says whether the request's client may have a quota. Brokers have none.
func (b *Broker) limited(rq *wire.Request) bool {
	return b.Quotas != nil && b.Quotas.Active() && rq.Peer.Listener != image.InternalListener
}

// ration is how many bytes of records the request's client gets at once, of the room that the answer has, and how many are enough
// not to wait for more: those it has asked for, unless its quota lets in fewer, which can't be waited for. Others' quotas count for nothing.
func (b *Broker) ration(rq *wire.Request, room, enough int) (int, int) {
	if !b.limited(rq) {
		return room, enough
	}
	left := b.Quotas.Room(payer(rq))
	if left >= int64(room) {
		return room, enough
	}
	if left < int64(enough) {
		enough = 1
	}
	return int(left), enough
}

// metered begins a request whose use is counted: the bytes of a Produce, those of the records of a Fetch or a ShareFetch, and of any the
// time that it takes before it waits for something (KIP-124). One that is answered only after a wait, a long poll or a
// commit, is counted as long as it took to begin: Kafka, too, counts the time of its handler threads and leaves out what waits
// in a purgatory (RequestChannel.Request.requestThreadTimeNanos).
func (b *Broker) metered(ctx context.Context, rq *wire.Request, e *entry) wire.Pending {
	began := time.Now()
	p := e.begin(b, ctx, rq)
	spent := time.Since(began)
	who, key, size := payer(rq), rq.Key, int64(rq.Size)
	return wire.Pending{Ready: p.Ready, Later: p.Later, Start: p.Start, Finish: func(ctx context.Context, r *wire.Reply) error {
		began := time.Now()
		ready := p.Ready == nil || p.Ready()
		r.Measure(func(records int64) time.Duration {
			if ready {
				spent += time.Since(began)
			}
			return max(b.Quotas.Spent(who, spent), b.moved(who, key, size, records))
		})
		return p.Finish(ctx, r)
	}}
}

func (b *Broker) moved(who quota.Client, key int16, size, records int64) time.Duration {
	switch key {
	case produceKey:
		return b.Quotas.Produced(who, size)
	case fetchKey, shareFetchKey:
		return b.Quotas.Fetched(who, records)
	}
	return 0
}

const produceKey, fetchKey, shareFetchKey = 0, 1, 78

// changes is the quota of partitions that are created and deleted (KIP-599), for one request.
type changes struct {
	b      *Broker
	who    quota.Client
	strict bool // what goes beyond the quota is refused: older versions do not know the code for it, and are only held back
	wait   time.Duration
}

func (b *Broker) changes(rq *wire.Request, strictSince int16) *changes {
	return &changes{b: b, who: payer(rq), strict: rq.Version >= strictSince}
}

// permit is nil where there are no quotas.
func (c *changes) permit() controller.Permit {
	if c.b.Quotas == nil || !c.b.Quotas.Active() {
		return nil
	}
	return func(partitions int) error {
		wait := c.b.Quotas.MayChange(c.who, partitions, !c.strict)
		c.wait = max(c.wait, wait)
		if c.strict && wait > 0 {
			return kerr.Detail(kerr.ThrottlingQuotaExceeded, "The throttling quota has been exceeded.")
		}
		return nil
	}
}

// throttleMs is for how long the client is to be silent.
func (c *changes) throttleMs() int32 {
	return int32(min((c.wait + time.Millisecond - 1).Milliseconds(), 1<<31-1))
}
