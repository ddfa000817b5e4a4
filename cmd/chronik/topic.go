package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicCommand() *cobra.Command {
	f := &adminFlags{}
	cmd := noun("topic", "List, describe, create, alter and delete topics")
	f.add(cmd, formatTable, formatJSON)
	cmd.AddCommand(f.listTopics(), f.describeTopic(), f.createTopic(), f.alterTopic(), f.growTopic(), f.deleteTopic())
	return cmd
}

// topicLine is a topic in a list.
type topicLine struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas" help:"of each partition"`
	NotWhole   int    `json:"not_whole" help:"partitions without a leader, or with replicas that are not in sync"`
	Internal   bool   `json:"internal"`
}

func (f *adminFlags) listTopics() *cobra.Command {
	internal := false
	cmd := &cobra.Command{Use: "list", Short: "List topics, a line each", Args: noArgs, Example: `  chronik topic list
  chronik topic list --internal --format json`}
	cmd.Flags().BoolVar(&internal, "internal", false, "internal topics too, as those that brokers keep offsets in")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.ask(cmd, func(ctx context.Context, admin *kadm.Client) error {
			topics, err := admin.ListTopicsWithInternal(ctx)
			if err != nil {
				return err
			}
			lines := []topicLine{}
			for _, topic := range topics.Sorted() {
				if topic.IsInternal && !internal {
					continue
				}
				h := health{}
				h.add(topic)
				lines = append(lines, topicLine{topic.Topic, len(topic.Partitions), topic.Partitions.NumReplicas(), len(h.under) + len(h.leaderless), topic.IsInternal})
			}
			return f.print(cmd, lines, func(t table) {
				t.row("TOPIC", "PARTITIONS", "REPLICAS", "NOT WHOLE")
				for _, l := range lines {
					t.row(l.Topic, l.Partitions, l.Replicas, l.NotWhole)
				}
			})
		})
	}
	return documented(cmd, []topicLine{})
}

// topicView is all of a topic.
type topicView struct {
	Topic      string            `json:"topic"`
	ID         string            `json:"id" help:"as Kafka's tools write it"`
	Internal   bool              `json:"internal"`
	Configs    map[string]string `json:"configs" help:"those that were set for this topic"`
	Partitions []partitionView   `json:"partitions"`
}

type partitionView struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader" help:"a broker, or -1: none"`
	LeaderEpoch int32   `json:"leader_epoch"`
	Replicas    []int32 `json:"replicas" help:"brokers, the preferred leader first"`
	InSync      []int32 `json:"in_sync"`
	Offline     []int32 `json:"offline"`
	Start       *int64  `json:"start_offset" help:"the first that there is; null: no leader told it"`
	End         *int64  `json:"end_offset" help:"the next that will be written"`
}

func (f *adminFlags) describeTopic() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe TOPIC", Short: "Show a topic's configs, and of each partition where it lies, who leads it and what it holds",
		Args: oneTopic, ValidArgsFunction: f.topicNames(1), Example: "  chronik topic describe orders",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				v, err := viewTopic(ctx, admin, client, args[0])
				if err != nil {
					return err
				}
				return f.print(cmd, v, v.show)
			})
		},
	}
	return documented(cmd, topicView{})
}

func viewTopic(ctx context.Context, admin *kadm.Client, client *kgo.Client, name string) (v topicView, err error) {
	topics, err := admin.ListTopics(ctx, name)
	if err != nil {
		return v, err
	}
	topic := topics[name]
	if topic.Err != nil {
		return v, topicError(name, topic.Err)
	}
	v = topicView{Topic: name, ID: base64.RawURLEncoding.EncodeToString(topic.ID[:]), Internal: topic.IsInternal, Configs: map[string]string{}, Partitions: []partitionView{}}
	configs, err := describeConfigs(ctx, client, kmsg.ConfigResourceTypeTopic, name, nil)
	if err != nil {
		return v, topicError(name, err)
	}
	for _, c := range configs {
		if c.IsSet() {
			v.Configs[c.Name] = known(c.Value)
		}
	}
	starts, ends := offsetsOf(ctx, admin, topic)
	for _, p := range topic.Partitions.Sorted() {
		v.Partitions = append(v.Partitions, partitionView{p.Partition, p.Leader, p.LeaderEpoch, array(p.Replicas), array(p.ISR), array(p.OfflineReplicas),
			listed(starts, name, p.Partition), listed(ends, name, p.Partition)})
	}
	return v, nil
}

// offsetsPatience is how long it is waited for offsets that are shown beside something else.
const offsetsPatience = 3 * time.Second

// offsetsOf is what a topic holds; of partitions whose leader does not say it in time, nothing.
func offsetsOf(ctx context.Context, admin *kadm.Client, topic kadm.TopicDetail) (starts, ends kadm.ListedOffsets) {
	ctx, cancel := context.WithTimeout(ctx, offsetsPatience)
	defer cancel()
	starts, _ = admin.ListStartOffsets(ctx, topic.Topic) // what is missing is shown as such
	ends, _ = admin.ListEndOffsets(ctx, topic.Topic)
	return starts, ends
}

// listed is nil for an offset that nobody told.
func listed(offsets kadm.ListedOffsets, topic string, partition int32) *int64 {
	o, ok := offsets.Lookup(topic, partition)
	if !ok || o.Err != nil {
		return nil
	}
	return &o.Offset
}

func (v topicView) show(t table) {
	replicas := 0
	for _, p := range v.Partitions {
		replicas = max(replicas, len(p.Replicas))
	}
	t.say("topic %s, id %s: %s of %s", v.Topic, v.ID, counted(len(v.Partitions), "partition"), counted(replicas, "replica"))
	for _, name := range sortedKeys(v.Configs) {
		t.say("  %s=%s", name, v.Configs[name])
	}
	t.say("")
	t.row("PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE", "START", "END")
	for _, p := range v.Partitions {
		t.row(p.Partition, leaderText(p.Leader), p.LeaderEpoch, list(p.Replicas), list(p.InSync), cmp.Or(list(p.Offline), "-"), known(p.Start), known(p.End))
	}
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func leaderText(id int32) string {
	if id < 0 {
		return "none"
	}
	return fmt.Sprint(id)
}

// topicError is what a broker says of a topic.
func topicError(topic string, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("there is no topic %s: chronik topic list shows which there are", topic)
	}
	return fmt.Errorf("topic %s: %w", topic, err)
}

// settings reads name=value of flags and arguments.
func settings(where string, texts []string) (names []string, values map[string]*string, err error) {
	values = map[string]*string{}
	for _, s := range texts {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, nil, fmt.Errorf("%s %q: write name=value", where, s)
		}
		if values[name] == nil {
			names = append(names, name)
		}
		values[name] = &value
	}
	return names, values, nil
}
