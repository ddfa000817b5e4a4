package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configKinds are what configs can be of, by the words of the command line.
var configKinds = map[string]kmsg.ConfigResourceType{
	"topic": kmsg.ConfigResourceTypeTopic, "broker": kmsg.ConfigResourceTypeBroker,
	"group": kmsg.ConfigResourceTypeGroupConfig,
}

// allBrokers is the name that stands for what holds at every broker, unless one has its own.
const allBrokers = "all"

func configCommand() *cobra.Command {
	f := &adminFlags{}
	cmd := noun("config", "List, describe, set and delete configs of topics, brokers and groups")
	cmd.Example = `  chronik config describe topic orders
  chronik config set topic orders retention.ms=86400000
  chronik config set broker all log.retention.ms=172800000`
	f.add(cmd, formatTable, formatJSON)
	cmd.AddCommand(f.listConfigs(), f.describeConfig(), f.setConfig(), f.deleteConfig())
	return cmd
}

// kindsHelp is what KIND and NAME are.
const kindsHelp = `KIND is topic, broker or group. A broker's NAME is its number, or all: what holds at every broker that has no value of its own.`

// configured is something that has configs.
type configured struct {
	Kind string `json:"kind" help:"topic, broker or group"`
	Name string `json:"name"`
}

func (f *adminFlags) listConfigs() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [KIND]", Short: "List what has configs: topics, brokers, and the groups with configs set",
		Args: cobra.MaximumNArgs(1), ValidArgs: sortedKeys(configKinds), Example: "  chronik config list group",
		RunE: func(cmd *cobra.Command, args []string) error {
			kinds := sortedKeys(configKinds)
			if len(args) == 1 {
				if _, err := kindOf(args[0]); err != nil {
					return err
				}
				kinds = args
			}
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, _ *kadm.Client, client *kgo.Client) error {
				found, err := listConfigured(ctx, client, kinds)
				if err != nil {
					return err
				}
				return f.print(cmd, found, func(t table) {
					t.row("KIND", "NAME")
					for _, c := range found {
						t.row(c.Kind, c.Name)
					}
				})
			})
		},
	}
	return documented(cmd, []configured{})
}

func listConfigured(ctx context.Context, client *kgo.Client, kinds []string) ([]configured, error) {
	found := []configured{}
	rq := kmsg.NewPtrListConfigResourcesRequest()
	for _, kind := range kinds {
		rq.ResourceTypes = append(rq.ResourceTypes, int8(configKinds[kind]))
	}
	resp, err := rq.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	for _, r := range resp.ConfigResources {
		for kind, number := range configKinds {
			if int8(number) == r.Type {
				found = append(found, configured{kind, r.Name})
			}
		}
	}
	slices.SortFunc(found, func(a, b configured) int { return strings.Compare(a.Kind+"\x00"+a.Name, b.Kind+"\x00"+b.Name) })
	return found, nil
}

func kindOf(word string) (kmsg.ConfigResourceType, error) {
	kind, ok := configKinds[word]
	if !ok {
		return 0, fmt.Errorf("configs of what? %q is none of %s", word, strings.Join(sortedKeys(configKinds), ", "))
	}
	return kind, nil
}

// configOf is what the arguments KIND NAME mean: the kind, and the name by the protocol.
func configOf(cmd *cobra.Command, args []string) (kind kmsg.ConfigResourceType, name string, err error) {
	if len(args) < 2 {
		return 0, "", fmt.Errorf("configs of what? write a kind (%s) and a name: %s", strings.Join(sortedKeys(configKinds), ", "), cmd.UseLine())
	}
	kind, err = kindOf(args[0])
	if kind != kmsg.ConfigResourceTypeBroker || err != nil {
		return kind, args[1], err
	}
	if args[1] == allBrokers {
		return kind, "", nil
	}
	var id int32
	if n, err := fmt.Sscanf(args[1], "%d", &id); n != 1 || err != nil || id < 0 {
		return 0, "", fmt.Errorf("%q is no broker: write its number, as chronik cluster status shows it, or %s", args[1], allBrokers)
	}
	return kind, brokerResource(id), nil
}

// names offers kinds, and then what there is of the kind.
func (f *adminFlags) configNames() completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return sortedKeys(configKinds), cobra.ShellCompDirectiveNoFileComp
		}
		return f.names(2, func(ctx context.Context, _ *kadm.Client, client *kgo.Client) (names []string) {
			found, _ := listConfigured(ctx, client, args[:1]) // nothing to offer, otherwise
			for _, c := range found {
				names = append(names, c.Name)
			}
			if args[0] == "broker" {
				names = append(names, allBrokers)
			}
			return names
		})(cmd, args, typed)
	}
}
