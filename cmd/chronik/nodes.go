package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// nodeCommand is a command about one node.
func (f *adminFlags) nodeCommand(name, short, long string, run func(m *mover, ctx context.Context, id int32) error) *cobra.Command {
	m := &moveFlags{}
	cmd := &cobra.Command{
		Use: name + " NODE", Short: short, Long: strings.TrimSpace(long), Args: oneNode, ValidArgsFunction: f.nodeNumbers(),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil || id < 0 {
				return fmt.Errorf("%q is no node: write its number (node-id), as chronik cluster status shows it", args[0])
			}
			return f.within(cmd, m, func(ctx context.Context, m *mover) error { return run(m, ctx, int32(id)) })
		},
	}
	m.add(cmd)
	cmd.Example = "  chronik cluster " + name + " 4"
	return documented(cmd, moveView{})
}

func (f *adminFlags) addNode() *cobra.Command {
	return f.nodeCommand("add", "Give a node that has joined its share of the replicas", `
Give a node that has joined the cluster its share of the replicas and leaders, or one that was drained. Nothing moves but to
this node, and it gets new partitions like the others. To have a node join, start it with a --node-id of its own, the cluster's
--cluster-key and --join; whether it gets a vote on metadata the cluster decides by itself.`, (*mover).addNode)
}

func (f *adminFlags) drainNode() *cobra.Command {
	return f.nodeCommand("drain", "Move all replicas and leaders away from a node", `
Move all replicas and leaders away from a node, to the nodes with fewest, over racks, and wait until they are there. The node
may be down: then what it had is copied from the others. It stays in the cluster, and from now on new partitions are placed on
it only when there are not enough other nodes (cordoned.log.dirs, KIP-1066), and nothing is moved to it by rebalance. That
ends with chronik cluster add, which gives it its share, or undrain, which moves nothing.`, (*mover).drain)
}

func (f *adminFlags) undrainNode() *cobra.Command {
	cmd := f.nodeCommand("undrain", "Let new partitions be placed on a node that was drained", `
Let new partitions be placed on a node that was drained. Nothing moves; chronik cluster add does this too, and gives the node its
share of the partitions that there are.`, (*mover).undrain)
	for _, moves := range []string{"at-once", "throttle", "wait"} { // what does not move takes none of these; scripts may write them
		_ = cmd.Flags().MarkHidden(moves)
	}
	return cmd
}

func (f *adminFlags) decommissionNode() *cobra.Command {
	return f.nodeCommand("decommission", "Drain a node, take its vote, and remove it from the cluster", `
Drain a node, take its vote on metadata, wait until it is stopped, and remove it from the cluster. Nothing is lost: the command
goes on only when all that the node had is elsewhere. To stop the node is up to you; the command says when.`,
		(*mover).decommission)
}

func (m *mover) addNode(ctx context.Context, id int32) error {
	v, err := m.look(ctx)
	if err != nil {
		return err
	}
	if b, ok := v.nodes[id]; !ok || b.IsFenced {
		return fmt.Errorf("node %d is not there: start it with --node-id %d, the cluster's --cluster-key and --join, and try again; there are %s",
			id, id, v.names())
	}
	if err := m.cordon(ctx, id, false); err != nil {
		return err
	}
	delete(v.cordoned, id)
	l := newLayout(v.racks(), v.places)
	l.give(id)
	plan := l.plan()
	if len(plan) == 0 {
		m.say("node %d has its share: %s of %s in all", id, counted(v.holds(id), "replica"), counted(len(v.places), "partition"))
		return nil
	}
	return m.do(ctx, plan)
}

// known refuses a node that is not registered.
func (v view) known(id int32) error {
	if _, ok := v.nodes[id]; !ok {
		return fmt.Errorf("there is no node %d; there are %s", id, v.names())
	}
	return nil
}

// mostRounds bounds how often a node is drained anew because topics were placed on it meanwhile.
const mostRounds = 5

func (m *mover) drain(ctx context.Context, id int32) error {
	for round := range mostRounds {
		v, err := m.look(ctx)
		if err != nil {
			return err
		}
		if err := v.known(id); err != nil {
			return err
		}
		if round == 0 {
			if _, err := v.without(id); err != nil {
				return err
			}
			if err := m.cordon(ctx, id, true); err != nil {
				return err
			}
			continue // it may have got partitions meanwhile
		}
		if v.holds(id) == 0 {
			return m.settle(ctx, id)
		}
		l, err := v.without(id)
		if err != nil {
			return err
		}
		if err := m.do(ctx, touching(l.plan(), id)); err != nil || m.f.dryRun {
			return err
		}
	}
	return fmt.Errorf("node %d gets new replicas all the time: somebody creates topics", id)
}

