package replica

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal/arena"
)

// fetcher copies all partitions that this node follows at one leader, by one request at a time, over a fetch session: a
// request has only the partitions whose place has changed. Its goroutine is the only one that appends to these logs.
type fetcher struct {
	m       *Manager
	leader  image.BrokerID
	session fetchSession
	fetched map[*Partition]*fetched // of the goroutine
	wake    chan struct{}           // something is durable, or changed

	mu      sync.Mutex // guards what follows
	changes map[*Partition]change
	starts  map[*Partition]struct{} // whose logs begin elsewhere now
	cancel  context.CancelFunc      // of the fetch that waits, nil when none does
}

// change is what the metadata says: to follow in that leader epoch, or not any more.
type change struct {
	epoch int32
	gone  bool
}

// fetched is a partition of a fetcher.
type fetched struct {
	p      *Partition
	epoch  int32     // the leader's
	until  time.Time // not before then, after an error
	asleep bool      // because of one
	sent   position
}

const (
	fetchBackoff = 100 * time.Millisecond // after an error; replica.fetch.backoff.ms is longer, and leaders are near
	linkBackoff  = 50 * time.Millisecond  // after an error of the connection
)

func newFetcher(m *Manager, leader image.BrokerID) *fetcher {
	return &fetcher{
		m: m, leader: leader, fetched: map[*Partition]*fetched{},
		wake: make(chan struct{}, 1), session: newFetchSession(),
	}
}

// follow has p fetched in that leader epoch; forget ends it.
func (f *fetcher) follow(p *Partition, epoch int32) { f.change(p, change{epoch: epoch}) }
func (f *fetcher) forget(p *Partition)              { f.change(p, change{gone: true}) }

// change breaks off a fetch that waits: in a new leader epoch every moment counts.
func (f *fetcher) change(p *Partition, c change) {
	f.mu.Lock()
	if f.changes == nil {
		f.changes = map[*Partition]change{}
	}
	f.changes[p] = c
	cancel := f.cancel
	f.mu.Unlock()
	if cancel != nil && !c.gone {
		cancel()
	}
	f.nudge()
}

// begins has the leader told, with the next fetch, that p's log begins elsewhere, since records have expired: it sends
// consumers here (KIP-392), and they must not be sent for what is not here any more.
func (f *fetcher) begins(p *Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.starts == nil {
		f.starts = map[*Partition]struct{}{}
	}
	f.starts[p] = struct{}{}
}

func (f *fetcher) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fetcher) run() {
	for f.m.ctx.Err() == nil {
		f.takeChanges()
		rest, disk := f.prepare()
		if disk || len(f.session.live) == 0 && len(f.session.forgotten) == 0 {
			f.idle(rest)
			continue
		}
		if err := f.fetch(rest); err != nil {
			f.idle(linkBackoff)
		}
	}
}

// idle waits until something happens, or rest is over; 0 is for ever.
func (f *fetcher) idle(rest time.Duration) {
	var over <-chan time.Time
	if rest > 0 {
		over = time.After(rest)
	}
	select {
	case <-f.wake:
	case <-over:
	case <-f.m.options.Store.Failed():
		<-f.m.ctx.Done() // nothing can be appended any more
	case <-f.m.ctx.Done():
	}
}

func (f *fetcher) takeChanges() {
	f.mu.Lock()
	changes, starts := f.changes, f.starts
	f.changes, f.starts = nil, nil // from here on they are ours alone
	f.mu.Unlock()
	for p := range starts {
		if in := f.fetched[p]; in != nil {
			f.session.wait(in)
		}
	}
	for p, c := range changes {
		in := f.fetched[p]
		switch {
		case c.gone:
			delete(f.fetched, p)
			f.session.drop(p)
		case in == nil || in.epoch != c.epoch:
			f.fetched[p] = &fetched{p: p, epoch: c.epoch}
			f.session.drop(p)
			f.session.waiting[p] = struct{}{}
		}
	}
}

// prepare puts into the session what can be fetched now, and returns when to look again at what had an error, and whether
// something is on its way to the disk: its place is known when it is there.
func (f *fetcher) prepare() (rest time.Duration, disk bool) {
	now := f.m.options.Now()
	for p := range f.session.waiting {
		in := f.fetched[p]
		if in == nil {
			delete(f.session.waiting, p)
			continue
		}
		if in.asleep && now.Before(in.until) {
			if d := in.until.Sub(now); rest == 0 || d < rest {
				rest = d
			}
			continue
		}
		if d := p.heldBack(); d > 0 {
			if rest == 0 || d < rest {
				rest = d
			}
			continue
		}
		at, ok := p.position(in.epoch)
		if !ok {
			disk = true // or the metadata has changed; both wake the fetcher
			continue
		}
		in.asleep, in.sent = false, at
		delete(f.session.waiting, p)
		f.session.put(in)
	}
	return rest, disk
}

