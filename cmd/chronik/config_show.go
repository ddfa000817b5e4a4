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

// configView is a config as the broker tells it.
type configView struct {
	Name          string        `json:"name"`
	Value         *string       `json:"value" help:"null when it is secret or unset"`
	Source        string        `json:"source" help:"where the value is from: topic, broker, all-brokers, group, file, default"`
	Type          string        `json:"type"`
	ReadOnly      bool          `json:"read_only" help:"it changes with the broker's start only"`
	Sensitive     bool          `json:"sensitive"`
	Synonyms      []configValue `json:"synonyms" help:"values by order of what holds"`
	Documentation string        `json:"documentation"`
}

type configValue struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"`
	Source string  `json:"source"`
}

// configSources are Kafka's sources in short.
var configSources = map[kmsg.ConfigSource]string{
	kmsg.ConfigSourceDynamicTopicConfig: "topic", kmsg.ConfigSourceDynamicBrokerConfig: "broker",
	kmsg.ConfigSourceDynamicDefaultBrokerConfig: "all-brokers", kmsg.ConfigSourceStaticBrokerConfig: "file",
	kmsg.ConfigSourceDefaultConfig: "default",
	kmsg.ConfigSourceGroupConfig:   "group", kmsg.ConfigSourceDynamicBrokerLoggerConfig: "logger",
}

func sourceText(s kmsg.ConfigSource) string { return cmp.Or(configSources[s], "unknown") }

// IsSet says whether somebody set it for just this topic, broker or group.
func (c configView) IsSet() bool {
	return slices.Contains([]string{"topic", "broker", "group"}, c.Source)
}

// describeConfigs is the configs of one thing; no names are all. A broker tells of itself only, and is asked itself.
func describeConfigs(ctx context.Context, client *kgo.Client, kind kmsg.ConfigResourceType, name string, names []string) ([]configView, error) {
	rq := kmsg.NewPtrDescribeConfigsRequest()
	rq.IncludeSynonyms, rq.IncludeDocumentation = true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, names
	rq.Resources = append(rq.Resources, r)
	var all []configView
	var refused error
	err := shards(client.RequestSharded(ctx, rq), func(_ int32, resp *kmsg.DescribeConfigsResponse) {
		for _, r := range resp.Resources {
			refused = cmp.Or(refused, answered(r.ErrorCode, r.ErrorMessage))
			for _, c := range r.Configs {
				all = append(all, viewConfig(c))
			}
		}
	})
	slices.SortFunc(all, func(a, b configView) int { return strings.Compare(a.Name, b.Name) })
	return all, cmp.Or(err, refused)
}

func viewConfig(c kmsg.DescribeConfigsResponseResourceConfig) configView {
	v := configView{c.Name, c.Value, sourceText(c.Source), strings.ToLower(c.ConfigType.String()), c.ReadOnly, c.IsSensitive, []configValue{}, text(c.Documentation)}
	for _, s := range c.ConfigSynonyms {
		v.Synonyms = append(v.Synonyms, configValue{s.Name, s.Value, sourceText(s.Source)})
	}
	return v
}

