package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// beside begins what goes on beside a load, or comes before each run of it. What it returns ends that.
type beside func(b *bench, l load, s subject) (end func() error, err error)

// idleConnections are open, have said a word each, and do nothing.
func idleConnections(n int) beside {
	return func(b *bench, _ load, s subject) (func() error, error) {
		addrs := strings.Split(s.brokers(), ",")
		var conns []net.Conn
		end := func() (err error) {
			for _, c := range conns {
				err = errors.Join(err, c.Close())
			}
			return err
		}
		for i := range n {
			c, err := greeted(b.ctx, addrs[i%len(addrs)])
			if err != nil {
				return nil, errors.Join(fmt.Errorf("connection %d: %w", i, err), end())
			}
			conns = append(conns, c)
		}
		return end, nil
	}
}

// greeted is a connection on which the broker's versions were asked for.
func greeted(ctx context.Context, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	rq := kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
	if _, err = c.Write(rq); err == nil {
		_, err = c.Read(make([]byte, 4<<10))
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// tails are consumers that each read all of the topic as it is produced, beside the one that the load has itself.
func tails(n int) beside {
	return func(b *bench, _ load, s subject) (func() error, error) {
		r := &readers{}
		for range n {
			if err := r.add(b.ctx, s, topic); err != nil {
				return nil, errors.Join(err, r.end())
			}
		}
		return r.end, nil
	}
}

const coldTopic = "cold"

// coldReader reads a topic from its first record, which is in no memory when the load begins.
func coldReader(b *bench, l load, s subject) (func() error, error) {
	if err := b.fill(s, l.topicOf(s), coldTopic); err != nil {
		return nil, err
	}
	if err := b.evict(); err != nil {
		return nil, err
	}
	r := &readers{}
	return r.end, r.add(b.ctx, s, coldTopic)
}

// readers read and throw away until they are ended.
type readers struct {
	stops []context.CancelFunc
	all   sync.WaitGroup

	mu  sync.Mutex
	err error
}

func (r *readers) add(ctx context.Context, s subject, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers(), ",")...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	r.stops = append(r.stops, stop)
	r.all.Go(func() {
		defer client.Close()
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			fetches.EachError(func(_ string, _ int32, err error) {
				if ctx.Err() == nil {
					r.mu.Lock()
					r.err = err
					r.mu.Unlock()
				}
			})
		}
	})
	return nil
}

func (r *readers) end() error {
	for _, stop := range r.stops {
		stop()
	}
	r.all.Wait()
	return r.err
}

// fillRecords is how many records of 1 KiB a topic has that is read.
func (b *bench) fillRecords() int { return b.Fill << 10 }

// fill makes a topic with records of 1 KiB, unless it is there.
func (b *bench) fill(s subject, flags []string, name string) error {
	there := false
	err := admin(s, func(a *kadm.Client) error {
		topics, err := a.ListTopics(b.ctx, name)
		there = err == nil && topics.Has(name)
		return err
	})
	if err != nil || there {
		return err
	}
	args := []string{"raw", "--connections", "4", "--batch", "65536", "--size", strconv.Itoa(perfRecord), "--records", strconv.Itoa(b.fillRecords()),
		"--brokers", s.brokers(), "--topic", name, "--format", "json"}
	_, err = b.chronikBenchWith(append(args, flags...))
	return errors.Join(err, b.settle())
}

// outOfMemory has the system forget what it holds of the sides' files, so that a read of them reaches the disk.
func outOfMemory(b *bench, _ load, _ subject) (func() error, error) {
	return func() error { return nil }, b.evict()
}

func (b *bench) evict() error {
	if b.dataDir == "" {
		return errors.New("the brokers are elsewhere: their page cache cannot be emptied")
	}
	if err := b.settle(); err != nil {
		return err
	}
	return filepath.WalkDir(b.dataDir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil // a file that went meanwhile, or none
		}
		if err != nil {
			return err
		}
		err = withFile(path, func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) })
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
}

// withFile does something with the descriptor of a file or folder.
func withFile(path string, do func(fd int) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(do(int(f.Fd())), f.Close())
}
