package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func topicCommand() *cobra.Command {
	f := &adminFlags{}
	cmd := group("topic", "List, describe, create, grow and delete topics")
	f.add(cmd)
	cmd.AddCommand(f.listTopics(), f.describeTopic(), f.createTopic(), f.growTopic(), f.deleteTopic())
	return cmd
}

func (f *adminFlags) listTopics() *cobra.Command {
	internal := false
	cmd := &cobra.Command{Use: "list", Short: "List topics, a line each", Args: cobra.NoArgs}
	cmd.Flags().BoolVar(&internal, "internal", false, "internal topics too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.ask(cmd, func(ctx context.Context, admin *kadm.Client) error {
			topics, err := admin.ListTopicsWithInternal(ctx)
			if err != nil {
				return err
			}
			t := newTable(cmd)
			t.row("TOPIC", "PARTITIONS", "REPLICAS", "NOT WHOLE")
			for _, topic := range topics.Sorted() {
				if topic.IsInternal && !internal {
					continue
				}
				h := health{}
				h.add(topic)
				t.row(topic.Topic, len(topic.Partitions), topic.Partitions.NumReplicas(), len(h.under)+len(h.leaderless))
			}
			return t.Flush()
		})
	}
	return cmd
}

func (f *adminFlags) describeTopic() *cobra.Command {
	return &cobra.Command{
		Use: "describe TOPIC", Short: "Show where each partition lies, who leads it and who is in sync", Args: oneTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd, func(ctx context.Context, admin *kadm.Client) error {
				topics, err := admin.ListTopics(ctx, args[0])
				if err != nil {
					return err
				}
				topic := topics[args[0]]
				if topic.Err != nil {
					return topicError(args[0], topic.Err)
				}
				t := newTable(cmd)
				t.row("PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "OFFLINE")
				for _, p := range topic.Partitions.Sorted() {
					t.row(p.Partition, leaderText(p.Leader), p.LeaderEpoch, list(p.Replicas), list(p.ISR), list(p.OfflineReplicas))
				}
				return t.Flush()
			})
		},
	}
}

func leaderText(id int32) string {
	if id < 0 {
		return "none"
	}
	return fmt.Sprint(id)
}

func (f *adminFlags) createTopic() *cobra.Command {
	partitions, replicas, settings := int32(-1), int16(-1), []string{}
	cmd := &cobra.Command{Use: "create TOPIC", Short: "Create a topic", Args: oneTopic}
	cmd.Flags().Int32Var(&partitions, "partitions", -1, "`number` of partitions; -1 is the broker's default")
	cmd.Flags().Int16Var(&replicas, "replicas", -1, "`number` of replicas of each; -1 is the broker's default")
	cmd.Flags().StringArrayVar(&settings, "config", nil, "`name=value` of a topic config; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		configs := map[string]*string{}
		for _, s := range settings {
			name, value, ok := strings.Cut(s, "=")
			if !ok {
				return fmt.Errorf("--config %q: write name=value", s)
			}
			configs[name] = &value
		}
		return f.ask(cmd, func(ctx context.Context, admin *kadm.Client) error {
			r, err := admin.CreateTopic(ctx, partitions, replicas, configs, args[0])
			if err != nil {
				return explained(r.ErrMessage, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "created %s: %d partitions of %d replicas\n", r.Topic, r.NumPartitions, r.ReplicationFactor)
			return err
		})
	}
	return cmd
}

func (f *adminFlags) growTopic() *cobra.Command {
	partitions := 0
	cmd := &cobra.Command{Use: "grow TOPIC --partitions number", Short: "Give a topic more partitions", Args: oneTopic}
	cmd.Flags().IntVar(&partitions, "partitions", 0, "`number` of partitions that it is to have in all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("partitions") {
			return errors.New("how many? write --partitions and the number that the topic is to have in all")
		}
		return f.ask(cmd, func(ctx context.Context, admin *kadm.Client) error {
			all, err := admin.UpdatePartitions(ctx, partitions, args[0])
			if err != nil {
				return err
			}
			if r := all[args[0]]; r.Err != nil {
				return topicError(args[0], explained(r.ErrMessage, r.Err))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has %d partitions\n", args[0], partitions)
			return err
		})
	}
	return cmd
}

func (f *adminFlags) deleteTopic() *cobra.Command {
	return &cobra.Command{
		Use: "delete TOPIC...", Short: "Delete topics with their records", Args: someTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd, func(ctx context.Context, admin *kadm.Client) error {
				all, err := admin.DeleteTopics(ctx, args...)
				if err != nil {
					return err
				}
				var failed []error
				for _, r := range all.Sorted() {
					if r.Err != nil {
						failed = append(failed, topicError(r.Topic, explained(r.ErrMessage, r.Err)))
					} else {
						fmt.Fprintln(cmd.OutOrStdout(), "deleted", r.Topic)
					}
				}
				return errors.Join(failed...)
			})
		},
	}
}

func oneTopic(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("which topic? name one: %s", cmd.UseLine())
	}
	return nil
}

func someTopics(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which topics? name them: %s", cmd.UseLine())
	}
	return nil
}

// topicError is what a broker says of a topic.
func topicError(topic string, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("there is no topic %s", topic)
	}
	return fmt.Errorf("topic %s: %w", topic, err)
}

// explained is err with what the broker says of it.
func explained(message string, err error) error {
	if message == "" {
		return err
	}
	return fmt.Errorf("%s (%w)", message, err)
}
