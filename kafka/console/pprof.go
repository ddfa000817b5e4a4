package console

import (
	"net/http"
	"net/http/pprof"
	"runtime"
	"sync"
)

// What a wait must last for one sample of it, on average (in nanoseconds), and how many contended unlocks there are to one sample:
// fine enough to see what a request waits for, at a cost that does not show.
const (
	blockRate     = 10_000
	mutexFraction = 10
)

// servePprof adds /debug/pprof/. The profiles of blocking and of contended mutexes are those of the next ?seconds=N: the runtime
// records neither while nobody asks, because it costs each wait something.
func servePprof(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.Handle("GET /debug/pprof/block", &recorded{profile: pprof.Handler("block"), rate: blockRate, record: runtime.SetBlockProfileRate})
	mux.Handle("GET /debug/pprof/mutex", &recorded{profile: pprof.Handler("mutex"), rate: mutexFraction,
		record: func(rate int) { runtime.SetMutexProfileFraction(rate) }})
}

// recorded is a profile that the runtime records while at least one request for it is under way.
type recorded struct {
	profile http.Handler
	record  func(rate int) // 0: not at all
	rate    int

	mu    sync.Mutex
	asked int
}

func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.ask(1)
	defer r.ask(-1)
	r.profile.ServeHTTP(w, req)
}

func (r *recorded) ask(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked += n
	if r.asked > 0 {
		r.record(r.rate)
	} else {
		r.record(0)
	}
}
