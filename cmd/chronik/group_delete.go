package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (f *adminFlags) deleteGroup() *cobra.Command {
	var topics []string
	cmd := &cobra.Command{
		Use: "delete GROUP...", Short: "Delete groups without members with their offsets, or only their offsets of some topics",
		Args: someGroups, ValidArgsFunction: f.groupNames(many), Example: `  chronik group delete billing
  chronik group delete billing --topic orders     # only its offsets of orders`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				if len(topics) == 0 {
					return f.deleteGroups(ctx, cmd, admin, args)
				}
				var all []deleted
				for _, group := range args {
					g, err := groupNamed(ctx, client, group)
					if err != nil {
						return err
					}
					all = append(all, deleteOffsets(ctx, admin, g, topics)...)
				}
				return f.printDeleted(cmd, all)
			})
		},
	}
	cmd.Flags().StringSliceVar(&topics, "topic", nil, "delete only the offsets of these `topics`, of which nobody of the group reads any more")
	_ = cmd.RegisterFlagCompletionFunc("topic", f.topicNames(many))
	return documented(cmd, []deleted{})
}

func (f *adminFlags) deleteGroups(ctx context.Context, cmd *cobra.Command, admin *kadm.Client, groups []string) error {
	responses, err := admin.DeleteGroups(ctx, groups...)
	if len(responses) == 0 && err != nil {
		return err
	}
	var all []deleted
	for _, r := range responses.Sorted() {
		err := r.Err
		if err != nil {
			err = groupError(r.Group, explained(r.ErrMessage, err))
		}
		all = append(all, newDeleted(r.Group, err))
	}
	return errors.Join(err, f.printDeleted(cmd, all))
}

// deleteOffsets forgets where the group goes on in the topics.
func deleteOffsets(ctx context.Context, admin *kadm.Client, g groupLine, topics []string) (all []deleted) {
	failed := map[string]error{}
	switch {
	case g.Type == "":
		return []deleted{newDeleted(g.Group, noGroup(g.Group))}
	case g.Type == shareGroup:
		responses, err := admin.DeleteShareGroupOffsets(ctx, g.Group, topics...)
		for _, topic := range topics {
			failed[topic] = errors.Join(err, responses[topic])
		}
	default:
		offsets, err := committedOf(ctx, admin, g)
		asked := kadm.TopicsSet{}
		for p := range offsets {
			asked.Add(p.topic, p.partition)
		}
		for _, topic := range topics {
			failed[topic] = err
			if err == nil {
				failed[topic] = deleteOffsetsOf(ctx, admin, g.Group, topic, asked)
			}
		}
	}
	for _, topic := range topics {
		err := failed[topic]
		if err != nil {
			err = groupError(g.Group, err)
		}
		all = append(all, newDeleted(g.Group+"'s offsets of "+topic, err))
	}
	return all
}

func deleteOffsetsOf(ctx context.Context, admin *kadm.Client, group, topic string, committed kadm.TopicsSet) error {
	partitions := committed[topic]
	if len(partitions) == 0 {
		return fmt.Errorf("it has no offsets of %s", topic)
	}
	responses, err := admin.DeleteOffsets(ctx, group, kadm.TopicsSet{topic: partitions})
	if err != nil {
		return err
	}
	err = responses.Error()
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return topicError(topic, err)
	}
	return err
}
