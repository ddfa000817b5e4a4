package metalog

import (
	"errors"
	"sync"
)

// failure is the first thing that went wrong beyond repair. There is no way back from it.
type failure struct {
	happened chan struct{}

	once  sync.Once
	cause error // written before happened is closed
}

func newFailure() *failure { return &failure{happened: make(chan struct{})} }

func (f *failure) set(cause error) {
	f.once.Do(func() {
		f.cause = cause
		close(f.happened)
	})
}

func (f *failure) err() error {
	select {
	case <-f.happened:
		return f.cause
	default:
		return nil
	}
}

// await waits for something of raft's, such as a future's Error, but not beyond a failure: a raft whose goroutines have
// ended may never answer.
func (f *failure) await(wait func() error) error {
	answer := make(chan error, 1)
	go func() { answer <- wait() }()
	select {
	case err := <-answer:
		return err
	case <-f.happened:
		return errors.Join(errFailed, f.cause)
	}
}

var errFailed = errors.New("the metalog has failed")