// without is where all lies when a node has nothing.
func (v view) without(id int32) (*layout, error) {
	l := newLayout(v.racks(id), slices.Clone(v.places))
	if err := l.leave(); err != nil {
		return nil, fmt.Errorf("node %d cannot be drained: %w", id, err)
	}
	l.lead()
	return l, nil
}

// touching is the places of a plan that have a replica at the node: nothing else needs to change.
func touching(plan []place, id int32) (some []place) {
	for _, p := range plan {
		for _, was := range p.was {
			if was == id {
				some = append(some, p)
			}
		}
	}
	return some
}

// settle waits for what somebody else has begun to move away.
func (m *mover) settle(ctx context.Context, id int32) error {
	for {
		all, err := reassignments(ctx, m.client)
		if err != nil && !retriable(err) {
			return err
		}
		left := 0
		for _, r := range all {
			for _, other := range r.removing {
				if other == id {
					left++
				}
			}
		}
		if err == nil && left == 0 {
			m.say("node %d has no replicas and leads nothing", id)
			return nil
		}
		if err := sleep(ctx, lookEvery); err != nil {
			return unfinished(fmt.Sprintf("%s not left node %d yet; %s", countedWith(left, "partition", "has", "have"), id, goesOn))
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (m *mover) decommission(ctx context.Context, id int32) error {
	v, err := m.look(ctx)
	if err != nil {
		return err
	}
	if err := v.known(id); err != nil {
		return err
	}
	if len(v.racks(id)) == 0 {
		return fmt.Errorf("node %d is the only one: nobody would be left", id)
	}
	if err := m.drain(ctx, id); err != nil || m.f.dryRun {
		return err
	}
	if err := m.takeVote(ctx, id); err != nil {
		return fmt.Errorf("node %d is drained and keeps its vote: %w", id, err)
	}
	if err := m.awaitStop(ctx, id); err != nil {
		return err
	}
	if err := m.cordon(ctx, id, false); err != nil { // the next node of that number is another one
		return err
	}
	return m.unregister(ctx, id)
}

// takeVote has a voter be none, if it is one. The one that leads the metadata log hands over first, and then the next is
// asked.
func (m *mover) takeVote(ctx context.Context, id int32) error {
	for {
		directory, votes, err := m.voter(ctx, id)
		if err == nil && !votes {
			return nil
		}
		if err == nil {
			rq := kmsg.NewPtrRemoveRaftVoterRequest()
			rq.VoterID, rq.VoterDirectoryID = id, directory
			var resp *kmsg.RemoveRaftVoterResponse
			if resp, err = rq.RequestWith(ctx, m.client); err == nil {
				err = explained(text(resp.ErrorMessage), kerr.ErrorForCode(resp.ErrorCode))
			}
			if err == nil {
				m.say("node %d does not vote on metadata any more", id)
				return nil
			}
		}
		if !retriable(err) {
			return err
		}
		if ended := sleep(ctx, lookEvery); ended != nil {
			return errors.Join(err, ended)
		}
	}
}

// voter says whether the node votes on metadata, and by which directory.
func (m *mover) voter(ctx context.Context, id int32) (directory [16]byte, votes bool, err error) {
	resp, err := describeQuorum(ctx, m.client)
	if err != nil {
		return directory, false, err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			for _, s := range p.CurrentVoters {
				if s.ReplicaID == id {
					return s.ReplicaDirectoryID, true, nil
				}
			}
		}
	}
	return directory, false, nil
}

func (m *mover) awaitStop(ctx context.Context, id int32) error {
	for told := false; ; told = true {
		v, err := m.look(ctx)
		if err != nil && !retriable(err) {
			return err
		}
		b, registered := v.nodes[id]
		if err == nil && (!registered || b.IsFenced) {
			return nil
		}
		if err == nil && !told {
			m.say("node %d has nothing to do any more: stop it now; then it is removed from the cluster", id)
		}
		if ended := sleep(ctx, lookEvery); ended != nil {
			return unfinished(fmt.Sprintf("node %d was not stopped: stop it, and run the command again to have it removed", id))
		}
	}
}

func (m *mover) unregister(ctx context.Context, id int32) error {
	for {
		rq := kmsg.NewPtrUnregisterBrokerRequest()
		rq.BrokerID = id
		resp, err := rq.RequestWith(ctx, m.client)
		if err == nil {
			err = explained(text(resp.ErrorMessage), kerr.ErrorForCode(resp.ErrorCode))
		}
		if err == nil || errors.Is(err, kerr.BrokerIDNotRegistered) {
			m.say("node %d is removed from the cluster; its data directory can be deleted", id)
			return nil
		}
		if !retriable(err) {
			return err
		}
		if ended := sleep(ctx, lookEvery); ended != nil {
			return errors.Join(err, ended)
		}
	}
}
