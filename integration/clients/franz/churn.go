package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A mixture is a group whose members are of many clients: which ways of taking part they have, by the words in clients.txt.
type mixture struct {
	name string
	ways []way
}

// way is how a member takes part.
type way struct{ word, protocol, assignor string }

var mixtures = []mixture{
	{"range", []way{{"range", "classic", "range"}}},
	{"cooperative", []way{{"cooperative", "classic", "cooperative-sticky"}}},
	{"consumer", []way{{"consumer", "consumer", ""}}},
	{"migrating", []way{{"consumer", "consumer", ""}, {"range", "classic", "range"}}},
}

const (
	churnPartitions = 6
	churnSession    = 6 * time.Second // group.min.session.timeout.ms, so that nobody waits longer than needed
	mostMembers     = 4
	settleWithin    = 60 * time.Second
	produceEvery    = 5 * time.Millisecond
)

// churn has members of many clients share groups while they come, go, are killed, and are held still, and while the server
// is killed. It sees that every record is delivered, in order, that no partition has two owners at a time, and that every
// rebalance ends. Arguments: seconds for each mixture, and the file that lists the clients (name, words, command, with | between
// them). A line "restart" asks for the server to be killed and started again.
func churn(ctx context.Context, c Contract, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: franz churn SECONDS FILE")
	}
	seconds, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	list, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	seed := rand.Uint64()
	if s := os.Getenv("CHURN_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			return fmt.Errorf("CHURN_SEED: %w", err)
		}
	}
	var failed error
	for n, m := range mixtures {
		kinds := kindsOf(m, strings.Split(strings.TrimSpace(string(list)), "\n"))
		if len(kinds) == 0 {
			continue
		}
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		of := c
		of.Topic, of.Group = "churn-"+m.name, "churn-"+m.name
		group := &round{c: of, kinds: kinds, r: r, began: time.Now()}
		err := group.run(ctx, time.Duration(seconds)*time.Second)
		if err != nil {
			err = fmt.Errorf("CHURN_SEED=%d: %w", seed, err)
		}
		failed = errors.Join(failed, report("churn-"+m.name, err, "%s", group.story()))
	}
	return failed
}

// kind is a client with one of its ways.
type kind struct {
	name    string
	way     way
	command []string
}

// kindsOf is nil when nobody takes part in one of the mixture's ways.
func kindsOf(m mixture, clients []string) (kinds []kind) {
	for _, w := range m.ways {
		before := len(kinds)
		for _, line := range clients {
			f := strings.Split(line, "|")
			if len(f) == 3 && slices.Contains(strings.Fields(f[1]), w.word) {
				kinds = append(kinds, kind{f[0], w, strings.Fields(f[2])})
			}
		}
		if len(kinds) == before {
			return nil
		}
	}
	return kinds
}

// round is the life of one group.
type round struct {
	c     Contract
	kinds []kind
	r     *rand.Rand
	began time.Time

	client  *kgo.Client
	sent    atomic.Int64 // acknowledged records
	ledger  ledger
	members []*member // all that ever were
	next    int       // of kinds: each has its turn
	counts  map[string]int
}

func (r *round) story() string {
	return fmt.Sprintf("%d records, %d members, %v, in %.0f s", r.sent.Load(), len(r.members), r.counts, time.Since(r.began).Seconds())
}

func (r *round) run(ctx context.Context, d time.Duration) (err error) {
	r.counts, r.ledger.seen = map[string]int{}, map[int]bool{}
	if r.client, err = r.c.client(kgo.DefaultProduceTopic(r.c.Topic))(); err != nil {
		return err
	}
	defer r.client.Close()
	if _, err := kadm.NewClient(r.client).CreateTopic(ctx, churnPartitions, r.c.Replication, nil, r.c.Topic); err != nil {
		return fmt.Errorf("creating %s: %w", r.c.Topic, err)
	}
	defer r.killAll()
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- r.produce(ctx, stop) }()
	r.disturb(ctx, time.Now().Add(d))
	close(stop)
	if err := <-stopped; err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.endAll(); err != nil {
		return err
	}
	return errors.Join(r.ledger.err(), r.allCommitted(ctx))
}

// produce sends record after record. One that is lost on the way ends it.
func (r *round) produce(ctx context.Context, stop <-chan struct{}) error {
	var wrong atomic.Pointer[error]
	tick := time.NewTicker(produceEvery)
	defer tick.Stop()
	for i := 0; wrong.Load() == nil; i++ {
		select {
		case <-stop:
			if err := r.client.Flush(ctx); err != nil {
				return err
			}
			if err := wrong.Load(); err != nil {
				return *err
			}
			return nil
		case <-tick.C:
		}
		r.client.Produce(ctx, &kgo.Record{Key: Key(i), Value: []byte(Value(r.c.Topic, "none", i))}, func(_ *kgo.Record, err error) {
			if err != nil {
				wrong.CompareAndSwap(nil, &err)
			}
			r.sent.Add(1)
		})
	}
	return *wrong.Load()
}

