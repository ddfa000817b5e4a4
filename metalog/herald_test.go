package metalog

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// quiet is a founded cluster in which raft tells of the last entry only with the next one.
func quiet(t *testing.T, n int) *trio {
	c := founded(t, n)
	c.silence = time.Hour
	for i := range c.logs {
		c.close(i)
	}
	for i := range c.logs {
		c.open(i)
	}
	c.leader()
	return c
}

func TestACommittedEntryIsSeenWithoutAnother(t *testing.T) {
	c := quiet(t, 3)
	for round := range 10 {
		for i, l := range c.logs {
			index, err := l.Propose(c.soon(), topic(fmt.Sprint("t", i, "-", round)))
			if err != nil {
				t.Fatal(err)
			}
			for k, other := range c.logs {
				if err := other.Wait(c.soon(), index); err != nil {
					t.Fatalf("node %d does not see what node %d proposed: %v", k+1, i+1, err)
				}
			}
		}
	}
}

// The newest of what many proposed is told of too, when those who tell are busy with older ones.
func TestTheLastOfManyEntriesIsSeen(t *testing.T) {
	c := quiet(t, 3)
	var mu sync.Mutex
	var last image.Index
	var wg sync.WaitGroup
	for i, l := range c.logs {
		for k := range 4 {
			wg.Go(func() {
				for n := range 25 {
					index, err := l.Propose(c.soon(), topic(fmt.Sprint(i, "-", k, "-", n)))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					last = max(last, index)
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	for _, l := range c.logs {
		if err := l.Wait(c.soon(), last); err != nil {
			t.Error(err)
		}
	}
}

func TestWhoHasNotGotTheEntryDoesNotCommit(t *testing.T) {
	c := quiet(t, 3)
	leader := c.logs[c.leader()]
	index, err := leader.Propose(c.soon(), topic("t"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.logs {
		if l == leader {
			continue
		}
		if err := l.Wait(c.soon(), index); err != nil {
			t.Fatal(err)
		}
		to := raft.Server{ID: l.identity.serverID(), Address: raft.ServerAddress(l.Self().Addr)}
		term := leader.raft.CurrentTerm()
		for _, entry := range []raft.Log{{Index: uint64(index) + 1, Term: term}, {Index: uint64(index) + 100, Term: term}} {
			if known, err := leader.link.tell(to, entry); known || err != nil {
				t.Errorf("entry %d: %v, %v", entry.Index, known, err)
			}
		}
		if got := l.raft.CommitIndex(); got != uint64(index) {
			t.Errorf("%d is committed, %d was proposed", got, index)
		}
		if known, err := leader.link.tell(to, raft.Log{Index: uint64(index), Term: term}); !known || err != nil {
			t.Error(known, err)
		}
	}
}
