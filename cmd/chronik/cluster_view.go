package main

import (
	"errors"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// statusView is how a cluster is.
type statusView struct {
	Cluster    string       `json:"cluster" help:"its id"`
	Controller int32        `json:"controller" help:"a broker, or -1: there is none, and what else is here may be old"`
	Voters     []int32      `json:"voters" help:"brokers that vote on metadata"`
	Topics     int          `json:"topics"`
	Partitions int          `json:"partitions"`
	Leaderless []string     `json:"leaderless" help:"partitions that nobody leads, with who led last where that is known"`
	NotInSync  []string     `json:"not_in_sync" help:"partitions with replicas that are not in sync"`
	Moving     []string     `json:"moving" help:"partitions that move to other brokers"`
	Brokers    []brokerView `json:"brokers"`
	Advice     []string     `json:"advice" help:"what is wrong and what to do about it, for people"`
}

type brokerView struct {
	Broker   int32  `json:"broker"`
	Up       bool   `json:"up"`
	Address  string `json:"address" help:"empty when it is down"`
	Rack     string `json:"rack"`
	Leads    int    `json:"leads" help:"partitions"`
	Replicas int    `json:"replicas"`
	Behind   int    `json:"behind" help:"replicas that are not in sync"`
	Drained  bool   `json:"drained" help:"it gets no new partitions"`
}

// showHealth prints how the cluster is. What is wrong with it is an error too: scripts ask for the exit code.
func (f *adminFlags) showHealth(cmd *cobra.Command, h *health, m kadm.Metadata) error {
	v, down := h.view(m)
	return errors.Join(f.print(cmd, v, func(t table) { v.show(t, h) }), h.wrong(down))
}

// view is what is printed, and which brokers are down.
func (h *health) view(m kadm.Metadata) (v statusView, down []int32) {
	v = statusView{Cluster: m.Cluster, Controller: m.Controller, Voters: array(h.quorum.voters), Topics: len(m.Topics), Partitions: h.partitions,
		Leaderless: array(h.leaderless), NotInSync: array(h.under), Moving: sortedKeys(h.moving)}
	if h.headless {
		v.Controller = -1
	}
	alive := map[int32]bool{}
	for _, b := range m.Brokers {
		alive[b.NodeID] = true
		v.Brokers = append(v.Brokers, brokerView{b.NodeID, true, addressOf(b), text(b.Rack), h.led[b.NodeID], h.held[b.NodeID], h.behind[b.NodeID], h.drained[b.NodeID]})
	}
	known := slices.AppendSeq(slices.Clone(h.quorum.voters), maps.Keys(h.held)) // one that is down is in no list of brokers
	slices.Sort(known)
	for _, id := range slices.Compact(known) {
		if !alive[id] {
			down = append(down, id)
			v.Brokers = append(v.Brokers, brokerView{Broker: id, Replicas: h.held[id], Behind: h.behind[id]})
		}
	}
	v.Advice = h.advice(down)
	return v, down
}

func (v statusView) show(t table, h *health) {
	head := "controller " + leaderText(v.Controller)
	if h.headless {
		head = "no controller"
	} else if len(v.Voters) > 0 {
		head += ", voters " + list(v.Voters)
	}
	up := 0
	for _, b := range v.Brokers {
		if b.Up {
			up++
		}
	}
	t.say("cluster %s: %s, %s, %s; %s\n", v.Cluster, counted(up, "broker"), counted(v.Topics, "topic"), counted(v.Partitions, "partition"), head)
	t.row("BROKER", "ADDRESS", "RACK", "LEADS", "REPLICAS", "BEHIND")
	for _, b := range v.Brokers {
		address, rack := "down", "-"
		if b.Up {
			address = b.Address
		}
		if b.Rack != "" {
			rack = b.Rack
		}
		t.row(b.Broker, address, rack, b.Leads, b.Replicas, b.Behind)
	}
	t.say("")
	for _, line := range v.Advice {
		t.say("%s", line)
	}
}
