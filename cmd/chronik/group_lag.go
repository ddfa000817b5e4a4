package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lagLine is how far behind a group is in one partition.
type lagLine struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed *int64 `json:"committed" help:"the offset to go on from, of share groups the first not acknowledged; null: none"`
	End       *int64 `json:"end_offset" help:"the next that will be written; null: no leader told it"`
	Lag       *int64 `json:"lag" help:"records from there to the end; with nothing committed, all that there are"`
	Member    string `json:"member" help:"who reads it; empty: nobody"`
	Client    string `json:"client"`
	Host      string `json:"host"`
}

func (f *adminFlags) groupLag() *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use: "lag GROUP...", Short: "Show how far groups are behind the ends of the partitions they read", ValidArgsFunction: f.groupNames(many),
		Example: `  chronik group lag billing
  chronik group lag --all --format json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return fmt.Errorf("which groups? name them, or write --all: %s", cmd.UseLine())
			}
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				groups, err := chosenGroups(ctx, client, args)
				if err != nil {
					return err
				}
				lines := []lagLine{}
				for _, g := range groups {
					some, err := lagOf(ctx, admin, client, g)
					if err != nil {
						return groupError(g.Group, err)
					}
					lines = append(lines, some...)
				}
				return f.print(cmd, lines, func(t table) { showLag(t, lines) })
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "of all groups")
	return documented(cmd, []lagLine{})
}

// chosenGroups is the groups with these names, no names being all.
func chosenGroups(ctx context.Context, client *kgo.Client, names []string) (chosen []groupLine, err error) {
	groups, err := listGroups(ctx, client, nil, nil)
	if len(names) == 0 {
		return groups, err
	}
	for _, name := range names {
		i := slices.IndexFunc(groups, func(g groupLine) bool { return g.Group == name })
		if i < 0 && err != nil {
			return nil, err
		}
		if i < 0 {
			return nil, noGroup(name)
		}
		chosen = append(chosen, groups[i])
	}
	return chosen, nil
}

// lagOf is a line for each partition that the group has an offset of, or reads.
func lagOf(ctx context.Context, admin *kadm.Client, client *kgo.Client, g groupLine) ([]lagLine, error) {
	v, err := viewGroup(ctx, admin, client, g)
	if err != nil {
		return nil, err
	}
	committed, err := committedOf(ctx, admin, g)
	if err != nil {
		return nil, err
	}
	readers := v.readers()
	partitions := map[topicPartition]bool{}
	for p := range committed {
		partitions[p] = true
	}
	for p := range readers {
		partitions[p] = g.Type != streamsGroup // whose members have tasks
	}
	maps.DeleteFunc(partitions, func(_ topicPartition, is bool) bool { return !is })
	starts, ends := endsOf(ctx, admin, slices.Collect(maps.Keys(partitions)))
	var lines []lagLine
	for p := range partitions {
		l := lagLine{Group: g.Group, Topic: p.topic, Partition: p.partition, Member: readers[p].Member, Client: readers[p].Client, Host: readers[p].Host}
		if at, ok := committed[p]; ok {
			l.Committed = &at
		}
		l.End = listed(ends, p.topic, p.partition)
		l.Lag = behind(l.Committed, listed(starts, p.topic, p.partition), l.End)
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b lagLine) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return lines, nil
}

// committedOf is where the group goes on.
func committedOf(ctx context.Context, admin *kadm.Client, g groupLine) (map[topicPartition]int64, error) {
	at := map[topicPartition]int64{}
	if g.Type == shareGroup {
		all, err := admin.DescribeShareGroupOffsets(ctx, g.Group)
		if err == nil {
			err = all[g.Group].Err
		}
		all[g.Group].Offsets.Each(func(o kadm.ShareOffset) {
			if o.StartOffset >= 0 {
				at[topicPartition{o.Topic, o.Partition}] = o.StartOffset
			}
		})
		return at, err
	}
	all, err := admin.FetchOffsets(ctx, g.Group)
	all.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			at[topicPartition{o.Topic, o.Partition}] = o.At
		}
	})
	return at, err
}

// endsOf lists what partitions hold; topics that are gone or do not answer in time are not there.
func endsOf(ctx context.Context, admin *kadm.Client, partitions []topicPartition) (starts, ends kadm.ListedOffsets) {
	topics := map[string]bool{}
	for _, p := range partitions {
		topics[p.topic] = true
	}
	if len(topics) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, offsetsPatience)
	defer cancel()
	starts, _ = admin.ListStartOffsets(ctx, sortedKeys(topics)...) // what is missing is shown as such
	ends, _ = admin.ListEndOffsets(ctx, sortedKeys(topics)...)
	return starts, ends
}

// behind is nil where it is not known. Records that are deleted already are not to be read any more.
func behind(committed, start, end *int64) *int64 {
	if end == nil || start == nil {
		return nil
	}
	from := *start
	if committed != nil {
		from = max(from, *committed)
	}
	lag := max(0, *end-from)
	return &lag
}

func showLag(t table, lines []lagLine) {
	t.row("GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "CLIENT", "HOST")
	total := int64(0)
	for _, l := range lines {
		if l.Lag != nil {
			total += *l.Lag
		}
		t.row(l.Group, l.Topic, l.Partition, known(l.Committed), known(l.End), known(l.Lag), cmp.Or(l.Client, "-"), cmp.Or(l.Host, "-"))
	}
	t.say("\n%s behind in %s", counted(total, "record"), counted(len(lines), "partition"))
}
