package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicMade is what a topic has after it was created or changed.
type topicMade struct {
	Topic      string `json:"topic"`
	Partitions int32  `json:"partitions"`
	Replicas   int16  `json:"replicas" help:"of each partition"`
}

func (f *adminFlags) createTopic() *cobra.Command {
	partitions, replicas, configs, check := int32(-1), int16(-1), []string{}, false
	cmd := &cobra.Command{Use: "create TOPIC", Short: "Create a topic", Args: oneTopic, Example: `  chronik topic create orders
  chronik topic create orders --partitions 12 --replicas 3 --config retention.ms=86400000`}
	cmd.Flags().Int32Var(&partitions, "partitions", -1, "`number` of partitions; -1 is the broker's default")
	cmd.Flags().Int16Var(&replicas, "replicas", -1, "`number` of replicas of each; -1 is the broker's default")
	cmd.Flags().StringArrayVar(&configs, "config", nil, "`name=value` of a topic config; may be repeated")
	cmd.Flags().BoolVar(&check, "dry-run", false, "check that it could be created, and create nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, values, err := settings("--config", configs)
		if err != nil {
			return err
		}
		return f.ask(cmd, func(ctx context.Context, admin *kadm.Client) error {
			create, done := admin.CreateTopics, "created"
			if check {
				create, done = admin.ValidateCreateTopics, "nothing was changed; it can be created:"
			}
			all, err := create(ctx, partitions, replicas, values, args[0])
			if err != nil {
				return err
			}
			r := all[args[0]]
			if r.Err != nil {
				return explained(r.ErrMessage, r.Err)
			}
			return f.print(cmd, topicMade{r.Topic, r.NumPartitions, r.ReplicationFactor}, func(t table) {
				t.say("%s %s: %s of %s", done, r.Topic, counted(r.NumPartitions, "partition"), counted(r.ReplicationFactor, "replica"))
			})
		})
	}
	return documented(cmd, topicMade{})
}

// topicChange is what alter is to change.
type topicChange struct {
	Topic      string            `json:"topic"`
	Set        map[string]string `json:"set" help:"configs"`
	Deleted    []string          `json:"deleted" help:"configs"`
	Partitions int               `json:"partitions" help:"in all; 0: as many as before"`
}

func (f *adminFlags) alterTopic() *cobra.Command {
	change, set, check := topicChange{Set: map[string]string{}, Deleted: []string{}}, []string{}, false
	cmd := &cobra.Command{
		Use: "alter TOPIC", Short: "Set or delete a topic's configs, or give it more partitions", Args: oneTopic, ValidArgsFunction: f.topicNames(1),
		Example: `  chronik topic alter orders --config retention.ms=86400000 --config max.message.bytes=2097152
  chronik topic alter orders --delete-config retention.ms
  chronik topic alter orders --partitions 24`,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, values, err := settings("--config", set)
			if err != nil {
				return err
			}
			for name, value := range values {
				change.Set[name] = *value
			}
			if len(change.Set)+len(change.Deleted)+change.Partitions == 0 {
				return errors.New("alter what? write --config name=value, --delete-config name, or --partitions number")
			}
			change.Topic = args[0]
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				if err := knownConfigs(ctx, client, kmsg.ConfigResourceTypeTopic, args[0], []string{"topic", args[0]}, change.Deleted); err != nil {
					return err
				}
				if err := change.carryOut(ctx, admin, client, check); err != nil {
					return topicError(args[0], err)
				}
				return f.print(cmd, change, func(t table) { change.show(t, check) })
			})
		},
	}
	cmd.Flags().StringArrayVar(&set, "config", nil, "`name=value` of a topic config to set; may be repeated")
	cmd.Flags().StringArrayVar(&change.Deleted, "delete-config", nil, "`name` of a topic config to delete, so that the default holds; may be repeated")
	cmd.Flags().IntVar(&change.Partitions, "partitions", 0, "`number` of partitions that it is to have in all, which can only grow; keys go to other partitions then")
	cmd.Flags().BoolVar(&check, "dry-run", false, "check that it could be done, and change nothing")
	return documented(cmd, topicChange{})
}

