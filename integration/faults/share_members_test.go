package faults

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A sharer is a member of the share group. It accepts most of what it is given, and releases, rejects, renews, and forgets some.
type sharer struct {
	siege  *shareSiege
	dice   *rand.Rand
	client *kgo.Client
	line   *lifeline
	stop   context.CancelFunc
	done   chan struct{}
}

func (r *shareSiege) join(number uint64) *sharer {
	line := &lifeline{dial: r.dial, open: map[net.Conn]bool{}}
	opts := append(r.clientOptions(), kgo.Dialer(line.connect), kgo.ConsumeTopics(r.topicNames()...), kgo.ShareGroup(shareGroup),
		kgo.ShareMaxRecords(100), kgo.FetchMaxWait(100*time.Millisecond))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		r.ledger.with(func() { r.ledger.complain("a member: %v", err) })
		return nil
	}
	ctx, stop := context.WithCancel(r.t.Context())
	s := &sharer{r, r.newDice(1000 + number), client, line, stop, make(chan struct{})}
	go func() {
		defer close(s.done)
		s.run(ctx)
	}()
	return s
}

func (s *sharer) run(ctx context.Context) {
	for ctx.Err() == nil {
		for r := range s.client.PollRecords(ctx, 1+s.dice.IntN(200)).RecordsAll() {
			seen := newSight(r)
			s.siege.ledger.see(s.siege.topics[r.Topic], r.Partition, seen)
			s.judge(r, seen.id)
		}
		if s.siege.draining.Load() {
			continue
		}
		switch s.dice.IntN(40) {
		case 0:
			pause(ctx, shareLock+time.Second) // too long: others are given what it has
		case 1, 2, 3:
			_ = s.client.FlushAcks(ctx) // what comes of it is in the history
		}
	}
}

// judge says something of the record, or nothing: then the next poll accepts it.
func (s *sharer) judge(r *kgo.Record, id recordID) {
	if s.siege.draining.Load() {
		return
	}
	if id.sequence%100 == 7 { // nobody can make anything of it
		r.Ack(kgo.AckRelease)
		return
	}
	switch s.dice.IntN(20) {
	case 0, 1:
		r.Ack(kgo.AckRelease)
	case 2:
		r.Ack(kgo.AckReject)
	case 3:
		r.Ack(kgo.AckRenew)
	case 4, 5, 6, 7, 8:
		r.Ack(kgo.AckAccept)
	}
}

// kill is as kill -9: its connections end without a word.
func (s *sharer) kill() {
	s.line.cut()
	s.leave(0)
}

// leave ends the member, which may say so for as long.
func (s *sharer) leave(patience time.Duration) {
	s.stop()
	<-s.done
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = s.client.LeaveGroupContext(ctx)
	s.line.cut()
	s.client.Close()
}

// A lifeline is a member's connections, which can all be cut; then there are no others.
type lifeline struct {
	dial dialer
	mu   sync.Mutex
	gone bool
	open map[net.Conn]bool
}

func (l *lifeline) connect(ctx context.Context, kind, address string) (net.Conn, error) {
	c, err := l.dial(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		_ = c.Close()
		return nil, &net.OpError{Op: "dial", Net: kind, Err: syscall.ECONNREFUSED}
	}
	l.open[c] = true
	return c, nil
}

func (l *lifeline) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	for c := range l.open {
		_ = c.Close() // the client may have done so
	}
	clear(l.open)
}

// Sharers are the group's members, who come and go.
type sharers struct {
	siege   *shareSiege
	dice    *rand.Rand
	members []*sharer
	joined  uint64
}

const leastSharers, mostSharers = 2, 5

func (c *sharers) run(ctx context.Context) {
	for ctx.Err() == nil {
		n := len(c.members)
		switch {
		case n < leastSharers || n < mostSharers && c.dice.IntN(2) == 0:
			c.join()
		default:
			who := c.dice.IntN(n)
			s := c.members[who]
			c.members = append(c.members[:who], c.members[who+1:]...)
			if c.dice.IntN(3) == 0 {
				s.leave(time.Second)
				c.siege.count("members left", 1)
			} else {
				s.kill()
				c.siege.count("members killed", 1)
			}
		}
		pause(ctx, 200*time.Millisecond+time.Duration(c.dice.Int64N(int64(1500*time.Millisecond))))
	}
	for len(c.members) < leastSharers {
		c.join()
	}
}

func (c *sharers) join() {
	c.joined++
	if s := c.siege.join(c.joined); s != nil {
		c.members = append(c.members, s)
		c.siege.count("members joined", 1)
	}
}

func (c *sharers) end() {
	for _, s := range c.members {
		s.leave(time.Second)
	}
}
