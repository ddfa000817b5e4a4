package partlog

import (
	"context"
	"math"

	"golang.org/x/sync/semaphore"
)

// longLock is a sync.RWMutex that is held while the disk works. Who waits for it waits at a channel, not at a mutex: so a
// simulation (testing/synctest) can tell that waiting from work, and lets time go on.
type longLock struct{ held *semaphore.Weighted }

func newLongLock() longLock { return longLock{semaphore.NewWeighted(math.MaxInt64)} }

func (l longLock) Lock()    { l.acquire(math.MaxInt64) }
func (l longLock) Unlock()  { l.held.Release(math.MaxInt64) }
func (l longLock) RLock()   { l.acquire(1) }
func (l longLock) RUnlock() { l.held.Release(1) }

// acquire cannot fail: its context does not end.
func (l longLock) acquire(n int64) { _ = l.held.Acquire(context.Background(), n) }
