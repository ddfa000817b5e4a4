package main

import (
	"cmp"
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

// groupView is a group with its members, of whatever type it is.
type groupView struct {
	groupLine
	Assignor string       `json:"assignor" help:"how partitions are shared out"`
	Epoch    int32        `json:"epoch" help:"of the group; -1: its type has none that is told"`
	Members  []memberView `json:"members"`
}

type memberView struct {
	Member     string       `json:"member"`
	Instance   *string      `json:"instance" help:"of a static member"`
	Client     string       `json:"client"`
	Host       string       `json:"host"`
	Epoch      int32        `json:"epoch"`
	Subscribed []string     `json:"subscribed" help:"topics, or a regular expression between slashes"`
	Assigned   []assignment `json:"assigned"`
}

// assignment is partitions that a member reads.
type assignment struct {
	Topic      string  `json:"topic" help:"of streams: the subtopology"`
	Partitions []int32 `json:"partitions"`
}

func (f *adminFlags) describeGroup() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe GROUP", Short: "Show a group's state, and its members with where they are and what they read",
		Args: oneGroup, ValidArgsFunction: f.groupNames(1), Example: "  chronik group describe billing",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
				line, err := groupNamed(ctx, client, args[0])
				if err != nil {
					return err
				}
				v, err := viewGroup(ctx, admin, client, line)
				if err != nil {
					return groupError(args[0], err)
				}
				return f.print(cmd, v, v.show)
			})
		},
	}
	return documented(cmd, groupView{})
}

// viewGroup describes a group by the request of its type.
func viewGroup(ctx context.Context, admin *kadm.Client, client *kgo.Client, line groupLine) (v groupView, err error) {
	switch line.Type {
	case "":
		err = kerr.GroupIDNotFound
	case consumerGroup:
		v, err = viewConsumerGroup(ctx, admin, line.Group)
	case shareGroup:
		v, err = viewShareGroup(ctx, admin, line.Group)
	case streamsGroup:
		v, err = viewStreamsGroup(ctx, client, line)
	default:
		v, err = viewClassicGroup(ctx, admin, line.Group)
	}
	line.State = cmp.Or(v.State, line.State)
	v.groupLine, v.Members = line, array(v.Members)
	return v, err
}

func viewClassicGroup(ctx context.Context, admin *kadm.Client, name string) (v groupView, err error) {
	all, err := admin.DescribeGroups(ctx, name)
	if err != nil {
		return v, err
	}
	g := all[name]
	v = groupView{groupLine: groupLine{State: g.State}, Assignor: g.Protocol, Epoch: -1}
	for _, m := range g.Members {
		one := memberView{m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, -1, []string{}, []assignment{}}
		if join, ok := m.Join.AsConsumer(); ok {
			one.Subscribed = array(join.Topics)
		}
		if has, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range has.Topics {
				one.Assigned = append(one.Assigned, assignment{t.Topic, array(t.Partitions)})
			}
		}
		v.Members = append(v.Members, one)
	}
	return v, explainedIf(g.ErrMessage, g.Err)
}

func viewConsumerGroup(ctx context.Context, admin *kadm.Client, name string) (v groupView, err error) {
	all, err := admin.DescribeConsumerGroups(ctx, name)
	if err != nil {
		return v, err
	}
	g := all[name]
	v = groupView{groupLine: groupLine{State: g.State}, Assignor: g.AssignorName, Epoch: g.Epoch}
	for _, m := range g.Members {
		subscribed := slices.Clone(m.SubscribedTopics)
		if m.SubscribedTopicRegex != nil && *m.SubscribedTopicRegex != "" {
			subscribed = append(subscribed, "/"+*m.SubscribedTopicRegex+"/")
		}
		v.Members = append(v.Members, memberView{m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, m.MemberEpoch, array(subscribed), assignments(m.Assignment)})
	}
	return v, g.Err
}

func viewShareGroup(ctx context.Context, admin *kadm.Client, name string) (v groupView, err error) {
	all, err := admin.DescribeShareGroups(ctx, name)
	if err != nil {
		return v, err
	}
	g := all[name]
	v = groupView{groupLine: groupLine{State: g.GroupState}, Assignor: g.Assignor, Epoch: g.GroupEpoch}
	for _, m := range g.Members {
		v.Members = append(v.Members, memberView{m.MemberID, nil, m.ClientID, m.ClientHost, m.MemberEpoch, array(m.SubscribedTopicNames), assignments(m.Assignment)})
	}
	return v, g.Err
}

func assignments(set kadm.TopicsSet) []assignment {
	all := []assignment{}
	for _, t := range set.Sorted() {
		all = append(all, assignment{t.Topic, array(t.Partitions)})
	}
	return all
}

// viewStreamsGroup asks the coordinator, which the client does not look for by itself.
func viewStreamsGroup(ctx context.Context, client *kgo.Client, line groupLine) (v groupView, err error) {
	rq := kmsg.NewPtrStreamsGroupDescribeRequest()
	rq.Groups = []string{line.Group}
	answer, err := client.Broker(int(line.Coordinator)).RetriableRequest(ctx, rq)
	if err != nil {
		return v, err
	}
	for _, g := range answer.(*kmsg.StreamsGroupDescribeResponse).Groups {
		if err := answered(g.ErrorCode, g.ErrorMessage); err != nil {
			return v, err
		}
		v = groupView{groupLine: groupLine{State: g.State}, Assignor: "tasks", Epoch: g.Epoch}
		var sources []string
		if g.Topology != nil {
			for _, s := range g.Topology.Subtopologies {
				sources = append(sources, s.SourceTopics...)
			}
		}
		for _, m := range g.Members {
			one := memberView{m.MemberID, m.InstanceID, m.ClientID, m.ClientHost, m.MemberEpoch, array(sources), []assignment{}}
			for _, task := range m.Assignment.ActiveTasks {
				one.Assigned = append(one.Assigned, assignment{task.SubtopologyID, array(task.Partitions)})
			}
			v.Members = append(v.Members, one)
		}
	}
	return v, nil
}

func (v groupView) show(t table) {
	t.say("group %s: %s, %s, %s, coordinator %d", v.Group, v.Type, v.State, counted(len(v.Members), "member"), v.Coordinator)
	if v.Assignor != "" {
		t.say("partitions are shared out by %s", v.Assignor)
	}
	if len(v.Members) == 0 {
		return
	}
	t.say("")
	t.row("MEMBER", "INSTANCE", "CLIENT", "HOST", "SUBSCRIBED", "READS")
	for _, m := range v.Members {
		t.row(m.Member, known(m.Instance), m.Client, m.Host, strings.Join(m.Subscribed, ","), m.reads())
	}
}

// reads is what a member has as people write it: orders:0,1 payments:2.
func (m memberView) reads() string {
	var all []string
	for _, a := range m.Assigned {
		all = append(all, fmt.Sprintf("%s:%s", a.Topic, list(a.Partitions)))
	}
	return cmp.Or(strings.Join(all, " "), "nothing")
}

// readers is the member that reads each partition.
func (v groupView) readers() map[topicPartition]memberView {
	all := map[topicPartition]memberView{}
	for _, m := range v.Members {
		for _, a := range m.Assigned {
			for _, p := range a.Partitions {
				all[topicPartition{a.Topic, p}] = m
			}
		}
	}
	return all
}

type topicPartition struct {
	topic     string
	partition int32
}

func (p topicPartition) String() string { return fmt.Sprintf("%s-%d", p.topic, p.partition) }
