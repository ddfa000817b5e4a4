// Package quota holds clients to what they may use: bytes of records a second, the time of processors, changes of the
// metadata, new connections (KIP-13, 124, 219, 599, 612). Whoever goes beyond is told how long to be silent, and is not
// heard for as long. It does not know requests, nor how anyone is silenced.
package quota

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"chronik/kafka/config"
	"chronik/metalog/image"
)

// Client is who uses something.
type Client struct{ User, ID string }

// Manager knows the quotas and what was used of them on this node. All methods may be called concurrently.
type Manager struct {
	config func() *config.Broker
	now    func() time.Time
	rules  atomic.Pointer[rules] // nil: nobody has a quota

	mu      sync.Mutex
	buckets map[key]time.Time // guarded by mu: see use
	most    int               // guarded by mu: buckets before the idle ones are forgotten
}

// New returns a manager that learns by Apply which quotas there are.
func New(config func() *config.Broker, now func() time.Time) *Manager {
	return &Manager{config: config, now: now, buckets: map[key]time.Time{}, most: fewBuckets}
}

// Apply is image.Watcher's.
func (m *Manager) Apply(d *image.Delta) {
	if image.HasQuotas(d.Configs) {
		m.rules.Store(compile(d.New))
	}
}

// Active says whether anyone has a quota. While nobody has, it is all that a request costs.
func (m *Manager) Active() bool { return m.rules.Load() != nil }

// Produced counts bytes that c has sent and returns how long it must be silent for them.
func (m *Manager) Produced(c Client, bytes int64) time.Duration {
	return m.count(config.ProducerByteRate, c, float64(bytes), m.window())
}

// Fetched counts bytes of records that c gets and returns how long it must be silent for them.
func (m *Manager) Fetched(c Client, bytes int64) time.Duration {
	return m.count(config.ConsumerByteRate, c, float64(bytes), m.window())
}

// Room is how many bytes c may get at once: what is left of its window, and never less than a second's worth.
func (m *Manager) Room(c Client) int64 {
	k, rate, ok := m.rules.Load().find(config.ConsumerByteRate, c)
	if !ok {
		return math.MaxInt64
	}
	left := m.window() - m.used(k)
	return int64(min(rate*max(left.Seconds(), 1), math.MaxInt64/2)) + 1
}

// Spent counts the time that a processor needed for c and returns how long c must be silent for it: at most a sample of the
// window, as in Kafka.
func (m *Manager) Spent(c Client, d time.Duration) time.Duration {
	wait := m.count(config.RequestPercentage, c, 100*d.Seconds(), m.window())
	return min(wait, time.Duration(m.config().QuotaWindowSeconds)*time.Second)
}

// MayChange says how long c must wait until it may create or delete partitions, 0 for not at all, and counts n of them
// if it may, or anyhow.
func (m *Manager) MayChange(c Client, n int, anyhow bool) time.Duration {
	b := m.config()
	window := time.Duration(b.ControllerQuotaWindowSamples*b.ControllerQuotaWindowSeconds) * time.Second
	if wait := m.count(config.ControllerMutationRate, c, 0, window); wait > 0 && !anyhow {
		return wait
	}
	wait := m.count(config.ControllerMutationRate, c, float64(n), window)
	if anyhow {
		return wait
	}
	return 0
}

// Connected counts a connection from an address, and returns 0, unless there are too many of them: then it is not counted,
// and is to be closed after the time returned.
func (m *Manager) Connected(from netip.Addr) time.Duration {
	from = from.Unmap()
	rate, ok := m.rules.Load().address(from)
	if !ok {
		return 0
	}
	k := key{quota: config.ConnectionCreationRate, user: from.String()}
	m.mu.Lock()
	defer m.mu.Unlock()
	wait := m.use(k, 1/rate, max(m.window(), seconds(1/rate))) // one is let in anyhow, where the window is of one sample only
	if wait > 0 {
		m.buckets[k] = m.buckets[k].Add(-seconds(1 / rate))
	}
	return wait
}

// Accepted counts a connection from anywhere and returns how long none may be accepted (max.connection.creation.rate).
func (m *Manager) Accepted() time.Duration {
	rate := m.config().MaxConnectionRate
	if rate == math.MaxInt32 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.use(key{quota: "accept"}, 1/float64(max(rate, 1)), m.window())
}

// window is how far what is used may run ahead of its rate. Kafka's rate is one over some samples of which the newest is
// being filled.
func (m *Manager) window() time.Duration {
	b := m.config()
	return time.Duration((b.QuotaWindowSamples-1)*b.QuotaWindowSeconds) * time.Second
}

func (m *Manager) count(quota string, c Client, n float64, window time.Duration) time.Duration {
	k, rate, ok := m.rules.Load().find(quota, c)
	if !ok {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.use(k, n/rate, window)
}

// fewBuckets are kept without a look at which of them are idle.
const fewBuckets = 1000

// use is a token bucket, kept as the time at which it will be full again: using n of a rate moves that by n/rate, and a
// bucket that holds a window's worth is empty when it is a window away. It returns how long the bucket will be below
// empty.
func (m *Manager) use(k key, cost float64, window time.Duration) time.Duration {
	now := m.now()
	full, ok := m.buckets[k]
	if !ok && len(m.buckets) >= m.most {
		m.forget(now)
	}
	if full.Before(now) {
		full = now
	}
	full = full.Add(seconds(cost))
	m.buckets[k] = full
	return max(full.Sub(now)-window, 0)
}

// forget drops the buckets that are full: as if they had never been used. Clients choose their ids as they like, so there
// may be any number.
func (m *Manager) forget(now time.Time) {
	for k, full := range m.buckets {
		if !full.After(now) {
			delete(m.buckets, k)
		}
	}
	m.most = max(fewBuckets, 2*len(m.buckets))
}

// used is how much time a bucket will need to be full.
func (m *Manager) used(k key) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.buckets[k].Sub(m.now()), 0)
}

// longest is more than anyone will be silent for.
const longest = 365 * 24 * time.Hour

func seconds(s float64) time.Duration {
	return time.Duration(min(s*float64(time.Second), float64(longest)))
}
