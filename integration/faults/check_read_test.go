package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// verify compares all that the broker has with the ledger. It has just been started: no request of the time before can
// still arrive, and nobody but the lasting producers writes, which get through what was not answered.
func (l *clients) verify() {
	l.t.Helper()
	ctx, cancel := l.whileItRuns()
	defer cancel()
	client := l.newClient()
	defer client.Close()
	v, err := look(ctx, kadm.NewClient(client))
	if err != nil {
		l.t.Fatalf("ask what there is: %v", errors.Join(err, context.Cause(ctx)))
	}
	l.report(l.ledger.check(v)) // first: without its topic no producer gets anything through
	for _, p := range l.lasting {
		if err := p.client.Flush(ctx); err != nil {
			l.t.Fatalf("producer %d does not get its records through: %v", p.number, errors.Join(err, context.Cause(ctx)))
		}
	}
	readings, err := l.readAll(ctx, kadm.NewClient(client))
	if err != nil {
		l.t.Fatalf("read all: %v", errors.Join(err, context.Cause(ctx)))
	}
	wrong := l.ledger.met()
	l.ledger.with(func() { // members of a share group may still be reading
		for _, r := range readings {
			for _, problem := range r.ledger.check(r.start, r.end, r.sights) {
				wrong = append(wrong, fmt.Sprintf("%s/%d: %s", r.topic, r.partition, problem))
			}
			r.ledger.accept(r.start, r.sights)
		}
	})
	for _, r := range readings {
		l.count("records read back", int64(len(r.sights)))
	}
	l.report(wrong)
}

// whileItRuns ends when the broker does, or with our patience.
func (l *clients) whileItRuns() (context.Context, context.CancelFunc) {
	patient, cancel := context.WithTimeout(l.t.Context(), patience)
	ctx, stop := context.WithCancelCause(patient)
	go func(ended <-chan struct{}) {
		select {
		case <-ended:
			stop(errors.New("the broker ended by itself"))
		case <-ctx.Done():
		}
	}(l.ended())
	return ctx, cancel
}

func (l *clients) report(wrong []string) {
	l.t.Helper()
	for _, problem := range wrong[:min(len(wrong), 30)] {
		l.t.Error(problem)
	}
	if len(wrong) > 0 {
		l.t.Fatalf("%d things are not as they were acknowledged", len(wrong))
	}
}

// look returns what the broker says that there is.
func look(ctx context.Context, client *kadm.Client) (view, error) {
	v := view{map[string]topicView{}, map[commit]int64{}}
	topics, err := client.ListTopics(ctx)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return v, err
	}
	configs, err := client.DescribeTopicConfigs(ctx, topics.Names()...)
	if err != nil {
		return v, err
	}
	for name, topic := range topics {
		config, err := configs.On(name, nil)
		if err != nil {
			return v, err
		}
		seen := topicView{id: topic.ID, partitions: int64(len(topic.Partitions))}
		for _, c := range config.Configs {
			if c.Key == retentionConfig {
				seen.retention, err = strconv.ParseInt(c.MaybeValue(), 10, 64)
			}
		}
		if err != nil {
			return v, err
		}
		v.topics[name] = seen
	}
	return v, lookAtCommits(ctx, client, v.commits)
}

func lookAtCommits(ctx context.Context, client *kadm.Client, commits map[commit]int64) error {
	for _, group := range groups {
		offsets, err := fetchOffsets(ctx, client, group)
		if err != nil {
			return err
		}
		for _, o := range offsets.Sorted() {
			if o.Metadata != commitMetadata(o.At) {
				return fmt.Errorf("%s has committed %d of %s/%d with the metadata %q", group, o.At, o.Topic, o.Partition, o.Metadata)
			}
			commits[commit{group, o.Topic, o.Partition}] = o.At
		}
	}
	return nil
}

// fetchOffsets asks again while the group's coordinator moves: its client gives up sooner.
func fetchOffsets(ctx context.Context, client *kadm.Client, group string) (kadm.OffsetResponses, error) {
	for {
		offsets, err := client.FetchOffsets(ctx, group)
		if err == nil {
			err = offsets.Error()
		}
		if !errors.Is(err, kerr.NotCoordinator) && !errors.Is(err, kerr.CoordinatorNotAvailable) || ctx.Err() != nil {
			return offsets, err
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// A reading is all of one partition.
type reading struct {
	topic      string
	partition  int32
	ledger     *partitionLedger
	start, end int64
	sights     []sight
}

// readAll reads every partition from its start to its end.
func (l *clients) readAll(ctx context.Context, client *kadm.Client) ([]*reading, error) {
	readings, from, err := l.bounds(ctx, client)
	if err != nil || len(from) == 0 {
		return readings, err
	}
	reader, err := kgo.NewClient(append(l.clientOptions(), kgo.ConsumePartitions(from))...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for slices.ContainsFunc(readings, (*reading).unfinished) {
		fetched := reader.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return nil, err
		}
		fetched.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range readings {
				if r.topic == p.Topic && r.partition == p.Partition {
					for _, record := range p.Records {
						if l.late && record.Offset >= r.end {
							break
						}
						r.sights = append(r.sights, newSight(record))
					}
				}
			}
		})
	}
	return readings, nil
}

// unfinished: one that was shown more than there is must not wait for ever either, so it goes by the offset.
func (r *reading) unfinished() bool {
	if n := len(r.sights); n > 0 {
		return r.sights[n-1].offset < r.end-1
	}
	return r.start < r.end
}

// bounds returns all partitions, and where to read those that have something.
func (l *clients) bounds(ctx context.Context, client *kadm.Client) (all []*reading, from map[string]map[int32]kgo.Offset, err error) {
	starts, err := client.ListStartOffsets(ctx)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, nil, err
	}
	ends, err := client.ListEndOffsets(ctx)
	if err == nil {
		err = ends.Error()
	}
	from = map[string]map[int32]kgo.Offset{}
	for _, t := range l.ledger.topics {
		if t.gone() {
			continue
		}
		for n := range int32(t.size.is) {
			start, known := starts.Lookup(t.name, n)
			end, alsoKnown := ends.Lookup(t.name, n)
			if !known || !alsoKnown {
				return nil, nil, fmt.Errorf("%s/%d has no offsets", t.name, n)
			}
			r := &reading{topic: t.name, partition: n, ledger: t.partition(n), start: start.Offset, end: end.Offset}
			all = append(all, r)
			if r.start < r.end {
				if from[t.name] == nil {
					from[t.name] = map[int32]kgo.Offset{}
				}
				from[t.name][n] = kgo.NewOffset().At(r.start)
			}
		}
	}
	return all, from, err
}
