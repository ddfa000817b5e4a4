package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumeFlags say what is read, and how it is written.
type consumeFlags struct {
	offset     string // earliest, latest, an offset, or -n: the last n
	since      string
	partitions []int32
	group      string
	protocol   string // of the group
	count      int64  // -1: all
	follow     bool
	committed  bool
	output     string
	template   string
}

func consumeCommand() *cobra.Command {
	f, c := &adminFlags{}, &consumeFlags{}
	cmd := &cobra.Command{
		Use: "consume TOPIC...", Short: "Read records", Args: someTopics, ValidArgsFunction: f.topicNames(many),
		Long: `Read the records of topics from the first on, and stop at the end that they have now; with --follow, wait for more.

Formats: value writes each value on a line of its own, raw writes values with nothing between them, table a row and json an
object on a line for each record. --template writes what it says instead, with the verbs
  %t topic  %p partition  %o offset  %k key  %v value  %d milliseconds since 1970  %h{%k=%v } headers  \n \t
of which each may have a form, as %v{base64}, %k{hex} or %d{go[2006-01-02T15:04:05Z07:00]}. Records of one partition come in their
order; those of several come as brokers answer.

With --group it reads as a member of that group: it goes on where the group is, and commits what it has written. A group may have
members of both protocols, classic and consumer; the newer one, consumer, moves only the partitions that have to change hands.`,
		Example: `  chronik consume greetings
  chronik consume greetings --follow --offset latest
  chronik consume orders --offset -10 --format table          # the last ten of each partition
  chronik consume orders --since 2h --format json > orders.json
  chronik consume orders --partition 0 --offset 1200 --count 1
  chronik consume orders --group billing --follow
  chronik consume orders --template '%p:%o %k -> %v\n'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(cmd); err != nil {
				return err
			}
			return f.consume(cmd, c, args)
		},
	}
	f.add(cmd, formatValue, formatTable, formatJSON, formatRaw)
	c.add(cmd)
	_ = cmd.RegisterFlagCompletionFunc("group", f.groupNames(many))
	return documented(cmd, recordJSON{})
}

func (c *consumeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.offset, "offset", "earliest", "where to begin: earliest, latest, an `offset`, or -n for the last n of each partition; of a group that has committed nothing yet: earliest or latest")
	cmd.Flags().StringVar(&c.since, "since", "", "begin with the first record of that `time` or later: 2026-05-01T08:00:00Z, or how long ago: 90m, 2h")
	cmd.Flags().Int32SliceVar(&c.partitions, "partition", nil, "only these `partitions`: 0,1")
	cmd.Flags().StringVar(&c.group, "group", "", "read as a member of this `group`")
	cmd.Flags().StringVar(&c.protocol, "group-protocol", classicGroup, "`protocol` of the group: classic, its members share out the partitions; consumer, the broker does (KIP-848)")
	cmd.Flags().Int64VarP(&c.count, "count", "n", -1, "stop after so many `records`; -1: after all")
	cmd.Flags().BoolVar(&c.follow, "follow", false, "wait for more records at the end, until Ctrl-C")
	cmd.Flags().BoolVar(&c.committed, "read-committed", false, "no records of transactions that are not committed")
	cmd.Flags().StringVar(&c.output, "output", "", "`file` to write to, which is made or emptied")
	cmd.Flags().StringVar(&c.template, "template", "", "`layout` of each record, instead of a format")
	complete(cmd, "offset", "earliest", "latest")
	complete(cmd, "group-protocol", classicGroup, consumerGroup)
}

func (c *consumeFlags) check(cmd *cobra.Command) error {
	if c.template != "" && cmd.Flags().Changed("format") {
		return errors.New("--template is a format of its own: leave --format out")
	}
	if c.protocol != classicGroup && c.protocol != consumerGroup {
		return fmt.Errorf("--group-protocol %s: write %s or %s", c.protocol, classicGroup, consumerGroup)
	}
	if c.group == "" && cmd.Flags().Changed("group-protocol") {
		return errors.New("of which group? --group-protocol goes with --group")
	}
	if c.count == 0 || c.count < -1 {
		return fmt.Errorf("--count %d: write 1 or more", c.count)
	}
	if c.since != "" && cmd.Flags().Changed("offset") {
		return errors.New("where to begin? write --offset or --since")
	}
	if c.since != "" {
		if _, err := millisOf(c.since); err != nil {
			return fmt.Errorf("--since %w", err)
		}
	}
	relative := c.offset == "earliest" || c.offset == "latest"
	if _, err := strconv.ParseInt(c.offset, 10, 64); !relative && err != nil {
		return fmt.Errorf("--offset %s: write earliest, latest, an offset, or -n for the last n", c.offset)
	}
	if c.group != "" && (c.since != "" || len(c.partitions) > 0 || !relative) {
		return errors.New("a group knows where it goes on and which partitions it reads: with --group only --offset earliest or latest may say " +
			"where it begins at all; chronik group reset sets where it goes on")
	}
	return nil
}

func (f *adminFlags) consume(cmd *cobra.Command, c *consumeFlags, topics []string) error {
	write, err := recordWriter(f.format, c.template)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &reader{f: f, c: c, cmd: cmd, write: write, ends: map[topicPartition]int64{}}
	if r.client, err = f.client(append(r.options(topics), c.isolation())...); err != nil {
		return err
	}
	defer r.client.CloseAllowingRebalance()
	r.admin = f.admin(r.client)
	if err := f.reach(ctx, cmd, r.client); err != nil {
		return err
	}
	begun, cancel := context.WithTimeout(ctx, f.timeout)
	err = r.begin(begun, topics)
	cancel()
	if err != nil {
		return err
	}
	return r.run(ctx)
}

func (c *consumeFlags) isolation() kgo.Opt {
	if c.committed {
		return kgo.FetchIsolationLevel(kgo.ReadCommitted())
	}
	return kgo.FetchIsolationLevel(kgo.ReadUncommitted())
}

// spans is where to begin and where the end is, of each partition that is asked for.
func (c *consumeFlags) spans(ctx context.Context, admin *kadm.Client, topics []string) (map[topicPartition][2]int64, error) {
	known, err := admin.ListTopics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends := admin.ListEndOffsets
	if c.committed {
		ends = admin.ListCommittedOffsets
	}
	listed, missing, err := listedBy(ctx, topics, admin.ListStartOffsets, ends, c.begin(admin))
	if err != nil {
		return nil, err
	}
	spans := map[topicPartition][2]int64{}
	for _, topic := range topics {
		if err := known[topic].Err; err != nil {
			return nil, topicError(topic, err)
		}
		for _, n := range c.partitions {
			if _, ok := known[topic].Partitions[n]; !ok {
				return nil, fmt.Errorf("topic %s has no partition %d: it has 0 to %d", topic, n, len(known[topic].Partitions)-1)
			}
		}
		for n, detail := range known[topic].Partitions {
			if len(c.partitions) > 0 && !slices.Contains(c.partitions, n) {
				continue
			}
			p := topicPartition{topic, n}
			if err := untold(p, detail.Leader, listed, missing); err != nil {
				if len(c.partitions) == 0 && len(known[topic].Partitions) > 1 {
					err = fmt.Errorf("%w; --partition reads others", err)
				}
				return nil, err
			}
			span, err := c.span(p, listed)
			if err != nil {
				return nil, err
			}
			spans[p] = span
		}
	}
	return spans, nil
}

type lister = func(context.Context, ...string) (kadm.ListedOffsets, error)

// begin lists where to begin when a time says it, and starts otherwise.
func (c *consumeFlags) begin(admin *kadm.Client) lister {
	if c.since == "" {
		return admin.ListStartOffsets
	}
	return func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		ms, err := millisOf(c.since)
		if err != nil {
			return nil, err
		}
		return admin.ListOffsetsAfterMilli(ctx, ms, topics...)
	}
}

// listedBy is starts, ends, and where to begin. What some leaders do not tell is not there, and missing says why: other
// partitions can be read meanwhile.
func listedBy(ctx context.Context, topics []string, listers ...lister) (all []kadm.ListedOffsets, missing, err error) {
	for _, list := range listers {
		listed, err := list(ctx, topics...)
		var some *kadm.ShardErrors
		if errors.As(err, &some) {
			missing, err = some.Errs[0].Err, nil
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, listed)
	}
	return all, missing, nil
}

// untold is why a partition cannot be read, when it is not listed: it has no leader, or the leader does not answer.
func untold(p topicPartition, leader int32, all []kadm.ListedOffsets, missing error) error {
	for _, offsets := range all {
		o, ok := offsets.Lookup(p.topic, p.partition)
		switch {
		case ok && o.Err == nil:
		case leader < 0:
			return fmt.Errorf("%s has no leader: chronik cluster status shows why", p)
		case ok:
			return fmt.Errorf("%s does not tell its offsets: chronik cluster status shows whether its replicas are there (broker %d, its leader, says %w)",
				p, leader, o.Err)
		default:
			return fmt.Errorf("%s does not tell its offsets: chronik doctor shows whether broker %d, its leader, can be reached from here (%w)",
				p, leader, cmp.Or(missing, error(kerr.LeaderNotAvailable)))
		}
	}
	return nil
}

// span is where to begin and where the end is of a partition that is listed.
func (c *consumeFlags) span(p topicPartition, all []kadm.ListedOffsets) (span [2]int64, err error) {
	var at [3]int64 // start, end, begin
	for i, offsets := range all {
		at[i] = offsets[p.topic][p.partition].Offset
	}
	start, end := at[0], at[1]
	n, err := strconv.ParseInt(c.offset, 10, 64)
	switch {
	case c.offset == "latest":
		return [2]int64{end, end}, nil
	case c.offset == "earliest" || c.since != "":
		return [2]int64{min(max(at[2], start), end), end}, nil
	case err != nil:
		return span, err
	case n < 0:
		return [2]int64{max(start, end+n), end}, nil
	case n > end:
		return span, fmt.Errorf("%s ends at offset %d: there is no %d yet", p, end, n)
	}
	return [2]int64{max(start, n), end}, nil
}
