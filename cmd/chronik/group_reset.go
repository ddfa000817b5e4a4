package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// resetFlags say which offsets of a group are to be what.
type resetFlags struct {
	topics    []string // TOPIC or TOPIC:0,1
	allTopics bool
	to, time  string
	shift     int64
	dryRun    bool
}

func (f *adminFlags) resetGroup() *cobra.Command {
	r := &resetFlags{}
	cmd := &cobra.Command{
		Use: "reset GROUP", Short: "Set where a group without members goes on", Args: oneGroup, ValidArgsFunction: f.groupNames(1),
		Long: `Set the offsets that a group goes on from when its consumers start again. The group may have no members meanwhile: stop them
first. An offset that a partition does not have, or has no more, becomes the nearest one that it has. A group that is not there
is made: its consumers will begin there.`,
		Example: `  chronik group reset billing --topic orders --to earliest --dry-run
  chronik group reset billing --topic orders:0,1 --to 1200
  chronik group reset billing --all-topics --to-time 2026-05-01T08:00:00Z
  chronik group reset billing --all-topics --to-time 2h      # as of two hours ago
  chronik group reset billing --topic orders --shift -100    # the last hundred again`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.check(cmd); err != nil {
				return err
			}
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				return f.reset(ctx, cmd, admin, client, args[0], r)
			})
		},
	}
	cmd.Flags().StringArrayVar(&r.topics, "topic", nil, "`topic`, or topic:0,1 for some of its partitions; may be repeated")
	cmd.Flags().BoolVar(&r.allTopics, "all-topics", false, "all topics that the group has offsets of")
	cmd.Flags().StringVar(&r.to, "to", "", "earliest, latest, or an `offset`")
	cmd.Flags().StringVar(&r.time, "to-time", "", "the first record of that `time` or later: 2026-05-01T08:00:00Z, or how long ago: 90m, 2h")
	cmd.Flags().Int64Var(&r.shift, "shift", 0, "so many `records` on, or back when it is negative")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "show what it would be, and change nothing")
	_ = cmd.RegisterFlagCompletionFunc("topic", f.topicNames(many))
	complete(cmd, "to", "earliest", "latest")
	return documented(cmd, []resetLine{})
}

func (r *resetFlags) check(cmd *cobra.Command) error {
	if r.allTopics == (len(r.topics) > 0) {
		return errors.New("of which topics? write --topic for each, or --all-topics")
	}
	ways := 0
	for _, flag := range []string{"to", "to-time", "shift"} {
		if cmd.Flags().Changed(flag) {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("to where? write one of --to earliest, --to latest, --to OFFSET, --to-time TIME and --shift RECORDS")
	}
	if _, err := strconv.ParseUint(r.to, 10, 63); r.to != "" && r.to != "earliest" && r.to != "latest" && err != nil {
		return fmt.Errorf("--to %s: write earliest, latest, or an offset", r.to)
	}
	if r.time != "" {
		if _, err := millisOf(r.time); err != nil {
			return fmt.Errorf("--to-time %w", err)
		}
	}
	return nil
}

// resetLine is where a group goes on in a partition.
type resetLine struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Was       *int64 `json:"was" help:"the offset before; null: none"`
	Is        int64  `json:"is" help:"the offset now, or what it would be"`
}

func (f *adminFlags) reset(ctx context.Context, cmd *cobra.Command, admin *kadm.Client, client *kgo.Client, name string, r *resetFlags) error {
	g, err := groupNamed(ctx, client, name)
	if err != nil {
		return err
	}
	if g.Type != "" {
		if err := hasNoMembers(ctx, admin, client, g); err != nil {
			return err
		}
	}
	plan, err := r.plan(ctx, admin, g)
	if err != nil {
		return err
	}
	if !r.dryRun {
		if err := setOffsets(ctx, admin, g, plan); err != nil {
			return groupError(name, err)
		}
	}
	return f.print(cmd, plan, func(t table) {
		t.row("TOPIC", "PARTITION", "WAS", "IS")
		for _, l := range plan {
			t.row(l.Topic, l.Partition, known(l.Was), l.Is)
		}
		if g.Type == "" && !r.dryRun {
			t.say("\nthere was no group %s: it is made, and its consumers begin there", name)
		}
		if r.dryRun {
			t.say("\nnothing was changed: without --dry-run it is")
		}
	})
}

// hasNoMembers refuses a group with members, and says who they are: they would go on from where they are, and overwrite it.
func hasNoMembers(ctx context.Context, admin *kadm.Client, client *kgo.Client, g groupLine) error {
	v, err := viewGroup(ctx, admin, client, g)
	if err != nil {
		return groupError(g.Group, err)
	}
	if len(v.Members) == 0 {
		return nil
	}
	var who []string
	for _, m := range v.Members {
		who = append(who, fmt.Sprintf("%s at %s", m.Client, m.Host))
	}
	return fmt.Errorf("group %s is %s and has %s: stop its consumers first, and wait until the group is Empty: %s", g.Group, v.State, counted(len(who), "member"), some(who))
}

