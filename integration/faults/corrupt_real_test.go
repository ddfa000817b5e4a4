package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
)

// runServer is runNode with a process and a client.
func runServer(t *testing.T, dir string, want *shown) (r corruptRun) {
	t.Helper()
	b := broker.At(t, dir, corruptFlags...)
	p := broker.Start(t, broker.Command(t, "chronik-server"), b.Args()...)
	if !awaitReady(t, p) {
		return corruptRun{refused: errors.New(p.Said()), log: p.Said(), closing: ends(p, 1)}
	}
	ctx, cancel := context.WithTimeout(t.Context(), corruptPatience)
	defer cancel()
	client, err := kgo.NewClient(clientOptions(b.Address())...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if r.shown, err = showServer(ctx, client, want); err != nil {
		t.Fatalf("ask the broker: %v\n%s", err, p.Said())
	}
	p.Signal(syscall.SIGTERM)
	p.Wait()
	r.log, r.closing = p.Said(), ends(p, 0)
	return r
}

// ends is nil when the process ended with the code, and not in a panic.
func ends(p *broker.Process, code int) error {
	if is := p.Wait(); is != code || strings.Contains(p.Said(), "goroutine ") {
		return fmt.Errorf("the process ended with %d: %s", is, head(p.Said(), 30))
	}
	return nil
}

// awaitReady says whether the process got ready; otherwise it has ended.
func awaitReady(t *testing.T, p *broker.Process) bool {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	patience := time.After(corruptPatience)
	for !strings.Contains(p.Said(), `"msg":"ready"`) {
		select {
		case <-p.Done:
			return false
		case <-patience:
			t.Fatalf("neither ready nor ended:\n%s", p.Said())
		case <-look.C:
		}
	}
	return true
}

// showServer asks for everything over the network, and for records as they are stored.
func showServer(ctx context.Context, client *kgo.Client, want *shown) (*shown, error) {
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	s := &shown{said: map[string]string{}, partitions: map[string]*shownPartition{}}
	for name, topic := range topics {
		s.said["topic "+name] = fmt.Sprint(topic.ID, len(topic.Partitions), topic.Err)
	}
	if err := s.sayConfigs(ctx, admin, topics); err != nil {
		return nil, err
	}
	if err := s.sayCommits(ctx, admin); err != nil {
		return nil, err
	}
	starts, err := admin.ListStartOffsets(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx)
	if err != nil {
		return nil, err
	}
	for name, topic := range topics {
		for number := range topic.Partitions {
			start, _ := starts.Lookup(name, number)
			end, _ := ends.Lookup(name, number)
			p := &shownPartition{start: start.Offset, stable: end.Offset, end: end.Offset}
			var expected *shownPartition
			id := fmt.Sprintf("%s/%d", name, number)
			if want != nil {
				expected = want.partitions[id]
			}
			if err := p.fetch(ctx, client, topic, number, expected); err != nil {
				return nil, err
			}
			s.partitions[id] = p
		}
	}
	return s, nil
}

func (s *shown) sayConfigs(ctx context.Context, admin *kadm.Client, topics kadm.TopicDetails) error {
	configs, err := admin.DescribeTopicConfigs(ctx, topics.Names()...)
	if err != nil {
		return err
	}
	for _, of := range configs {
		for _, c := range of.Configs {
			s.said["config "+c.Key+" of "+of.Name] = c.MaybeValue()
		}
	}
	return nil
}

func (s *shown) sayCommits(ctx context.Context, admin *kadm.Client) error {
	groups, err := admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	for _, group := range groups.Groups() {
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		for _, o := range offsets.Sorted() {
			s.said[fmt.Sprintf("commit of %s for %s/%d", group, o.Topic, o.Partition)] = fmt.Sprint(o.At, o.LeaderEpoch, o.Metadata, o.Err)
		}
	}
	return nil
}

// fetch reads a partition from its start to its end, and goes on behind what it does not get.
func (p *shownPartition) fetch(ctx context.Context, client *kgo.Client, topic kadm.TopicDetail, number int32, want *shownPartition) error {
	for at := p.start; at < p.end; {
		answer, err := fetchAt(topic, number, at).RequestWith(ctx, client.Broker(1))
		if err != nil {
			return err
		}
		if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
			return fmt.Errorf("offset %d of %s/%d: the answer is of %d topics", at, topic.Topic, number, len(answer.Topics))
		}
		in := answer.Topics[0].Partitions[0]
		if in.ErrorCode != 0 || len(in.RecordBatches) == 0 {
			next := min(want.after(at), p.end)
			p.failures = append(p.failures, readFailure{at, next, kerr.Code(in.ErrorCode)})
			at = next
			continue
		}
		for rest := in.RecordBatches; len(rest) > 0; {
			b, after, err := batch.Next(rest)
			if err != nil {
				return fmt.Errorf("offset %d of %s/%d: served, but no batch: %w", at, topic.Topic, number, err)
			}
			p.batches = append(p.batches, b)
			at, rest = max(at+1, b.NextOffset()), after
		}
	}
	return nil
}

func fetchAt(topic kadm.TopicDetail, number int32, at int64) *kmsg.FetchRequest {
	rq := kmsg.NewPtrFetchRequest()
	rq.MinBytes, rq.MaxBytes, rq.SessionEpoch = 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic.Topic, topic.ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = number, at, 256<<10
	t.Partitions = append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	return rq
}
