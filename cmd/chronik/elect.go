package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (f *adminFlags) electLeaders() *cobra.Command {
	unclean, all := false, false
	cmd := &cobra.Command{
		ValidArgsFunction: f.topicNames(many), Example: "  chronik cluster elect --all\n  chronik cluster elect orders --unclean",
		Use: "elect TOPIC...", Short: "Have leaders elected: the preferred replicas, or any that is there",
		Long: strings.TrimSpace(`
Have the preferred replica of each partition lead, which the cluster also does by itself now and then.

With --unclean, partitions that have no leader get one of the replicas that are there, also where it lacks records that were
acknowledged: these are lost, and consumers may see offsets go back. So first start every node that still has a replica.`),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.New("which topics? name them, or write --all")
			}
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				return f.elect(cmd, ctx, admin, client, args, unclean)
			})
		},
	}
	cmd.Flags().BoolVar(&unclean, "unclean", false, "any replica, and lose what it lacks")
	cmd.Flags().BoolVar(&all, "all", false, "of all topics")
	return documented(cmd, electedView{})
}

// electedView is what was elected.
type electedView struct {
	Elected []string `json:"elected" help:"partitions that have another leader"`
}

// elect has leaders elected for the partitions of the topics, no topics being all, and tells of each.
func (f *adminFlags) elect(cmd *cobra.Command, ctx context.Context, admin *kadm.Client, client *kgo.Client, topics []string, unclean bool) error {
	rq := kmsg.NewPtrElectLeadersRequest()
	rq.TimeoutMillis = 30_000
	if unclean {
		rq.ElectionType = 1
	}
	if len(topics) > 0 {
		found, err := admin.ListTopics(ctx, topics...)
		if err != nil {
			return err
		}
		for _, t := range found.Sorted() {
			if t.Err != nil {
				return topicError(t.Topic, t.Err)
			}
			rq.Topics = append(rq.Topics, kmsg.ElectLeadersRequestTopic{Topic: t.Topic, Partitions: t.Partitions.Numbers()})
		}
	}
	resp, err := rq.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return err
	}
	result, failed := electedView{Elected: []string{}}, []error(nil)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			switch err := kerr.ErrorForCode(p.ErrorCode); {
			case err == nil:
				result.Elected = append(result.Elected, topicPartition{t.Topic, p.Partition}.String())
			case !errors.Is(err, kerr.ElectionNotNeeded):
				failed = append(failed, fmt.Errorf("%s-%d: %w", t.Topic, p.Partition, explained(text(p.ErrorMessage), err)))
			}
		}
	}
	err = f.print(cmd, result, func(t table) {
		t.say("%s another leader", countedWith(len(result.Elected), "partition", "has", "have"))
	})
	return errors.Join(append(failed, err)...)
}