// plan is where the group is to go on, sorted.
func (r *resetFlags) plan(ctx context.Context, admin *kadm.Client, g groupLine) ([]resetLine, error) {
	committed := map[topicPartition]int64{}
	if g.Type != "" {
		var err error
		if committed, err = committedOf(ctx, admin, g); err != nil {
			return nil, groupError(g.Group, err)
		}
	}
	partitions, err := r.partitions(ctx, admin, committed)
	if err != nil {
		return nil, err
	}
	if len(partitions) == 0 {
		return nil, fmt.Errorf("group %s has no offsets: name topics with --topic", g.Group)
	}
	held, err := r.targets(ctx, admin, partitions)
	if err != nil {
		return nil, err
	}
	var plan []resetLine
	for _, p := range partitions {
		l := resetLine{Topic: p.topic, Partition: p.partition}
		if at, ok := committed[p]; ok {
			l.Was = &at
		}
		if l.Is, err = held.at(p, r, l.Was); err != nil {
			return nil, err
		}
		plan = append(plan, l)
	}
	return plan, nil
}

// partitions is those that the flags name, sorted.
func (r *resetFlags) partitions(ctx context.Context, admin *kadm.Client, committed map[topicPartition]int64) ([]topicPartition, error) {
	all := map[topicPartition]bool{}
	for p := range committed {
		all[p] = r.allTopics
	}
	for _, text := range r.topics {
		name, some, _ := strings.Cut(text, ":")
		topics, err := admin.ListTopics(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := topics[name].Err; err != nil {
			return nil, topicError(name, err)
		}
		chosen, err := partitionsOf(topics[name], some)
		if err != nil {
			return nil, err
		}
		for _, n := range chosen {
			all[topicPartition{name, n}] = true
		}
	}
	maps.DeleteFunc(all, func(_ topicPartition, is bool) bool { return !is })
	return slices.SortedFunc(maps.Keys(all), func(a, b topicPartition) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	}), nil
}

// partitionsOf reads 0,1 as partitions of a topic; nothing is all.
func partitionsOf(topic kadm.TopicDetail, texts string) (numbers []int32, err error) {
	if texts == "" {
		return topic.Partitions.Numbers(), nil
	}
	for text := range strings.SplitSeq(texts, ",") {
		n, err := strconv.ParseInt(text, 10, 32)
		if _, ok := topic.Partitions[int32(n)]; err != nil || !ok {
			return nil, fmt.Errorf("topic %s has no partition %q: it has 0 to %d", topic.Topic, text, len(topic.Partitions)-1)
		}
		numbers = append(numbers, int32(n))
	}
	return numbers, nil
}

// targets is what partitions hold, and where the time is that was asked for.
type targets struct{ starts, ends, times kadm.ListedOffsets }

func (r *resetFlags) targets(ctx context.Context, admin *kadm.Client, partitions []topicPartition) (h targets, err error) {
	topics := map[string]bool{}
	for _, p := range partitions {
		topics[p.topic] = true
	}
	names := sortedKeys(topics)
	if h.starts, err = admin.ListStartOffsets(ctx, names...); err != nil {
		return h, err
	}
	if h.ends, err = admin.ListEndOffsets(ctx, names...); err != nil {
		return h, err
	}
	if r.time != "" {
		ms, err := millisOf(r.time)
		if err != nil {
			return h, err
		}
		h.times, err = admin.ListOffsetsAfterMilli(ctx, ms, names...)
		return h, err
	}
	return h, nil
}

// at is the offset that the flags ask for, within those that there are.
func (h targets) at(p topicPartition, r *resetFlags, was *int64) (int64, error) {
	start, end, timed := listed(h.starts, p.topic, p.partition), listed(h.ends, p.topic, p.partition), listed(h.times, p.topic, p.partition)
	if start == nil || end == nil || r.time != "" && timed == nil {
		return 0, fmt.Errorf("%s does not tell its offsets: chronik topic describe %s shows why", p, p.topic)
	}
	var is int64
	switch {
	case r.time != "":
		is = *timed
	case r.to == "earliest":
		is = *start
	case r.to == "latest":
		is = *end
	case r.to != "":
		is, _ = strconv.ParseInt(r.to, 10, 64) // check has read it
	case was == nil:
		return 0, fmt.Errorf("the group has no offset of %s to go on or back from: write --to", p)
	default:
		is = *was + r.shift
	}
	return min(max(is, *start), *end), nil
}

// setOffsets commits a plan.
func setOffsets(ctx context.Context, admin *kadm.Client, g groupLine, plan []resetLine) error {
	offsets := kadm.Offsets{}
	for _, l := range plan {
		offsets.AddOffset(l.Topic, l.Partition, l.Is, -1)
	}
	if g.Type != shareGroup {
		return admin.CommitAllOffsets(ctx, g.Group, offsets)
	}
	responses, err := admin.AlterShareGroupOffsets(ctx, g.Group, offsets)
	if err != nil {
		return err
	}
	return responses.Error()
}
