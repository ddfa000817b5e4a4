package replica

import (
	"sync"
	"sync/atomic"
	"time"

	"chronik/kafka/kerr"
)

// lease is how long this node may act as the leader of anything: the controller has heard from it, so nobody else leads
// before it is over. A node that is never told of one, because it is alone, leads without.
type lease struct {
	now    func() time.Time
	zero   time.Time
	until  atomic.Int64 // ns since zero; 0: for ever
	expire func()

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	ended bool
}

func (l *lease) init(now func() time.Time, expire func()) {
	l.now, l.zero, l.expire = now, now(), expire
}

// Serve lets this node lead until then, at most: call it with the moment that a heartbeat was sent, and the session's length,
// when it was answered. Leading ends by itself, and begins again with the next call. time is monotonic.
func (m *Manager) Serve(until time.Time) {
	if lapsed := m.lease.extend(until); !lapsed || !m.lease.holds() {
		return
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.each((*Partition).look)
}

// Abdicate ends the lease for good: an answer to a heartbeat that comes later does not bring it back.
func (m *Manager) Abdicate() {
	m.lease.extend(m.lease.now())
	m.lease.end()
	m.dismissAll()
}

// Serving says whether this node may act as a leader now. A process that was stopped asks it again before it answers.
func (m *Manager) Serving() bool { return m.lease.holds() }

// extend says whether somebody may have found the lease over before.
func (l *lease) extend(until time.Time) (lapsed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	was := l.until.Swap(max(1, int64(until.Sub(l.zero))))
	now := l.now() // after the new end is there to be seen
	lapsed = was != 0 && int64(now.Sub(l.zero)) >= was
	rest := until.Sub(now)
	if rest <= 0 {
		return lapsed // nothing of it is left to expire
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(rest, l.over)
	} else {
		l.timer.Reset(rest)
	}
	return lapsed
}

func (l *lease) holds() bool {
	until := l.until.Load()
	return until == 0 || int64(l.now().Sub(l.zero)) < until
}

func (l *lease) over() {
	if !l.holds() {
		l.expire()
	}
}

func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// expire tells whoever waits that this node leads nothing any more. What comes later is refused by the lease.
func (m *Manager) expire() {
	m.options.Logger.Warn("the controller was not heard in time: this node leads nothing until it is")
	m.dismissAll()
}

func (m *Manager) dismissAll() {
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.each(func(p *Partition) { p.dismiss(kerr.NotLeaderOrFollower) })
}