// carryOut changes configs first: they are refused as a whole or not at all.
func (c topicChange) carryOut(ctx context.Context, admin *kadm.Client, client *kgo.Client, check bool) error {
	if len(c.Set)+len(c.Deleted) > 0 {
		if err := alterConfigs(ctx, client, kmsg.ConfigResourceTypeTopic, c.Topic, c.Set, c.Deleted, check); err != nil {
			return err
		}
	}
	if c.Partitions == 0 {
		return nil
	}
	update := admin.UpdatePartitions
	if check {
		update = admin.ValidateUpdatePartitions
	}
	return grown(update(ctx, c.Partitions, c.Topic))(c.Topic)
}

func (c topicChange) show(t table, check bool) {
	if check {
		t.say("nothing was changed; it can be done:")
	}
	for _, name := range sortedKeys(c.Set) {
		t.say("%s has %s=%s", c.Topic, name, c.Set[name])
	}
	for _, name := range c.Deleted {
		t.say("%s has the default of %s", c.Topic, name)
	}
	if c.Partitions > 0 {
		t.say("%s has %s", c.Topic, counted(c.Partitions, "partition"))
	}
}

// grown is the answer for one topic.
func grown(all kadm.CreatePartitionsResponses, err error) func(topic string) error {
	return func(topic string) error {
		if err != nil {
			return err
		}
		return explainedIf(all[topic].ErrMessage, all[topic].Err)
	}
}

func explainedIf(message string, err error) error {
	if err == nil {
		return nil
	}
	return explained(message, err)
}

func (f *adminFlags) growTopic() *cobra.Command {
	partitions := 0
	cmd := &cobra.Command{Use: "grow TOPIC --partitions number", Short: "Give a topic more partitions", Args: oneTopic, ValidArgsFunction: f.topicNames(1),
		Example: "  chronik topic grow orders --partitions 24"}
	cmd.Flags().IntVar(&partitions, "partitions", 0, "`number` of partitions that it is to have in all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("partitions") {
			return errors.New("how many? write --partitions and the number that the topic is to have in all")
		}
		return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
			change := topicChange{Topic: args[0], Partitions: partitions, Set: map[string]string{}, Deleted: []string{}}
			if err := grown(admin.UpdatePartitions(ctx, partitions, args[0]))(args[0]); err != nil {
				return topicError(args[0], err)
			}
			return f.print(cmd, change, func(t table) { change.show(t, false) })
		})
	}
	return documented(cmd, topicChange{})
}

// deleted is what became of one thing that was to be deleted.
type deleted struct {
	Name    string `json:"name"`
	Deleted bool   `json:"deleted"`
	Error   string `json:"error" help:"empty when it was deleted"`
}

// printDeleted tells what was deleted; what was not is the error.
func (f *adminFlags) printDeleted(cmd *cobra.Command, all []deleted) error {
	err := f.print(cmd, array(all), func(t table) {
		for _, d := range all {
			if d.Deleted {
				t.say("deleted %s", d.Name)
			}
		}
	})
	failed := []error{err}
	for _, d := range all {
		if !d.Deleted {
			failed = append(failed, errors.New(d.Error))
		}
	}
	return errors.Join(failed...)
}

func newDeleted(name string, err error) deleted {
	if err != nil {
		return deleted{Name: name, Error: err.Error()}
	}
	return deleted{Name: name, Deleted: true}
}

func (f *adminFlags) deleteTopic() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete TOPIC...", Short: "Delete topics with their records", Args: someTopics, ValidArgsFunction: f.topicNames(many),
		Example: "  chronik topic delete orders payments",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd, func(ctx context.Context, admin *kadm.Client) error {
				responses, err := admin.DeleteTopics(ctx, args...)
				if err != nil {
					return err
				}
				var all []deleted
				for _, r := range responses.Sorted() {
					err := explainedIf(r.ErrMessage, r.Err)
					if err != nil {
						err = topicError(r.Topic, err)
					}
					all = append(all, newDeleted(r.Topic, err))
				}
				return f.printDeleted(cmd, all)
			})
		},
	}
	return documented(cmd, []deleted{})
}
