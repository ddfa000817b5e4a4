package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A changer changes what the broker has beside records, one thing after the other: topics, their partitions and
// configs, log starts. It ends with the first change of which it does not know whether it was made.
type changer struct {
	clients *clients
	dice    *rand.Rand
	kadm    *kadm.Client
}

func (c *changer) run(ctx context.Context) {
	changes := []func(context.Context) bool{c.create, c.create, c.delete, c.configure, c.grow, c.trim, c.trim}
	for ctx.Err() == nil && changes[c.dice.IntN(len(changes))](ctx) {
		pause(ctx, time.Duration(c.dice.Int64N(int64(30*time.Millisecond))))
	}
}

// names of topics that come and go. A name is used again only under another load, when the clients that may still write
// to what had it before are gone.
const (
	passingNames  = 6
	maxPartitions = 6
)

// create creates a topic under a name that is free, and was when the load began.
func (c *changer) create(ctx context.Context) bool {
	name := fmt.Sprintf("passing-%d", c.dice.IntN(passingNames))
	taken := false
	c.clients.ledger.with(func() {
		for _, t := range c.clients.ledger.topics {
			taken = taken || t.name == name && (!t.gone() || t.deletedIn == c.clients.loads)
		}
	})
	return taken || c.createTopic(ctx, name, 1+c.dice.Int32N(3), false)
}

func (c *changer) createTopic(ctx context.Context, name string, partitions int32, lasting bool) bool {
	t := c.clients.ledger.newTopic(name, partitions, lasting)
	return c.clients.change("topics created", &t.exists, present, func() error {
		created, err := c.kadm.CreateTopic(ctx, partitions, c.clients.replicas, nil, name)
		c.clients.ledger.with(func() { t.id = created.ID })
		return err
	})
}

func (c *changer) delete(ctx context.Context) bool {
	t := c.clients.ledger.pick(c.dice, false)
	if t.lasting {
		return true
	}
	t.deletedIn = c.clients.loads
	return c.clients.change("topics deleted", &t.exists, absent, func() error {
		_, err := c.kadm.DeleteTopic(ctx, t.name)
		return err
	})
}

func (c *changer) configure(ctx context.Context) bool {
	t := c.clients.ledger.pick(c.dice, false)
	v := defaultRetention + 1 + c.dice.Int64N(1e9)
	return c.clients.change("configs changed", &t.retention, v, func() error {
		text := strconv.FormatInt(v, 10)
		answers, err := c.kadm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: retentionConfig, Value: &text}}, t.name)
		if err == nil {
			err = answers[0].Err
		}
		return err
	})
}

const retentionConfig = "retention.ms"

func (c *changer) grow(ctx context.Context) bool {
	t := c.clients.ledger.pick(c.dice, false)
	more := t.size.is + 1
	if more > maxPartitions {
		return true
	}
	return c.clients.change("partitions added", &t.size, more, func() error {
		answers, err := c.kadm.UpdatePartitions(ctx, int(more), t.name)
		if err == nil {
			err = answers.Error()
		}
		return err
	})
}

// trim deletes some of the records that were acknowledged.
func (c *changer) trim(ctx context.Context) bool {
	const most = 100
	t := c.clients.ledger.pick(c.dice, false)
	n := c.dice.Int32N(c.clients.ledger.sizeOf(t))
	var p *partitionLedger
	var deletable int64
	c.clients.ledger.with(func() {
		p = t.partition(n)
		deletable = min(p.acked-p.start.is, most)
	})
	if deletable <= 0 {
		return true
	}
	to := p.start.is + 1 + c.dice.Int64N(deletable)
	return c.clients.change("log starts moved", &p.start, to, func() error {
		answers, err := c.kadm.DeleteRecords(ctx, kadm.Offsets{t.name: {n: {Topic: t.name, Partition: n, At: to}}})
		if err == nil {
			err = answers.Error()
		}
		return err
	})
}

// A committer commits offsets for a group, each greater than the one before, until it does not know of one.
type committer struct {
	clients *clients
	dice    *rand.Rand
	kadm    *kadm.Client
	group   string
}

func (c *committer) run(ctx context.Context) {
	for ctx.Err() == nil {
		t := c.clients.ledger.pick(c.dice, true)
		key := commit{c.group, t.name, c.dice.Int32N(c.clients.ledger.sizeOf(t))}
		r := c.clients.ledger.committed(key)
		at := r.is + 1 + c.dice.Int64N(10)
		known := c.clients.change("offsets committed", r, at, func() error {
			answers, err := c.kadm.CommitOffsets(ctx, key.group, kadm.Offsets{key.topic: {key.partition: {
				Topic: key.topic, Partition: key.partition, At: at, LeaderEpoch: -1, Metadata: commitMetadata(at),
			}}})
			if err == nil {
				err = answers.Error()
			}
			return err
		})
		if !known {
			return
		}
		pause(ctx, time.Duration(c.dice.Int64N(int64(5*time.Millisecond))))
	}
}

// commitMetadata must come back with the offset that it was committed with.
func commitMetadata(at int64) string { return "at " + strconv.FormatInt(at, 10) }

// A watcher reads what is being written; what it was shown must stay.
type watcher struct {
	clients *clients
	client  *kgo.Client
	topics  map[string]*topicLedger
}

func (l *clients) newWatcher() *watcher {
	l.t.Helper()
	w := &watcher{clients: l, topics: map[string]*topicLedger{}}
	from := []kgo.Offset{kgo.NewOffset().AtStart(), kgo.NewOffset().AtEnd()}[l.dice.IntN(2)]
	partitions := map[string]map[int32]kgo.Offset{}
	for _, t := range l.ledger.topics {
		if !t.lasting || !t.usable() {
			continue
		}
		w.topics[t.name] = t
		partitions[t.name] = map[int32]kgo.Offset{}
		for n := range int32(t.size.is) {
			partitions[t.name][n] = from
		}
	}
	client, err := kgo.NewClient(append(l.clientOptions(), kgo.ConsumePartitions(partitions), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		l.t.Fatal(err)
	}
	w.client = client
	return w
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		for r := range w.client.PollFetches(ctx).RecordsAll() {
			w.clients.ledger.see(w.topics[r.Topic], r.Partition, newSight(r))
		}
	}
}

// groups are those that committers commit for.
var groups = []string{"group-0", "group-1"}