// disturb does something to the members, again and again, and once kills the server.
func (r *round) disturb(ctx context.Context, end time.Time) {
	crash := time.Now().Add(time.Until(end) / 2)
	for time.Now().Before(end) && ctx.Err() == nil {
		live := r.live()
		switch {
		case crash.Before(time.Now()):
			crash = end.Add(time.Hour)
			r.counts["server killed"]++
			fmt.Println("restart")
		case len(live) < 2 || len(live) < mostMembers && r.r.IntN(2) == 0:
			r.start()
		default:
			r.hurt(live[r.r.IntN(len(live))])
		}
		wait(ctx, time.Duration(300+r.r.IntN(2200))*time.Millisecond)
	}
	r.mend()
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (r *round) live() (live []*member) {
	for _, m := range r.members {
		if !m.ended() && !m.held() {
			live = append(live, m)
		}
	}
	return live
}

func (r *round) start() {
	k := r.kinds[r.next%len(r.kinds)]
	r.next++
	m, err := startMember(r.c, k, len(r.members), &r.ledger)
	if err != nil {
		r.ledger.wrong(err)
		return
	}
	r.counts["started"]++
	r.members = append(r.members, m)
}

func (r *round) hurt(m *member) {
	switch r.r.IntN(4) {
	case 0:
		r.counts["killed"]++
		m.kill()
	case 1:
		r.counts["stopped"]++
		m.stop()
	case 2:
		r.counts["held still"]++
		m.hold(time.Second)
	case 3:
		r.counts["held still beyond its session"]++
		m.hold(churnSession + 4*time.Second)
	}
}

// mend waits for who is held still, and sees that somebody is left.
func (r *round) mend() {
	for _, m := range r.members {
		m.awake()
	}
	for len(r.live()) < 2 && r.ledger.err() == nil {
		r.start()
	}
}

// settle waits until the members that are left share all partitions and every record has been delivered.
func (r *round) settle(ctx context.Context) error {
	var lacking string
	for until := time.Now().Add(settleWithin); time.Now().Before(until); wait(ctx, 200*time.Millisecond) {
		if err := r.ledger.err(); err != nil {
			return err
		}
		if lacking = r.lacking(); lacking == "" {
			return nil
		}
	}
	return fmt.Errorf("%s after the last disturbance: %s", settleWithin, lacking)
}

// lacking says what is still missing, "" when nothing is.
func (r *round) lacking() string {
	owners := map[int]string{}
	for _, m := range r.members {
		for _, p := range m.owns() {
			if other, taken := owners[p]; taken {
				return fmt.Sprintf("%s and %s both own partition %d", other, m.name, p)
			}
			owners[p] = m.name
		}
	}
	if len(owners) < churnPartitions {
		return fmt.Sprintf("partitions %v have owners", slices.Sorted(maps.Keys(owners)))
	}
	return r.ledger.lacking(int(r.sent.Load()))
}

func (r *round) endAll() error {
	for _, m := range r.members {
		m.stop()
	}
	var stuck error
	for _, m := range r.members {
		select {
		case <-m.done:
		case <-time.After(settleWithin / 2):
			stuck = errors.Join(stuck, fmt.Errorf("%s does not end", m.name))
		}
	}
	return stuck
}

func (r *round) killAll() {
	var ends sync.WaitGroup
	for _, m := range r.members {
		ends.Go(func() { m.kill(); <-m.done })
	}
	ends.Wait()
}

// allCommitted holds what the group has committed against the ends of the partitions. A member that gets a partition back which it had
// before it was held still may go on from where it was then (kafka-python 3 does), and leave before it has caught up.
//
// It asks by a client of its own: the library looks for a coordinator once only, and on a connection that the killed server has left
// behind it finds but the end.
func (r *round) allCommitted(ctx context.Context) error {
	client, err := r.c.client()()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	committed, err := admin.FetchOffsets(ctx, r.c.Group)
	if err != nil {
		return fmt.Errorf("what %s has committed: %w", r.c.Group, err)
	}
	ends, err := admin.ListEndOffsets(ctx, r.c.Topic)
	if err != nil {
		return fmt.Errorf("the ends of %s: %w", r.c.Topic, err)
	}
	for p := range int32(churnPartitions) {
		is, _ := committed.Lookup(r.c.Topic, p)
		end, _ := ends.Lookup(r.c.Topic, p)
		if left, ok := r.ledger.leftAt(int(p)); is.At != end.Offset && !(ok && is.At == left) {
			return fmt.Errorf("partition %d ends at %d, and %d is committed although all was read", p, end.Offset, is.At)
		}
	}
	return nil
}
