package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Types of groups.
const (
	classicGroup  = "classic"  // the members agree on who reads what
	consumerGroup = "consumer" // the broker says it (KIP-848)
	shareGroup    = "share"    // several members read the same partition (KIP-932)
	streamsGroup  = "streams"  // of Kafka Streams (KIP-1071)
)

var (
	groupTypes  = []string{classicGroup, consumerGroup, shareGroup, streamsGroup}
	groupStates = []string{"Empty", "Stable", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "NotReady", "Dead"}
)

func groupCommand() *cobra.Command {
	f := &adminFlags{}
	cmd := noun("group", "List, describe, reset and delete groups of consumers, and see how far behind they are")
	cmd.Long = `List, describe, reset and delete groups of consumers, and see how far behind they are. Groups are of four types:
  classic   members share out the partitions among themselves
  consumer  the broker does it (KIP-848)
  share     several members read one partition, and acknowledge record by record (KIP-932)
  streams   instances of a Kafka Streams application (KIP-1071)`
	cmd.Example = `  chronik group lag billing
  chronik group reset billing --topic orders --to earliest --dry-run`
	f.add(cmd, formatTable, formatJSON)
	cmd.AddCommand(f.listGroups(), f.describeGroup(), f.groupLag(), f.resetGroup(), f.deleteGroup())
	return cmd
}

// groupLine is a group in a list.
type groupLine struct {
	Group       string `json:"group"`
	Type        string `json:"type" help:"classic, consumer, share or streams"`
	State       string `json:"state" help:"Empty: it has no members; Stable: each has its partitions"`
	Protocol    string `json:"protocol" help:"what its members call themselves, consumer for most; empty: offsets were committed without members"`
	Coordinator int32  `json:"coordinator" help:"the broker that keeps it"`
}

func (f *adminFlags) listGroups() *cobra.Command {
	var types, states []string
	cmd := &cobra.Command{
		Use: "list", Short: "List groups, a line each", Args: noArgs, Example: `  chronik group list
  chronik group list --type share,streams --state Empty`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, t := range types {
				if !slices.Contains(groupTypes, t) {
					return fmt.Errorf("--type %s: write some of %s", t, strings.Join(groupTypes, ","))
				}
			}
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, _ *kadm.Client, client *kgo.Client) error {
				groups, missing := listGroups(ctx, client, types, states)
				if len(groups) == 0 && missing != nil {
					return missing
				}
				return errors.Join(missing, f.print(cmd, array(groups), func(t table) {
					t.row("GROUP", "TYPE", "STATE", "PROTOCOL", "COORDINATOR")
					for _, g := range groups {
						t.row(g.Group, g.Type, g.State, cmp.Or(g.Protocol, "-"), g.Coordinator)
					}
				}))
			})
		},
	}
	cmd.Flags().StringSliceVar(&types, "type", nil, "only `types` of these: "+strings.Join(groupTypes, ","))
	cmd.Flags().StringSliceVar(&states, "state", nil, "only `states` of these, as Empty or Stable")
	complete(cmd, "type", groupTypes...)
	complete(cmd, "state", groupStates...)
	return documented(cmd, []groupLine{})
}

// listGroups is the groups of all brokers, sorted. The error names brokers whose groups are missing. No types or states are
// all. A broker that knows of no types has classic groups only.
func listGroups(ctx context.Context, client *kgo.Client, types, states []string) (groups []groupLine, err error) {
	rq := kmsg.NewPtrListGroupsRequest()
	rq.TypesFilter, rq.StatesFilter = types, states
	var refused []error
	err = shards(client.RequestSharded(ctx, rq), func(broker int32, resp *kmsg.ListGroupsResponse) {
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			refused = append(refused, fmt.Errorf("broker %d does not list its groups: %w", broker, err))
		}
		for _, g := range resp.Groups {
			groups = append(groups, groupLine{g.Group, strings.ToLower(cmp.Or(g.GroupType, classicGroup)), g.GroupState, g.ProtocolType, broker})
		}
	})
	slices.SortFunc(groups, func(a, b groupLine) int { return strings.Compare(a.Group, b.Group) })
	return groups, errors.Join(append(refused, err)...)
}

// groupNamed finds a group; one that is nowhere is of type "".
func groupNamed(ctx context.Context, client *kgo.Client, name string) (groupLine, error) {
	groups, err := listGroups(ctx, client, nil, nil)
	if i := slices.IndexFunc(groups, func(g groupLine) bool { return g.Group == name }); i >= 0 {
		return groups[i], nil
	}
	return groupLine{Group: name}, err
}

func noGroup(name string) error {
	return fmt.Errorf("there is no group %s: chronik group list shows which there are", name)
}

// groupError is what a broker says of a group.
func groupError(group string, err error) error {
	switch {
	case errors.Is(err, kerr.GroupIDNotFound):
		return noGroup(group)
	case errors.Is(err, kerr.NonEmptyGroup):
		return fmt.Errorf("group %s has members: stop its consumers first; chronik group describe %s shows where they are (%w)", group, group, err)
	case errors.Is(err, kerr.GroupSubscribedToTopic):
		return fmt.Errorf("members of group %s read that topic: stop them first; chronik group describe %s shows where they are (%w)", group, group, err)
	case errors.Is(err, kerr.UnknownMemberID):
		return fmt.Errorf("group %s has members, and only they may commit: stop its consumers first (%w)", group, err)
	}
	return fmt.Errorf("group %s: %w", group, err)
}
