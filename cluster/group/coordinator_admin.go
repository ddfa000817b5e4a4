package group

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

const (
	// describeNotFoundVersion of DescribeGroups is the first that has a code for groups that are not there (KIP-1043).
	describeNotFoundVersion = 6
)

// ListGroups serves key 16, versions 0-5: this node's groups, by id, whose state and type the filters name.
func (c *Coordinator) ListGroups(_ context.Context, version int16, rq *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := kmsg.NewPtrListGroupsResponse()
	resp.Version = version
	for _, id := range c.ids() {
		c.machines.View(id, func(m *machine) {
			state, protocolType := m.kind.summary()
			is := strings.ToLower(m.kind.is().String())
			if !m.exists() || !named(rq.StatesFilter, state) || !named(rq.TypesFilter, is) {
				return
			}
			g := kmsg.NewListGroupsResponseGroup()
			g.Group, g.ProtocolType, g.GroupState, g.GroupType = id, protocolType, state, is
			resp.Groups = append(resp.Groups, g)
		})
	}
	return resp
}

// ids are those in the image and those that are not there yet, sorted.
func (c *Coordinator) ids() []string {
	ids := c.machines.Keys()
	for id := range c.image().Groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return !c.coordinates(id) })
}

// named says whether filter lets name pass. Kafka's filters disregard case.
func named(filter []string, name string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, name) })
}

// DescribeGroups serves key 15, versions 0-6. AuthorizedOperations is left at its default.
func (c *Coordinator) DescribeGroups(_ context.Context, version int16, rq *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Version = version
	for _, id := range rq.Groups {
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group = id
		if err := c.refuse(id); err != nil {
			g.ErrorCode = int16(unanswered(err))
		} else {
			c.machines.View(id, func(m *machine) { m.describe(&g, version) })
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

// describe fills g. A group of another kind is as good as none to who asks for classic ones.
func (m *machine) describe(g *kmsg.DescribeGroupsResponseGroup, version int16) {
	is, ok := m.kind.(*classicGroup)
	if ok && m.exists() {
		is.describe(g)
		return
	}
	g.State = "Dead"
	if version >= describeNotFoundVersion {
		g.ErrorCode = int16(kerr.GroupIDNotFound)
		g.ErrorMessage = text(m.missing(image.ClassicGroup))
	}
}

// missing says why there is no group of the kind that somebody asked for.
func (m *machine) missing(asked image.GroupKind) string {
	if m.exists() && m.kind.is() != asked {
		return "Group " + m.id + " is not a " + strings.ToLower(asked.String()) + " group."
	}
	return "Group " + m.id + " not found."
}

// describe fills g. What members are and have is only told while it is settled.
func (m *classicGroup) describe(g *kmsg.DescribeGroupsResponseGroup) {
	g.State, g.ProtocolType = m.state.String(), m.protocolType
	if m.state == stable {
		g.Protocol = m.protocol
	}
	for _, mem := range m.members {
		d := kmsg.NewDescribeGroupsResponseGroupMember()
		d.MemberID, d.InstanceID = mem.id, optional(mem.instance)
		d.ClientID, d.ClientHost = mem.client.ID, mem.client.Host
		if m.state == stable {
			d.ProtocolMetadata, d.MemberAssignment = mem.metadata(m.protocol), mem.assignment
		}
		g.Members = append(g.Members, d)
	}
}

// DeleteGroups serves key 42, versions 0-3: empty groups with their offsets.
func (c *Coordinator) DeleteGroups(ctx context.Context, version int16, rq *kmsg.DeleteGroupsRequest) *kmsg.DeleteGroupsResponse {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Version = version
	for _, id := range rq.Groups {
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group = id
		body, err := c.call(ctx, id, func(m *machine, now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
			m.deleteGroup(now, t, fx)
		})
		if err != nil {
			g.ErrorCode = int16(unanswered(err))
		} else {
			g.ErrorCode = int16(body.(kerr.Code))
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}
