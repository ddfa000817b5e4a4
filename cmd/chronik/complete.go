package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// completionPatience is how long a shell waits for names from the cluster.
const completionPatience = 2 * time.Second

// completer is what cobra asks for the words that may stand next.
type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// complete has a shell offer the words for a flag.
func complete(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// topicNames has a shell offer topics that are not written yet, most of them at most.
func (f *adminFlags) topicNames(most int) completer {
	return f.names(most, func(ctx context.Context, admin *kadm.Client, _ *kgo.Client) []string {
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			return nil
		}
		return topics.Names()
	})
}

// groupNames is topicNames of groups.
func (f *adminFlags) groupNames(most int) completer {
	return f.names(most, func(ctx context.Context, _ *kadm.Client, client *kgo.Client) (names []string) {
		groups, _ := listGroups(ctx, client, nil, nil) // some are better than none
		for _, g := range groups {
			names = append(names, g.Group)
		}
		return names
	})
}

// nodeNumbers has a shell offer the nodes of the cluster, those that are down too.
func (f *adminFlags) nodeNumbers() completer {
	return f.names(1, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) []string {
		v, err := look(ctx, admin, client)
		if err != nil {
			return nil
		}
		return strings.Split(v.names(), ",")
	})
}

// names asks the cluster. Of one that does not answer there are none: an error would only spoil the line that is written.
func (f *adminFlags) names(most int, find func(context.Context, *kadm.Client, *kgo.Client) []string) completer {
	return func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) < most {
			f.timeout = completionPatience
			_ = f.askWithin(cmd, completionPatience, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				names = find(ctx, admin, client)
				return nil
			})
		}
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// many is more names than anybody writes.
const many = 1 << 30
