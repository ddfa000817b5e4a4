package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// maxAsking is how many nodes may ask at once; further ones wait in the internal port's queue.
const maxAsking = 32

// serveJoin answers other nodes until l is closed, and then waits for the answers under way. A node does so for all its
// life: who comes later asks those that are there.
func (f *founding) serveJoin(l net.Listener) {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	places := make(chan struct{}, maxAsking)
	for {
		places <- struct{}{}
		nc, err := l.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer func() { <-places }()
			defer nc.Close()
			if err := f.serveOne(ctx, nc); err != nil {
				f.logger.Debug("a node asked, and the answer did not reach it", "peer", nc.RemoteAddr(), "error", err)
			}
		})
	}
}

func (f *founding) serveOne(ctx context.Context, nc net.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	unhook := context.AfterFunc(ctx, func() { nc.Close() })
	defer unhook()
	var q question
	if err := readMessage(nc, &q); err != nil {
		return err
	}
	return writeMessage(nc, f.answer(ctx, q))
}

// answer is this node's to one question.
func (f *founding) answer(ctx context.Context, q question) reply {
	if q.Kind == askAdmit {
		return f.admit(ctx, q)
	}
	if q.Kind == askRun {
		a := f.reply("")
		a.Run, a.Epoch = f.lastRun(q.From.Node)
		return a
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	why := ""
	switch q.Kind {
	case askWho:
		why = f.answerWho(q)
	case askPromise:
		why = f.answerPromise(q)
	case askFound:
		why = f.answerFound(q)
	default:
		why = fmt.Sprintf("it does not know the question %q: is it of an older version?", q.Kind)
	}
	return f.reply(why)
}

// reply says what this node is.
func (f *founding) reply(refusal string) reply {
	a := reply{Self: f.seat.Self(), Configured: f.configured, OK: refusal == "", Refusal: refusal}
	if f.seat.Bootstrapped() {
		a.Cluster = f.seat.ClusterID()
	}
	if p, ok := f.promised(); ok {
		a.Promised = &p
	}
	return a
}

func (f *founding) answerWho(q question) string {
	if f.seat.Bootstrapped() && f.seat.ClusterID() == uuid.Nil {
		return "it belongs to a cluster already, and is just reading which"
	}
	if _, ok := f.promised(); ok || f.seat.Bootstrapped() || len(q.Pact.Set) == 0 {
		return "" // what it is says more
	}
	return f.sees(q.Pact.Set)
}

func (f *founding) answerPromise(q question) string {
	if mine, ok := f.promised(); ok && mine.equal(q.Pact) {
		return ""
	}
	want := f.configured
	if want == uuid.Nil {
		want = mintedFor(q.Pact.Set)
	}
	if q.Pact.Cluster != want {
		return fmt.Sprintf("the cluster would have the id %s, and it is %s here", FormatClusterID(q.Pact.Cluster), FormatClusterID(want))
	}
	if len(q.Pact.Set) == 0 || q.Pact.Set[0].ID != q.From.ID {
		return "it was asked by a node that is not the first of the set"
	}
	if why := f.sees(q.Pact.Set); why != "" {
		return why
	}
	return f.promise(q.Pact)
}

func (f *founding) answerFound(q question) string {
	mine, ok := f.promised()
	if !ok || !mine.equal(q.Pact) {
		return fmt.Sprintf("it has not promised to found the %s", q.Pact)
	}
	if err := f.bootstrap(); err != nil {
		f.logger.Error("the cluster that this node has promised cannot be begun", "error", err)
		return err.Error()
	}
	return ""
}

// admit makes the asking node a server, where this node leads; else it asks the one that does.
func (f *founding) admit(ctx context.Context, q question) reply {
	if !f.seat.Bootstrapped() {
		return f.reply("it belongs to no cluster itself")
	}
	if id := f.seat.ClusterID(); q.Configured != uuid.Nil && q.Configured != id {
		return f.reply(fmt.Sprintf("this is cluster %s, not %s", FormatClusterID(id), FormatClusterID(q.Configured)))
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout-hopTimeout)
	defer cancel()
	leader := f.seat.Leader()
	if leader == f.seat.Self().Node {
		s := q.From
		s.Voter = false
		err := f.seat.AddServer(ctx, s)
		if err == nil {
			f.logger.Info("a node joins", "node", s.Node, "address", s.Addr)
			return f.reply("")
		}
		if !errors.Is(err, kerr.NotController) {
			return f.reply(fmt.Sprintf("it leads and could not add the node: %v", err))
		}
		return f.reply("its cluster is just choosing another leader")
	}
	addr, ok := f.addrOf(leader)
	if leader == image.NoBroker || q.Hop || !ok {
		return f.reply("the leader of its metadata log is not known at the moment: are most of its voters running?")
	}
	q.Hop = true
	ctx, cancel = context.WithTimeout(ctx, joinTimeout-2*hopTimeout)
	defer cancel()
	began := time.Now()
	a, err := f.ask(ctx, addr, q)
	if err != nil {
		return f.reply(fmt.Sprintf("its leader, node %d, did not answer within %s: %v", leader, time.Since(began).Round(time.Millisecond), err))
	}
	return a
}
