package metalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// reads finds the last committed entry that the FSM is given. Others (a leader's first, barriers) it never hears of, so
// nobody could wait for them.
type reads struct {
	raft  engine
	store raftStore
	views *views

	mu             sync.Mutex
	commit, answer uint64 // the answer for a commit index, which is asked for again and again
}

func (r *reads) lastCommitted() (image.Index, error) {
	commit := r.raft.CommitIndex()
	reached := r.views.reached.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.commit == commit {
		return image.Index(max(r.answer, min(reached, commit))), nil
	}
	for index := commit; index > reached; index-- {
		var entry raft.Log
		if err := r.store.store.GetLog(index, &entry); err != nil {
			return 0, fmt.Errorf("read index: %w", err)
		}
		if entry.Type == raft.LogCommand || entry.Type == raft.LogConfiguration {
			reached = index
			break
		}
	}
	r.commit, r.answer = commit, min(reached, commit)
	return image.Index(r.answer), nil
}

// Sync returns when Image includes everything that was committed before the call, wherever that was (Raft's read index).
// While there is no leader it waits for one, until ctx ends.
func (l *Log) Sync(ctx context.Context) error {
	index, err := l.readIndex(ctx)
	if err != nil {
		return err
	}
	return l.Wait(ctx, index)
}

// Ready returns when a leader is known and Image includes all that was committed when it was met.
func (l *Log) Ready(ctx context.Context) error {
	if err := l.Sync(ctx); err != nil {
		return err
	}
	return l.note()
}

func (l *Log) readIndex(ctx context.Context) (image.Index, error) {
	for {
		changed := l.lead.next()
		index, err := l.askReadIndex(ctx)
		if err == nil {
			return index, nil
		}
		again := time.NewTimer(retryAfter)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: no leader of the metadata log could be asked: %w", kerr.NotController, errors.Join(ctx.Err(), err))
		case <-l.batcher.stopped:
			return 0, l.batcher.ended()
		case <-l.failure.happened:
			return 0, l.batcher.ended()
		}
		again.Stop()
	}
}

func (l *Log) askReadIndex(ctx context.Context) (image.Index, error) {
	if l.courier == nil || l.lead.leads() {
		return l.tenures.readIndex(ctx)
	}
	answered := make(chan error, 1)
	var index image.Index
	err := l.courier.ask(ctx, &message{kind: msgSync}, func(m *message, err error) {
		switch {
		case err != nil:
		case m.kind != msgSynced:
			err = errors.New("the leader's answer is to something else")
		case !m.leads:
			err = errNotProposed
		default:
			index = m.index
		}
		answered <- err
	})
	if err != nil {
		return 0, err
	}
	select {
	case err := <-answered:
		return index, err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-l.failure.happened:
		return 0, l.failure.err()
	}
}
