package replica

import (
	"context"
	"slices"
	"sync"
	"time"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// inSync is the background work of leaders: it has the metadata changed when a follower leaves the ISR or comes back. One
// change a partition is on its way at a time.
type inSync struct {
	m    *Manager
	wake chan struct{}

	mu  sync.Mutex // guards what follows
	due map[*Partition]struct{}
}

const (
	isrWorkers = 16              // changes on their way at once
	isrTimeout = 5 * time.Second // for a proposal; it is made again
	isrBackoff = 200 * time.Millisecond
)

// review has p's ISR looked at soon; from any goroutine.
func (m *Manager) review(p *Partition) {
	m.mu.RLock()
	s := m.inSync
	m.mu.RUnlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	s.due[p] = struct{}{}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// watchISR starts the work, once; the caller holds m.mu.
func (m *Manager) watchISR() {
	if m.inSync != nil || m.options.Propose == nil {
		return
	}
	m.inSync = &inSync{m: m, wake: make(chan struct{}, 1), due: map[*Partition]struct{}{}}
	m.tasks.Go(m.inSync.run)
}

func (s *inSync) run() {
	every := min(s.m.options.LagTimeMax/2, joinWait)
	tick := time.NewTicker(every)
	defer tick.Stop()
	slots := make(chan struct{}, isrWorkers)
	for {
		began, ticked := s.m.options.Now(), false
		select {
		case <-s.m.ctx.Done():
			return
		case <-tick.C:
			ticked = true
		case <-s.wake:
		}
		s.m.forgive(s.m.options.Now().Sub(began) - every)
		var all []*Partition
		if !ticked {
			all = s.take()
		} else {
			all = s.m.restless()
			for _, p := range all {
				p.look()
			}
		}
		for _, p := range all {
			rec, ok := p.wantedISR()
			if !ok {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-s.m.ctx.Done():
				return
			}
			s.m.tasks.Go(func() {
				defer func() { <-slots }()
				s.propose(p, rec)
			})
		}
	}
}

// overslept is how late the work may come before it holds that the whole process stood still.
const overslept = 250 * time.Millisecond

// forgive moves what is known of the followers by the time that this process did not run: nobody could be heard of in it. Else
// a leader that goes on, as all of them do where the machines were stopped together, would put them out of every ISR.
func (m *Manager) forgive(d time.Duration) {
	if d < overslept {
		return
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.each(func(p *Partition) { p.forgive(d) })
}

func (p *Partition) forgive(d time.Duration) {
	now := p.manager.options.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.lead.others {
		f.refresh()
		if f.caughtUp = f.caughtUp.Add(d); f.caughtUp.After(now) {
			f.caughtUp = now
		}
	}
}

func (s *inSync) take() (all []*Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.due {
		all = append(all, p)
	}
	clear(s.due)
	return all
}

// restless is the partitions that this node leads and others follow, but for those whose ISR is known to stay for now.
func (m *Manager) restless() (all []*Partition) {
	now := int64(m.options.Now().Sub(m.lease.zero))
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.each(func(p *Partition) {
		if p.restsUntil.Load() > now {
			return
		}
		if r := p.role.Load(); r.leads() && len(r.replicas) > 1 {
			all = append(all, p)
		}
	})
	return all
}

// disturb has every partition looked at again.
func (m *Manager) disturb() { m.each(func(p *Partition) { p.restsUntil.Store(0) }) }

// wantedISR is the change that is due, if one is; it is on its way then.
func (p *Partition) wantedISR() (image.ISRRecord, bool) {
	img, now := p.manager.newest.Load(), p.manager.options.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.role.Load()
	if p.settled(r, img, now) {
		p.restsUntil.Store(int64(p.restsTo(now).Sub(p.manager.lease.zero)))
		if p.manager.newest.Load() != img {
			p.restsUntil.Store(0) // disturb may have been here before
		}
		return image.ISRRecord{}, false
	}
	p.restsUntil.Store(0)
	if !p.mayAsk(r) {
		return image.ISRRecord{}, false
	}
	rec := image.ISRRecord{Topic: p.topic, Partition: p.number, From: r.version, Leader: r.leader, LeaderEpoch: r.epoch, MinISR: int16(min(r.minISR, 1<<15-1))}
	var adding []image.BrokerID
	for _, id := range r.replicas {
		f := p.lead.of(id)
		isIn := slices.Contains(r.isr, id)
		b, known := img.Broker(id)
		switch {
		case id == r.leader && known:
			rec.ISR = append(rec.ISR, image.ISRMember{ID: id, Epoch: b.Epoch})
		case f == nil || !known:
		case isIn && p.keepsUp(f, now):
			rec.ISR = append(rec.ISR, image.ISRMember{ID: id, Epoch: max(f.epoch, b.Epoch)})
		case !isIn && p.keepsUp(f, now) && f.end >= max(p.hw, p.lead.start) && f.mayJoin(img):
			rec.ISR, adding = append(rec.ISR, image.ISRMember{ID: id, Epoch: f.epoch}), append(adding, id)
		}
	}
	if len(rec.ISR) == 0 || len(adding) == 0 && len(rec.ISR) >= len(r.isr) && !p.lead.unsure {
		return image.ISRRecord{}, false
	}
	for _, id := range adding {
		if !slices.Contains(p.lead.adding, id) { // it is asked for again while nobody knows
			p.lead.adding = append(p.lead.adding, id)
		}
	}
	p.lead.asking = true
	return rec, true
}

// settled says whether the ISR is all replicas, and nothing is known that could change it: so are nearly all partitions.
// The caller holds p.mu.
func (p *Partition) settled(r *role, img *image.Image, now time.Time) bool {
	if p.lead.unsure || len(r.isr) != len(r.replicas) {
		return false
	}
	for _, id := range r.replicas {
		_, known := img.Broker(id)
		f := p.lead.of(id)
		if !known || !slices.Contains(r.isr, id) || id != r.leader && (f == nil || !p.keepsUp(f, now)) {
			return false
		}
	}
	return true
}

// restsTo is when a settled partition's ISR can first have to change by time alone: when a follower that says nothing from
// now on does not keep up any more. The caller holds p.mu.
func (p *Partition) restsTo(now time.Time) time.Time {
	first := now
	for _, f := range p.lead.others {
		if f.caughtUp.Before(first) {
			first = f.caughtUp
		}
	}
	return first.Add(p.manager.options.LagTimeMax)
}

// keepsUp is what a member of the ISR must do, and so must who is to become one: while the ISR is too small the high
// watermark stands still, and a follower that has gone would reach it, come in, and be put out again, for ever.
func (p *Partition) keepsUp(f *follower, now time.Time) bool {
	f.refresh()
	return now.Sub(f.caughtUp) <= p.manager.options.LagTimeMax
}

// propose has the metadata changed. When nobody knows whether it was, those that were to be added go on counting as
// members until a change of the partition tells: another one is asked for, if need be of nothing.
func (s *inSync) propose(p *Partition, rec image.ISRRecord) {
	ctx, cancel := context.WithTimeout(s.m.ctx, isrTimeout)
	defer cancel()
	_, err := s.m.options.Propose(ctx, rec)
	if err == nil {
		return // Apply has told already
	}
	if !s.failed(p, rec, err) {
		return
	}
	select {
	case <-time.After(isrBackoff):
		s.m.review(p)
	case <-s.m.ctx.Done():
	}
}

// failed notes that a change was not made, or that nobody knows, and says whether to look again.
func (s *inSync) failed(p *Partition, rec image.ISRRecord, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.role.Load()
	if r.version != rec.From || r.epoch != rec.LeaderEpoch {
		return false // the metadata is newer than the question
	}
	p.lead.asking, p.lead.later = false, s.m.options.Now().Add(isrBackoff)
	switch kerr.Of(err) {
	case kerr.InvalidUpdateVersion, kerr.FencedLeaderEpoch:
		p.lead.refused = rec.From
	case kerr.IneligibleReplica, kerr.InvalidRequest, kerr.UnknownTopicID, kerr.UnknownTopicOrPartition:
	default:
		p.lead.unsure = true
	}
	if !p.lead.unsure {
		p.lead.adding = nil
	}
	if s.m.ctx.Err() == nil {
		s.m.options.Logger.Info("the ISR was not changed", "topic", p.topic, "partition", p.number, "error", err)
	}
	return true
}
