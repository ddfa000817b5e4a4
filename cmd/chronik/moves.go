package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// moving is a partition whose replicas are on their way.
type moving struct {
	topic                      string
	partition                  int32
	replicas, adding, removing []int32
}

// explains says whether the replicas that are not in sync are only those that are being added.
func (m moving) explains(p kadm.PartitionDetail) bool {
	return !slices.ContainsFunc(p.Replicas, func(id int32) bool { return !slices.Contains(p.ISR, id) && !slices.Contains(m.adding, id) })
}

// reassignments is all partitions of the cluster that are on their way, by name.
func reassignments(ctx context.Context, client *kgo.Client) (map[string]moving, error) {
	resp, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	all := map[string]moving{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			all[fmt.Sprintf("%s-%d", t.Topic, p.Partition)] = moving{t.Topic, p.Partition, p.Replicas, p.AddingReplicas, p.RemovingReplicas}
		}
	}
	return all, nil
}

// view is what a command sees of the cluster.
type view struct {
	nodes    map[int32]kmsg.DescribeClusterResponseBroker // all that are registered
	places   []place                                      // what is on its way counts as there
	cordoned map[int32]bool                               // drained: nothing is moved there
}

func look(ctx context.Context, admin *kadm.Client, client *kgo.Client) (v view, err error) {
	rq := kmsg.NewPtrDescribeClusterRequest()
	rq.IncludeFencedBrokers = true
	resp, err := rq.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return v, err
	}
	v.nodes = map[int32]kmsg.DescribeClusterResponseBroker{}
	var live []int32
	for _, b := range resp.Brokers {
		if v.nodes[b.NodeID] = b; !b.IsFenced {
			live = append(live, b.NodeID)
		}
	}
	v.cordoned = cordoned(ctx, client, live)
	topics, err := admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return v, err
	}
	onTheWay, err := reassignments(ctx, client)
	if err != nil {
		return v, err
	}
	for _, t := range topics.Sorted() {
		if t.Err != nil {
			return v, fmt.Errorf("topic %s: %w", t.Topic, t.Err)
		}
		for _, p := range t.Partitions.Sorted() {
			one := place{topic: t.Topic, partition: p.Partition, was: p.Replicas}
			one.was = without(one.was, onTheWay[one.name()].removing)
			v.places = append(v.places, one)
		}
	}
	return v, nil
}

func without(list, others []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(list), func(id int32) bool { return slices.Contains(others, id) })
}

// racks is the nodes that are there and not drained, without one of them.
func (v view) racks(leaving ...int32) map[int32]string {
	racks := map[int32]string{}
	for id, b := range v.nodes {
		if b.IsFenced || v.cordoned[id] || slices.Contains(leaving, id) {
			continue
		}
		racks[id] = ""
		if b.Rack != nil {
			racks[id] = *b.Rack
		}
	}
	return racks
}

// holds is how many partitions have a replica at the node, or will.
func (v view) holds(id int32) (n int) {
	for _, p := range v.places {
		if slices.Contains(p.was, id) {
			n++
		}
	}
	return n
}

func (v view) names() string {
	ids := make([]int32, 0, len(v.nodes))
	for id := range v.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return list(ids)
}

// unfinished is the end of a command that has waited for as long as it was told to.
type unfinished string

func (u unfinished) Error() string { return string(u) }

const goesOn = "it goes on by itself: run the command again to watch it, or take it back with: chronik cluster rebalance --cancel"

// move carries a plan out, some partitions at a time, and returns when all are there.
type move struct {
	client  *kgo.Client
	out     io.Writer
	bar     *bar // instead of lines, on a terminal
	atOnce  int
	total   int
	waiting []place          // not begun
	running map[string]place // begun, by name
	said    string
	saidAt  time.Time
	refused []error
}

const (
	lookEvery = 300 * time.Millisecond
	sayEvery  = 2 * time.Second
)

func carryOut(ctx context.Context, client *kgo.Client, out io.Writer, bar *bar, plan []place, atOnce int) error {
	m := move{client: client, out: out, bar: bar, atOnce: atOnce, total: len(plan), waiting: plan, running: map[string]place{}}
	for {
		err := m.step(ctx)
		if err == nil && len(m.waiting)+len(m.running) == 0 {
			break
		}
		if err != nil && !retriable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return unfinished(fmt.Sprintf("%d of %s not moved yet; %s", len(m.waiting)+len(m.running), countedWith(m.total, "partition", "has", "have"), goesOn))
		case <-time.After(lookEvery):
		}
	}
	m.say(true)
	return errors.Join(append(m.refused, m.elect(ctx, plan))...)
}