// fetch asks the leader once and appends what it sends; rest is when there is more to ask, if not 0.
func (f *fetcher) fetch(rest time.Duration) error {
	b, ok := f.m.newest.Load().Broker(f.m.options.Self)
	if !ok {
		f.idle(fetchBackoff) // not registered yet
		return nil
	}
	wait := f.m.options.FetchWaitMax
	if rest > 0 {
		wait = min(wait, rest)
	}
	rq := f.session.request(wait)
	rq.ReplicaState.ID, rq.ReplicaState.Epoch = int32(f.m.options.Self), b.Epoch
	rq.MaxBytes = f.m.options.FetchResponseMaxBytes
	for i := range rq.Topics {
		for j := range rq.Topics[i].Partitions {
			rq.Topics[i].Partitions[j].PartitionMaxBytes = f.m.options.FetchMaxBytes
		}
	}
	resp, buf, err := f.ask(rq)
	if buf != nil {
		defer buf.Release()
	}
	if err != nil {
		f.session.reset()
		if errors.Is(err, context.Canceled) {
			return nil // there is something new to ask
		}
		f.m.options.Logger.Debug("a leader did not answer", "leader", f.leader, "error", err)
		return err
	}
	if resp.ErrorCode != 0 {
		f.session.reset()
		return kerr.Code(resp.ErrorCode)
	}
	f.session.answered(resp)
	f.handle(resp, buf)
	return nil
}

// ask sends the request. It is given up when the metadata changes, or when the answer is long overdue.
func (f *fetcher) ask(rq *kmsg.FetchRequest) (*kmsg.FetchResponse, *arena.Buf, error) {
	ctx, cancel := context.WithTimeout(f.m.ctx, f.m.options.FetchWaitMax+f.m.options.LagTimeMax/2)
	defer cancel()
	f.mu.Lock()
	if len(f.changes) > 0 {
		f.mu.Unlock()
		return nil, nil, context.Canceled
	}
	f.cancel = cancel
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.cancel = nil
		f.mu.Unlock()
	}()
	return f.m.options.Link.Fetch(ctx, f.leader, rq)
}

// handle takes over the answer, and has everything in it written at once.
func (f *fetcher) handle(resp *kmsg.FetchResponse, buf *arena.Buf) {
	appended, size := false, 0
	var later []*kmsg.FetchResponseTopicPartition
	var starts []*fetched
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			in := f.session.live[partitionKey{t.TopicID, t.Partitions[j].Partition}]
			if in == nil {
				continue
			}
			took, err := f.partition(in, &t.Partitions[j], buf)
			if took {
				appended = true
				size += len(t.Partitions[j].RecordBatches)
			}
			if took || err != nil {
				f.session.wait(in)
			}
			if err != nil {
				f.sleep(in, err)
			} else if t.Partitions[j].LogStartOffset > in.sent.start {
				starts, later = append(starts, in), append(later, &t.Partitions[j])
			}
		}
	}
	if appended {
		f.m.options.Store.CommitFollowed(size)
	}
	for i, in := range starts {
		f.raise(in, later[i].LogStartOffset)
	}
}

// partition takes over one partition's answer, and says whether it appended anything.
func (f *fetcher) partition(in *fetched, out *kmsg.FetchResponseTopicPartition, buf *arena.Buf) (bool, error) {
	code := kerr.Code(out.ErrorCode)
	switch {
	case code == kerr.OffsetOutOfRange && out.LogStartOffset > in.sent.offset:
		err := in.p.reset(out.LogStartOffset, in.epoch)
		return true, err
	case code == kerr.OffsetOutOfRange && in.sent.epoch < 0: // nothing is here, and the leader's log ends before
		return false, in.p.manager.abandon(in.p, in.epoch)
	case code != kerr.None:
		return false, code
	case out.DivergingEpoch.EndOffset >= 0:
		err := in.p.diverge(out.DivergingEpoch.Epoch, out.DivergingEpoch.EndOffset, in.epoch)
		return true, err
	}
	in.p.fetched(len(out.RecordBatches))
	return in.p.take(out, buf, in.sent, in.epoch)
}

// sleep leaves the partition alone for a while, or until the metadata changes.
func (f *fetcher) sleep(in *fetched, err error) {
	in.asleep, in.until = true, f.m.options.Now().Add(fetchBackoff)
	switch kerr.Of(err) {
	case kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.NotLeaderOrFollower, kerr.UnknownTopicID, kerr.UnknownTopicOrPartition:
		return // one of the two has newer metadata: it comes to the other
	}
	f.m.options.Logger.Warn("a partition could not be copied from its leader; it is tried again", "topic", in.p.topic,
		"partition", in.p.number, "leader", f.leader, "error", err)
}

// raise raises the log start to the leader's, as far as this log goes.
func (f *fetcher) raise(in *fetched, start int64) {
	o := in.p.log.Offsets()
	start = min(start, o.Durable)
	if start <= o.LogStart {
		return
	}
	if err := in.p.log.SetLogStart(start); err != nil {
		f.m.options.Logger.Warn("a log start could not be raised", "topic", in.p.topic, "partition", in.p.number, "error", err)
		return
	}
	f.session.wait(in) // the leader is told at once
}