func (f *adminFlags) describeConfig() *cobra.Command {
	set := false
	cmd := &cobra.Command{
		Use: "describe KIND NAME [CONFIG...]", Short: "Show configs with where their values are from; of those that are named, all that is known",
		Long:              "Show configs with where their values are from; of those that are named, all that is known.\n\n" + kindsHelp,
		ValidArgsFunction: f.configNames(), Example: `  chronik config describe topic orders
  chronik config describe topic orders retention.ms
  chronik config describe broker 1 --set
  chronik config describe broker all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, name, err := configOf(cmd, args)
			if err != nil {
				return err
			}
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, _ *kadm.Client, client *kgo.Client) error {
				all, err := describeConfigs(ctx, client, kind, name, args[2:])
				if err != nil {
					return configError(args, err)
				}
				if set {
					all = slices.DeleteFunc(all, func(c configView) bool { return c.Source == "default" })
				}
				if err := allFound(args, all); err != nil {
					return err
				}
				return f.print(cmd, array(all), func(t table) { showConfigs(t, all, len(args) > 2) })
			})
		},
	}
	cmd.Flags().BoolVar(&set, "set", false, "only what somebody has set, here or in the broker's file")
	return documented(cmd, []configView{})
}

// allFound is an error when a config that was asked for by its name is not there.
func allFound(args []string, all []configView) error {
	for _, name := range args[2:] {
		if !slices.ContainsFunc(all, func(c configView) bool { return c.Name == name }) {
			return fmt.Errorf("%s %s has no config %s: chronik config describe %s %s shows which there are", args[0], args[1], name, args[0], args[1])
		}
	}
	return nil
}

// knownConfigs refuses names of configs that there are not, which brokers take without a word where they are deleted. Of all brokers
// together only what is set is told.
func knownConfigs(ctx context.Context, client *kgo.Client, kind kmsg.ConfigResourceType, name string, args, configs []string) error {
	if len(configs) == 0 || name == "" {
		return nil
	}
	all, err := describeConfigs(ctx, client, kind, name, configs)
	if err != nil {
		return configError(args, err)
	}
	return allFound(append(slices.Clone(args), configs...), all)
}

func showConfigs(t table, all []configView, whole bool) {
	t.row("CONFIG", "VALUE", "FROM", "TYPE")
	for _, c := range all {
		value := known(c.Value)
		if c.Sensitive {
			value = "(secret)"
		}
		t.row(c.Name, value, c.Source, c.Type)
	}
	for _, c := range all {
		if !whole {
			continue
		}
		t.say("\n%s\n%s", c.Name, cmp.Or(c.Documentation, "no documentation"))
		for _, s := range c.Synonyms {
			t.say("  from %s: %s=%s", s.Source, s.Name, known(s.Value))
		}
	}
}

// configError is what a broker says of what was asked for.
func configError(args []string, err error) error {
	if args[0] == "topic" {
		return topicError(args[1], err)
	}
	var told *kerr.Error
	switch {
	case args[0] == "broker" && !errors.As(err, &told):
		return fmt.Errorf("broker %s: %w; chronik cluster status shows which brokers there are", args[1], err)
	case args[0] == "broker" && told == kerr.InvalidRequest:
		return fmt.Errorf("broker %s: %w; what it does not change while it runs it reads at its start: chronik-server --set name=value", args[1], err)
	}
	return fmt.Errorf("%s %s: %w", args[0], args[1], err)
}

// configChange is what was set and deleted.
type configChange struct {
	Kind    string            `json:"kind"`
	Name    string            `json:"name"`
	Set     map[string]string `json:"set"`
	Deleted []string          `json:"deleted"`
}

func (f *adminFlags) setConfig() *cobra.Command {
	check := false
	cmd := &cobra.Command{
		Use: "set KIND NAME CONFIG=VALUE...", Short: "Set configs; others stay as they are", ValidArgsFunction: f.configNames(),
		Long: "Set configs; others stay as they are. chronik config describe shows which there are.\n\n" + kindsHelp,
		Example: `  chronik config set topic orders retention.ms=86400000
  chronik config set broker all log.retention.ms=172800000
  chronik config set group billing consumer.session.timeout.ms=60000`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.changeConfig(cmd, args, check, func(c *configChange, texts []string) error {
				_, values, err := settings("config", texts)
				for name, value := range values {
					c.Set[name] = *value
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&check, "dry-run", false, "check that they would be taken, and change nothing")
	return documented(cmd, configChange{})
}

func (f *adminFlags) deleteConfig() *cobra.Command {
	check := false
	cmd := &cobra.Command{
		Use: "delete KIND NAME CONFIG...", Short: "Delete configs that were set, so that the default holds", ValidArgsFunction: f.configNames(),
		Long:    "Delete configs that were set, so that the default holds.\n\n" + kindsHelp,
		Example: "  chronik config delete topic orders retention.ms",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.changeConfig(cmd, args, check, func(c *configChange, names []string) error {
				c.Deleted = append(c.Deleted, names...)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&check, "dry-run", false, "check that it could be done, and change nothing")
	return documented(cmd, configChange{})
}

// changeConfig reads the arguments after KIND NAME with read, and carries out what they say.
func (f *adminFlags) changeConfig(cmd *cobra.Command, args []string, check bool, read func(*configChange, []string) error) error {
	kind, name, err := configOf(cmd, args)
	if err != nil {
		return err
	}
	if len(args) == 2 {
		return fmt.Errorf("which configs? %s", cmd.UseLine())
	}
	c := configChange{Kind: args[0], Name: args[1], Set: map[string]string{}, Deleted: []string{}}
	if err := read(&c, args[2:]); err != nil {
		return err
	}
	return f.askWithin(cmd, f.timeout, func(ctx context.Context, _ *kadm.Client, client *kgo.Client) error {
		if err := knownConfigs(ctx, client, kind, name, args[:2], c.Deleted); err != nil {
			return err
		}
		if err := alterConfigs(ctx, client, kind, name, c.Set, c.Deleted, check); err != nil {
			return configError(args, err)
		}
		return f.print(cmd, c, func(t table) {
			if check {
				t.say("nothing was changed; it can be done:")
			}
			for _, name := range sortedKeys(c.Set) {
				t.say("%s %s has %s=%s", c.Kind, c.Name, name, c.Set[name])
			}
			for _, name := range c.Deleted {
				t.say("%s %s has the default of %s", c.Kind, c.Name, name)
			}
		})
	})
}

// alterConfigs sets and deletes configs of one thing, all of them or none. A broker that is named is asked itself.
func alterConfigs(ctx context.Context, client *kgo.Client, kind kmsg.ConfigResourceType, name string, set map[string]string, deleted []string, check bool) error {
	rq := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rq.ValidateOnly = check
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, config := range sortedKeys(set) {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = config, kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr(set[config])
		r.Configs = append(r.Configs, c)
	}
	for _, config := range deleted {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op = config, kmsg.IncrementalAlterConfigOpDelete
		r.Configs = append(r.Configs, c)
	}
	rq.Resources = append(rq.Resources, r)
	var refused error
	err := shards(client.RequestSharded(ctx, rq), func(_ int32, resp *kmsg.IncrementalAlterConfigsResponse) {
		for _, r := range resp.Resources {
			refused = cmp.Or(refused, answered(r.ErrorCode, r.ErrorMessage))
		}
	})
	return cmp.Or(err, refused)
}