// retriable says whether the cluster may answer in a moment: its controller is changing, or a node went.
func retriable(err error) bool {
	var code *kerr.Error
	return !errors.As(err, &code) || code.Retriable || code == kerr.RequestTimedOut
}

// step sees what has arrived and begins what there is room for.
func (m *move) step(ctx context.Context) error {
	onTheWay, err := reassignments(ctx, m.client)
	if err != nil {
		return err
	}
	for name := range m.running {
		if _, still := onTheWay[name]; !still {
			delete(m.running, name)
		}
	}
	n := min(len(m.waiting), m.atOnce-len(m.running))
	if n > 0 {
		if err := m.begin(ctx, m.waiting[:n]); err != nil {
			return err
		}
		m.waiting = m.waiting[n:]
	}
	m.say(false)
	return nil
}

func (m *move) begin(ctx context.Context, places []place) error {
	rq := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rq.TimeoutMillis = 30_000
	for _, p := range places {
		one := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		one.Partition, one.Replicas = p.partition, p.is
		if n := len(rq.Topics); n == 0 || rq.Topics[n-1].Topic != p.topic {
			rq.Topics = append(rq.Topics, kmsg.AlterPartitionAssignmentsRequestTopic{Topic: p.topic})
		}
		t := &rq.Topics[len(rq.Topics)-1]
		t.Partitions = append(t.Partitions, one)
	}
	resp, err := rq.RequestWith(ctx, m.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return err
	}
	refused := map[string]error{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			switch {
			case err == nil || errors.Is(err, kerr.UnknownTopicOrPartition): // it was deleted meanwhile
			case retriable(err):
				return err // of all or of none: they are asked for again
			default:
				name := fmt.Sprintf("%s-%d", t.Topic, p.Partition)
				refused[name] = fmt.Errorf("%s: %w", name, explained(text(p.ErrorMessage), err))
			}
		}
	}
	for _, p := range places {
		if err := refused[p.name()]; err != nil {
			m.refused = append(m.refused, err)
		} else {
			m.running[p.name()] = p
		}
	}
	return nil
}

// say tells how far it is, now and then, and where it is at a stop.
func (m *move) say(last bool) {
	done := m.total - len(m.waiting) - len(m.running) - len(m.refused)
	line := fmt.Sprintf("%d of %s moved", done, countedWith(m.total, "partition", "has", "have"))
	if m.bar.set(int64(done), int64(m.total)); m.bar != nil && !last {
		return
	}
	m.bar.end()
	if line == m.said || !last && time.Since(m.saidAt) < sayEvery {
		return
	}
	m.said, m.saidAt = line, time.Now()
	fmt.Fprintln(m.out, line)
}

// elect has the first replica of each lead, where another one does.
func (m *move) elect(ctx context.Context, plan []place) error {
	rq := kmsg.NewPtrElectLeadersRequest()
	rq.TimeoutMillis = 30_000
	for _, p := range plan {
		if n := len(rq.Topics); n == 0 || rq.Topics[n-1].Topic != p.topic {
			rq.Topics = append(rq.Topics, kmsg.ElectLeadersRequestTopic{Topic: p.topic})
		}
		t := &rq.Topics[len(rq.Topics)-1]
		t.Partitions = append(t.Partitions, p.partition)
	}
	if len(plan) == 0 {
		return nil
	}
	resp, err := rq.RequestWith(ctx, m.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	return err
}

// show prints a plan.
func show(t table, plan []place) error {
	slices.SortFunc(plan, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	t.row("PARTITION", "REPLICAS", "TO BE", "COPIES")
	for _, p := range plan {
		t.row(p.name(), list(p.was), list(p.is), p.copies())
	}
	return t.Flush()
}

// summary is a plan in one line.
func summary(plan []place) string {
	copies := 0
	for _, p := range plan {
		copies += p.copies()
	}
	return fmt.Sprintf("%s, for which %s copied", countedWith(len(plan), "partition", "changes", "change"), countedWith(copies, "replica", "is", "are"))
}
