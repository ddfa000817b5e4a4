package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// moveFlags are those of the commands that move replicas.
type moveFlags struct {
	dryRun bool
	atOnce int
	wait   time.Duration

	throttle int64 // MiB a second of each node; 0: none
}

func (m *moveFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&m.dryRun, "dry-run", false, "print the plan and change nothing")
	cmd.Flags().IntVar(&m.atOnce, "at-once", 100, "`number` of partitions that move at a time")
	cmd.Flags().Int64Var(&m.throttle, "throttle", 0, "`MiB` a second that each node copies at most, while replicas that are in sync go on as fast as they can; 0 is no limit")
	cmd.Flags().DurationVar(&m.wait, "wait", 24*time.Hour, "how long to wait until all have moved; what has begun goes on afterwards")
}

// within runs a command that moves replicas; fn says what is to be where.
func (f *adminFlags) within(cmd *cobra.Command, m *moveFlags, fn func(context.Context, *mover) error) error {
	if m.atOnce < 1 {
		return fmt.Errorf("--at-once %d: write 1 or more", m.atOnce)
	}
	if m.throttle < 0 || m.throttle > 1<<20 {
		return fmt.Errorf("--throttle %d: write MiB a second, or 0 for no limit", m.throttle)
	}
	return f.askWithin(cmd, m.wait, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
		if err := f.controllerAnswers(ctx, client); err != nil {
			return err
		}
		mover := &mover{f: m, cmd: cmd, admin: admin, client: client, json: f.format == formatJSON, result: moveView{Partitions: []placeView{}}}
		err := fn(ctx, mover)
		if mover.json && (err == nil || mover.result.Changed) {
			err = errors.Join(err, printJSON(cmd.OutOrStdout(), mover.result))
		}
		return err
	})
}

// moveView is what a command has moved, or would move.
type moveView struct {
	Changed    bool        `json:"changed" help:"whether anything was moved"`
	Partitions []placeView `json:"partitions" help:"that move, or would"`
}

type placeView struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Was       []int32 `json:"was" help:"replicas, the first is to lead"`
	Is        []int32 `json:"is"`
}

// mover is a command that moves replicas.
type mover struct {
	f      *moveFlags
	cmd    *cobra.Command
	admin  *kadm.Client
	client *kgo.Client

	json   bool
	result moveView // printed at the end, with json
}

func (m *mover) look(ctx context.Context) (view, error) { return look(ctx, m.admin, m.client) }

func (m *mover) say(format string, args ...any) {
	fmt.Fprintf(m.words(), format+"\n", args...)
}

// words is where people read what goes on: with JSON not among that.
func (m *mover) words() io.Writer {
	if m.json {
		return m.cmd.ErrOrStderr()
	}
	return m.cmd.OutOrStdout()
}

// do prints a plan, or carries it out.
func (m *mover) do(ctx context.Context, plan []place) error {
	for _, p := range plan {
		m.result.Partitions = append(m.result.Partitions, placeView{p.topic, p.partition, array(p.was), array(p.is)})
	}
	if m.f.dryRun {
		if !m.json {
			if err := show(newTable(m.cmd), plan); err != nil {
				return err
			}
		}
		m.say("\n%s; nothing was changed", summary(plan))
		return nil
	}
	m.say("%s", summary(plan))
	m.result.Changed = true
	return m.throttled(ctx, plan, func() error {
		bar := newBar(m.cmd, "partitions", int64(len(plan)), false)
		defer bar.end()
		return carryOut(ctx, m.client, m.words(), bar, plan, m.f.atOnce)
	})
}

func (f *adminFlags) rebalanceCluster() *cobra.Command {
	m, cancel := &moveFlags{}, false
	cmd := &cobra.Command{
		Use: "rebalance", Short: "Spread replicas and leaders evenly over racks and nodes", Args: noArgs,
		Long: strings.TrimSpace(`
Spread replicas and leaders evenly over racks and nodes, with as few copies as that takes. A partition never has fewer
replicas in sync than before: new ones are copied first, then the others go. Nodes that are down, or drained, count as gone.`),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.within(cmd, m, func(ctx context.Context, m *mover) error {
				if cancel {
					return m.cancel(ctx)
				}
				return m.rebalance(ctx)
			})
		},
	}
	m.add(cmd)
	cmd.Flags().BoolVar(&cancel, "cancel", false, "take back all moves that are on their way, whoever began them")
	cmd.Example = "  chronik cluster rebalance --dry-run\n  chronik cluster rebalance --throttle 50"
	return documented(cmd, moveView{})
}

func (m *mover) rebalance(ctx context.Context) error {
	v, err := m.look(ctx)
	if err != nil {
		return err
	}
	l := newLayout(v.racks(), v.places)
	if err := l.rebalance(); err != nil {
		return err
	}
	plan := l.plan()
	if len(plan) == 0 {
		m.say("replicas and preferred leaders are spread evenly: there is nothing to move; chronik cluster elect --all has the preferred ones lead now")
		return nil
	}
	return m.do(ctx, plan)
}

func (m *mover) cancel(ctx context.Context) error {
	all, err := reassignments(ctx, m.client)
	if err != nil {
		return err
	}
	rq := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rq.TimeoutMillis = 30_000
	for _, r := range all {
		t := kmsg.AlterPartitionAssignmentsRequestTopic{Topic: r.topic}
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Partition = r.partition
		t.Partitions = append(t.Partitions, p)
		rq.Topics = append(rq.Topics, t)
	}
	if m.f.dryRun {
		m.say("%s on the way and would go back; nothing was changed", countedWith(len(all), "partition", "is", "are"))
		return nil
	}
	resp, err := rq.RequestWith(ctx, m.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return err
	}
	back, failed := 0, []error(nil)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			switch err := kerr.ErrorForCode(p.ErrorCode); {
			case err == nil:
				back++
			case errors.Is(err, kerr.NoReassignmentInProgress): // it has just arrived
			default:
				failed = append(failed, fmt.Errorf("%s-%d: %w", t.Topic, p.Partition, explained(text(p.ErrorMessage), err)))
			}
		}
	}
	m.result.Changed = back > 0
	m.say("%s taken back", countedWith(back, "move", "was", "were"))
	return errors.Join(failed...)
}
