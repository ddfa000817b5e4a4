package metalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// book knows where servers may be reached: by the registration of their broker, by Raft's configuration, by what they
// said when they opened a connection, and by hints of others. Who answers at an address says which server it is, so a
// wrong address costs time and nothing else.
type book struct {
	views *views

	mu    sync.Mutex
	heard map[raft.ServerID]string
}

// maxHeard bounds what a book remembers of what it has heard: a few servers and their predecessors.
const maxHeard = 64

func newBook(v *views) *book { return &book{views: v, heard: map[raft.ServerID]string{}} }

// hear notes where a server says that it is.
func (b *book) hear(id raft.ServerID, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.heard[id]; !known && len(b.heard) >= maxHeard {
		clear(b.heard)
	}
	b.heard[id] = addr
}

// reach dials the places where a server may be, one after the other, each with its part of the time that is left until ctx
// ends, which must have a deadline: an address that swallows what is sent, as that of a machine which is gone does, must not
// keep the next from being tried.
func (b *book) reach(ctx context.Context, id raft.ServerID, configured raft.ServerAddress,
	dial func(ctx context.Context, addr string) (net.Conn, error)) (net.Conn, error) {
	addrs := b.find(id, configured)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("the address of server %s is not known", id)
	}
	var failed error
	end, _ := ctx.Deadline()
	for i, addr := range addrs {
		part, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(len(addrs)-i))
		c, err := dial(part, addr)
		cancel()
		if err == nil {
			return c, nil
		}
		failed = errors.Join(failed, fmt.Errorf("server %s at %s: %w", id, addr, err))
	}
	return nil, failed
}

// find is where to look for a server, the likeliest place first. configured is what Raft's configuration says; that of a
// server which began alone, when nobody could reach it, is its id.
func (b *book) find(id raft.ServerID, configured raft.ServerAddress) (addrs []string) {
	add := func(addr string) {
		for _, known := range addrs {
			if known == addr {
				return
			}
		}
		if addr != "" && addr != string(id) {
			addrs = append(addrs, addr)
		}
	}
	if broker, ok := b.views.image.Load().Broker(brokerOf(id)); ok {
		for _, e := range broker.Endpoints {
			if e.Name == image.InternalListener {
				add(net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
			}
		}
	}
	add(string(configured))
	b.mu.Lock()
	defer b.mu.Unlock()
	add(b.heard[id])
	return addrs
}
