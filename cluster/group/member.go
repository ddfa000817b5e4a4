package group

import (
	"bytes"
	"slices"
	"time"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// member is one member of a group. It belongs to the group's machine.
type member struct {
	id        string
	instance  string // group.instance.id of a static member, else ""
	client    Client
	session   time.Duration
	rebalance time.Duration

	protocols  []protocol // in the member's order of preference
	assignment []byte

	fresh    bool               // it was never answered, so it cannot send heartbeats
	expires  time.Duration      // when it is taken for gone, in Instant.Up
	join     coordinator.Ticket // of the JoinGroup that waits, or 0
	sync     coordinator.Ticket // of the SyncGroup that waits, or 0
	unsynced bool               // has not asked for its assignment in this generation
}

// protocol is a way to assign partitions that a member knows, with what it tells the leader about itself.
type protocol struct {
	name     string
	metadata []byte
}

func memberOf(is image.Member, chosen string) *member {
	return &member{
		id: is.ID, instance: is.InstanceID, client: Client{is.ClientID, is.ClientHost},
		session:    time.Duration(is.SessionTimeoutMs) * time.Millisecond,
		rebalance:  time.Duration(is.RebalanceTimeoutMs) * time.Millisecond,
		protocols:  []protocol{{chosen, is.Subscription}},
		assignment: is.Assignment,
	}
}

// durable is the member as the group's record keeps it.
func (mem *member) durable(chosen string, assignment []byte) image.Member {
	return image.Member{
		ID: mem.id, InstanceID: mem.instance, ClientID: mem.client.ID, ClientHost: mem.client.Host,
		RebalanceTimeoutMs: int32(mem.rebalance.Milliseconds()),
		SessionTimeoutMs:   int32(mem.session.Milliseconds()),
		Subscription:       mem.metadata(chosen),
		Assignment:         assignment,
	}
}

func (mem *member) waits() bool { return mem.join != 0 || mem.sync != 0 }

// heard begins the member's session again.
func (mem *member) heard(now coordinator.Instant) { mem.expires = now.Up + mem.session }

func (mem *member) metadata(chosen string) []byte {
	for _, p := range mem.protocols {
		if p.name == chosen {
			return p.metadata
		}
	}
	return nil
}

func (mem *member) supports(name string) bool {
	return slices.ContainsFunc(mem.protocols, func(p protocol) bool { return p.name == name })
}

func (mem *member) matches(protocols []protocol) bool {
	return slices.EqualFunc(mem.protocols, protocols, func(a, b protocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
}

// supports says whether a member with these protocols could be in the group: one of them must be known to everybody.
func (m *classicGroup) supports(protocolType string, protocols []protocol) bool {
	if m.state == empty {
		return protocolType != "" && len(protocols) > 0
	}
	return protocolType == m.protocolType && slices.ContainsFunc(protocols, func(p protocol) bool { return m.common(p.name) })
}

func (m *classicGroup) common(protocol string) bool {
	return !slices.ContainsFunc(m.members, func(mem *member) bool { return !mem.supports(protocol) })
}

// selectProtocol has each member vote for the first of its protocols that all know. Of those with the most votes the one
// that was voted for first wins.
func (m *classicGroup) selectProtocol() string {
	votes := map[string]int{}
	winner := ""
	var order []string
	for _, mem := range m.members {
		i := slices.IndexFunc(mem.protocols, func(p protocol) bool { return m.common(p.name) })
		if i < 0 {
			continue
		}
		name := mem.protocols[i].name
		if votes[name]++; votes[name] == 1 {
			order = append(order, name)
		}
	}
	for _, name := range order {
		if votes[name] > votes[winner] {
			winner = name
		}
	}
	return winner
}
