package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	committers     = 1024
	commitConns    = 8 // to each node
	commitTime     = 5 * time.Second
	commitVersion  = 7 // the last one that is not flexible: a response ends with its error code
	commitResponse = 8 << 10
	createdBeside  = 100 // topics
)

const commitsLoad = "group offset commits"

// commits measures how many commits of a group's offset a cluster takes in a second, each a request of its own, with one
// partition. The requests are encoded before: a client library would take a third of a machine that it shares with brokers.
func (b *bench) commits(against, ours *fleet) error {
	var rates, creations [2]string
	for i, f := range []*fleet{against, ours} {
		rate, took, err := b.commitRate(f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		rates[i] = fmt.Sprintf("%.0f/s", rate)
		creations[i] = fmt.Sprintf("%s / %s ms", digits(median(took)), digits(percentile(took, 99)))
	}
	b.result.line(fmt.Sprintf("commits of offsets by %d groups, each waiting for the answer, over %d connections to each node: %s",
		committers, commitConns, nodesOf(ours)), "50,000/s", rates[0], rates[1], "")
	b.result.line(fmt.Sprintf("a topic is created while they commit, p50 / p99 of %d: %s", createdBeside, nodesOf(ours)), "", creations[0], creations[1], "")
	return nil
}

func nodesOf(f *fleet) string {
	if len(f.nodes) == 1 {
		return "one node"
	}
	return fmt.Sprintf("%d nodes", len(f.nodes))
}

// oneNodeCommits is commits on one node, beside the null sink.
func (b *bench) oneNodeCommits(dir string) error {
	var alone [2]*fleet
	for i, like := range []*server{b.null, b.real} {
		s := &server{name: like.name, command: like.command, dir: filepath.Join(dir, "commits-"+like.name), flags: b.Server}
		if _, err := s.start(b.ctx); err != nil {
			return err
		}
		defer s.kill()
		alone[i] = &fleet{name: s.name, nodes: []*server{s}}
	}
	return b.commits(alone[0], alone[1])
}

// commitRate is commits a second, and in ms, sorted, how long each creation of a topic took beside them.
func (b *bench) commitRate(f *fleet) (rate float64, took []float64, err error) {
	if err := f.create(b.ctx, 1, "committed"); err != nil {
		return 0, nil, err
	}
	byAddr, err := f.coordinators(b.ctx)
	if err != nil {
		return 0, nil, err
	}
	rate, err = b.commitRateAt(byAddr, func(ctx context.Context) (err error) {
		took, err = f.creations(ctx)
		return err
	})
	return rate, took, err
}

// creations creates topics of one partition one after the other.
func (f *fleet) creations(ctx context.Context) (took []float64, err error) {
	err = f.admin(func(a *kadm.Client) error {
		for i := range createdBeside {
			began := time.Now()
			if _, err := a.CreateTopic(ctx, 1, int16(len(f.nodes)), nil, fmt.Sprint("beside", i)); err != nil {
				return err
			}
			took = append(took, float64(time.Since(began).Microseconds())/1000)
		}
		return nil
	})
	slices.Sort(took)
	return took, err
}

// coordinators is the groups by the address of their coordinator. Kafka's make their topic first.
func (f *fleet) coordinators(ctx context.Context) (byAddr map[string][]string, err error) {
	var groups []string
	for i := range committers {
		groups = append(groups, fmt.Sprint("group", i))
	}
	err = f.admin(func(a *kadm.Client) error {
		return until(ctx, "coordinators of groups", func(ctx context.Context) (bool, error) {
			byAddr = map[string][]string{}
			for _, c := range a.FindGroupCoordinators(ctx, groups...) {
				if c.Err != nil {
					return false, c.Err
				}
				addr := net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
				byAddr[addr] = append(byAddr[addr], c.Name)
			}
			return len(byAddr) > 0, nil
		})
	})
	return byAddr, err
}

// commitRateAt has groups commit, each at its coordinator. When their rate is measured they go on until beside is done.
func (b *bench) commitRateAt(byAddr map[string][]string, beside func(context.Context) error) (float64, error) {
	ctx, cancel := context.WithCancelCause(b.ctx)
	defer cancel(nil)
	var done atomic.Int64
	var all sync.WaitGroup
	for addr, groups := range byAddr {
		for i := range commitConns {
			c := &committer{done: &done}
			for g := i; g < len(groups); g += commitConns {
				c.requests = append(c.requests, commitRequest(groups[g], len(c.requests)))
			}
			all.Go(func() {
				if err := c.run(ctx, addr); err != nil && ctx.Err() == nil {
					cancel(err)
				}
			})
		}
	}
	err := b.pause(commitTime) // what is new is made, and compiled
	began, before := time.Now(), done.Load()
	err = errors.Join(err, b.pause(commitTime))
	rate := float64(done.Load()-before) / time.Since(began).Seconds()
	if err == nil {
		err = beside(ctx)
	}
	if failed := context.Cause(ctx); failed != nil {
		err = failed
	}
	cancel(nil)
	all.Wait()
	return rate, err
}

// committer is a connection with the groups that commit over it, each of them when it has the answer to its last commit.
type committer struct {
	requests [][]byte // one for each group, its correlation id its place
	done     *atomic.Int64
	offset   int64
	out      net.Buffers
}

const (
	correlationAt = 8  // in a request with its length
	offsetFromEnd = 14 // before the leader's epoch and null for the metadata
)

func commitRequest(group string, id int) []byte {
	rq := kmsg.NewPtrOffsetCommitRequest()
	rq.Version, rq.Group, rq.Generation = commitVersion, group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = "committed"
	t.Partitions = append(t.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
	rq.Topics = append(rq.Topics, t)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, rq, int32(id))
}

func (c *committer) run(ctx context.Context, addr string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for id := range c.requests {
		c.next(id)
	}
	in := bufio.NewReaderSize(conn, commitResponse)
	for {
		if in.Buffered() == 0 {
			out := c.out
			if _, err := out.WriteTo(conn); err != nil {
				return err
			}
			c.out = c.out[:0]
		}
		id, code, err := readCommitted(in)
		if err == nil {
			err = kerr.ErrorForCode(code)
		}
		switch {
		case err == nil:
			c.done.Add(1)
		case !kerr.IsRetriable(err): // the coordinator moves, or loads
			return fmt.Errorf("commit at %s: %w", addr, err)
		}
		c.next(id)
	}
}

// next has a group commit again.
func (c *committer) next(id int) {
	c.offset++
	rq := c.requests[id]
	binary.BigEndian.PutUint64(rq[len(rq)-offsetFromEnd:], uint64(c.offset))
	c.out = append(c.out, rq)
}

func readCommitted(r io.Reader) (id int, code int16, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(r, rest); err != nil {
		return 0, 0, err
	}
	return int(binary.BigEndian.Uint32(head[4:])), int16(binary.BigEndian.Uint16(rest[len(rest)-2:])), nil
}
