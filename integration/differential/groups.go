package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	joinKey, heartbeatKey, leaveKey, syncKey       = 11, 12, 13, 14
	describeGroupsKey, listGroupsKey, deleteGroups = 15, 16, 42
)

func init() {
	scenarios = append(scenarios,
		scenario{"join group", joinGroup},
		scenario{"a group of one", groupOfOne},
		scenario{"a group of two", groupOfTwo},
		scenario{"static members", staticMembers},
		scenario{"unknown groups", unknownGroups},
		scenario{"list groups", listGroups},
		scenario{"delete groups", deleteGroupsOfAllKinds},
	)
}

func joinRequest(group, member string, protocols ...string) *kmsg.JoinGroupRequest {
	rq := kmsg.NewPtrJoinGroupRequest()
	rq.Group, rq.MemberID, rq.ProtocolType = group, member, "consumer"
	rq.SessionTimeoutMillis, rq.RebalanceTimeoutMillis = 10000, 10000
	for _, p := range protocols {
		rq.Protocols = append(rq.Protocols, kmsg.JoinGroupRequestProtocol{Name: p, Metadata: subscription(p)})
	}
	return rq
}

// subscription is a consumer's metadata, which Kafka reads: it never answers the join of a group that it cannot read.
func subscription(userData string, topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics, m.UserData = topics, []byte(userData)
	return m.AppendTo(nil)
}

func static(rq *kmsg.JoinGroupRequest, instance string) *kmsg.JoinGroupRequest {
	rq.InstanceID = &instance
	return rq
}

// join joins as a new member does: where an id is required first, it asks again with the id. Only the last answer is
// recorded.
func (s *script) join(label string, v int16, rq *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	if v >= 4 && rq.MemberID == "" && rq.InstanceID == nil {
		rq.MemberID = s.quiet(v, rq).(*kmsg.JoinGroupResponse).MemberID
	}
	resp, ok := s.do(label, v, rq).(*kmsg.JoinGroupResponse)
	if !ok {
		panic(stop{fmt.Errorf("%s: no answer", label)})
	}
	return resp
}

func syncRequest(group, member string, generation int32, assigned ...string) *kmsg.SyncGroupRequest {
	rq := kmsg.NewPtrSyncGroupRequest()
	rq.Group, rq.MemberID, rq.Generation = group, member, generation
	kind, protocol := "consumer", "range"
	rq.ProtocolType, rq.Protocol = &kind, &protocol
	for _, m := range assigned {
		rq.GroupAssignment = append(rq.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m, MemberAssignment: []byte("for a member")})
	}
	return rq
}

func heartbeatRequest(group, member string, generation int32) *kmsg.HeartbeatRequest {
	rq := kmsg.NewPtrHeartbeatRequest()
	rq.Group, rq.MemberID, rq.Generation = group, member, generation
	return rq
}

// leaveRequest names one member before version 3 and several from then on.
func leaveRequest(v int16, group string, members ...string) *kmsg.LeaveGroupRequest {
	rq := kmsg.NewPtrLeaveGroupRequest()
	rq.Group = group
	for _, m := range members {
		rq.MemberID = m
		if v >= 3 {
			rq.Members = append(rq.Members, kmsg.LeaveGroupRequestMember{MemberID: m})
		}
	}
	return rq
}

func joinGroup(s *script) {
	ask := func(label string, change func(rq *kmsg.JoinGroupRequest)) {
		s.all(joinKey, label, func(v int16) kmsg.Request {
			rq := joinRequest(s.name(fmt.Sprintf("j%d-%s", v, strings.ReplaceAll(label, " ", "-"))), "", "range")
			change(rq)
			return rq
		})
	}
	type rq = *kmsg.JoinGroupRequest
	ask("first", func(rq) {})
	ask("empty group", func(r rq) { r.Group = "" })
	ask("unknown member", func(r rq) { r.MemberID = "nobody" })
	ask("session timeout too low", func(r rq) { r.SessionTimeoutMillis = 5000 })
	ask("session timeout too high", func(r rq) { r.SessionTimeoutMillis = 1800001 })
	ask("session timeout negative", func(r rq) { r.SessionTimeoutMillis = -1 })
	ask("no protocols", func(r rq) { r.Protocols = nil })
	ask("no protocol type", func(r rq) { r.ProtocolType = "" })
	ask("protocol without a name", func(r rq) { r.Protocols[0].Name = "" })
	ask("a protocol twice", func(r rq) { r.Protocols = append(r.Protocols, r.Protocols[0]) })
	ask("metadata empty", func(r rq) { r.Protocols[0].Metadata = nil })
	ask("odd group", func(r rq) { r.Group += " ü/" })
	ask("static with an unknown member id", func(r rq) { static(r, "i").MemberID = "nobody" })
	ask("static without a name", func(r rq) { static(r, "") })
	ask("static with an odd name", func(r rq) { static(r, "a b") })
	ask("static with a long name", func(r rq) { static(r, strings.Repeat("x", 250)) })
	ask("rebalance timeout 0", func(r rq) { r.RebalanceTimeoutMillis = 0 })
	ask("a reason", func(r rq) { why := "because"; r.Reason = &why })
	ask("a long reason", func(r rq) { why := strings.Repeat("because ", 100); r.Reason = &why })
}

func groupOfOne(s *script) {
	s.each(joinKey, func(v int16) {
		group := s.name(fmt.Sprintf("one%d", v))
		sv, hv, lv, dv := min(v, s.last(syncKey)), min(v, s.last(heartbeatKey)), min(v, s.last(leaveKey)), min(v, s.last(describeGroupsKey))
		step := func(label string) string { return fmt.Sprintf("join%d %s", v, label) }
		resp := s.join("", v, joinRequest(group, "", "range", "roundrobin"))
		member, generation := resp.MemberID, resp.Generation
		describe := func(label string) {
			rq := kmsg.NewPtrDescribeGroupsRequest()
			rq.Groups = []string{group}
			rq.IncludeAuthorizedOperations = true
			s.do(step(label), dv, rq)
		}
		describe("before sync")
		s.do(step("before sync"), hv, heartbeatRequest(group, member, generation))
		s.do(step("wrong generation"), sv, syncRequest(group, member, generation+1, member))
		s.do(step("generation -1"), sv, syncRequest(group, member, -1, member))
		s.do(step("unknown member"), sv, syncRequest(group, "nobody", generation, member))
		other := syncRequest(group, member, generation, member)
		kind, protocol := "connect", "sticky"
		other.ProtocolType = &kind
		s.do(step("wrong protocol type"), sv, other)
		other = syncRequest(group, member, generation, member)
		other.Protocol = &protocol
		s.do(step("wrong protocol"), sv, other)
		other = syncRequest(group, member, generation, member)
		other.Protocol, other.ProtocolType = nil, nil
		s.do(step("no protocol"), sv, other)
		s.do(step(""), sv, syncRequest(group, member, generation, member))
		s.do(step("again"), sv, syncRequest(group, member, generation))
		describe("stable")
		s.do(step(""), hv, heartbeatRequest(group, member, generation))
		s.do(step("wrong generation"), hv, heartbeatRequest(group, member, generation+1))
		s.do(step("generation -1"), hv, heartbeatRequest(group, member, -1))
		s.do(step("unknown member"), hv, heartbeatRequest(group, "nobody", generation))
		s.do(step("no member"), hv, heartbeatRequest(group, "", generation))
		s.do("of another protocol", v, joinRequest(group, "", "sticky"))
		wrong := joinRequest(group, member, "range")
		wrong.ProtocolType = "connect"
		s.do("of another protocol type", v, wrong)
		s.do("again as leader", v, joinRequest(group, member, "range", "roundrobin"))
		s.do(step("generation 2, nobody assigned"), sv, syncRequest(group, member, generation+1))
		describe("nobody assigned")
		skipped := joinRequest(group, member, "roundrobin")
		s.do("of other protocols", v, skipped)
		s.do(step("leader of another protocol"), sv, syncRequest(group, member, generation+2, member))
		s.do(step("unknown member"), lv, leaveRequest(lv, group, "nobody"))
		s.do(step("empty member"), lv, leaveRequest(lv, group, ""))
		s.do(step("empty group"), lv, leaveRequest(lv, "", member))
		if lv >= 3 {
			s.do(step("nobody"), lv, leaveRequest(lv, group))
			s.do(step("and an unknown member"), lv, leaveRequest(lv, group, "nobody", member, member))
		} else {
			s.do(step(""), lv, leaveRequest(lv, group, member))
		}
		s.do(step("after leaving"), lv, leaveRequest(lv, group, member))
		describe("empty")
		s.do(step("after leaving"), hv, heartbeatRequest(group, member, generation+2))
		s.do(step("after leaving"), sv, syncRequest(group, member, generation+2))
		s.do("after leaving, with the old id", v, joinRequest(group, member, "range"))
		s.join("after leaving", v, joinRequest(group, "", "sticky"))
	})
}

// groupOfTwo: the second member's join makes the first rejoin.
func groupOfTwo(s *script) {
	s.each(joinKey, func(v int16) {
		group := s.name(fmt.Sprintf("two%d", v))
		sv := min(v, s.last(syncKey))
		first := s.join("the first", v, joinRequest(group, "", "range", "roundrobin")).MemberID
		s.do("the first", sv, syncRequest(group, first, 1, first))
		entered := make(chan string, 1)
		joined := s.apart(func(other *script) {
			defer close(entered)
			rq := joinRequest(group, "", "range", "sticky")
			rq.SessionTimeoutMillis = 20000
			resp := other.join("the second", v, rq)
			entered <- resp.MemberID
		})
		s.awaitRebalance(group, first, 1)
		s.do("the first, rebalancing", sv, syncRequest(group, first, 1))
		s.do("the first, rebalancing", s.last(heartbeatKey), heartbeatRequest(group, first, 1))
		resp, ok := s.do("the first, with the second", v, joinRequest(group, first, "range", "roundrobin")).(*kmsg.JoinGroupResponse)
		second := <-entered
		joined()
		if !ok || second == "" {
			return
		}
		synced := s.apart(func(other *script) {
			other.do("the second, before the leader", sv, syncRequest(group, second, resp.Generation))
		})
		s.do("the leader", sv, syncRequest(group, first, resp.Generation, first, second))
		synced()
		rq := kmsg.NewPtrDescribeGroupsRequest()
		rq.Groups = []string{group}
		s.do("two", s.last(describeGroupsKey), rq)
		s.do("the follower again, with the same", v, secondAgain(group, second))
		s.do("in the same generation", sv, syncRequest(group, second, resp.Generation))
		lv := s.last(leaveKey)
		s.do("the leader leaves", lv, leaveRequest(lv, group, first))
		s.do("the follower, rebalancing", s.last(heartbeatKey), heartbeatRequest(group, second, resp.Generation))
		s.do("the second alone", v, secondAgain(group, second))
	})
}

func secondAgain(group, member string) *kmsg.JoinGroupRequest {
	rq := joinRequest(group, member, "range", "sticky")
	rq.SessionTimeoutMillis = 20000
	return rq
}

// awaitRebalance heartbeats until the group tells the member to join again.
func (s *script) awaitRebalance(group, member string, generation int32) {
	for range 500 {
		if s.quiet(0, heartbeatRequest(group, member, generation)).(*kmsg.HeartbeatResponse).ErrorCode != 0 {
			return
		}
	}
	panic(stop{fmt.Errorf("group %s does not rebalance", group)})
}

func staticMembers(s *script) {
	s.each(joinKey, func(v int16) {
		if v < 5 {
			return
		}
		group := s.name(fmt.Sprintf("static%d", v))
		sv, hv, lv := min(v, s.last(syncKey)), s.last(heartbeatKey), s.last(leaveKey)
		first := s.join("static", v, static(joinRequest(group, "", "range"), "i1")).MemberID
		s.do("static", sv, syncRequest(group, first, 1, first))
		second := s.join("static, again", v, static(joinRequest(group, "", "range"), "i1")).MemberID
		describe := func(label string) {
			rq := kmsg.NewPtrDescribeGroupsRequest()
			rq.Groups = []string{group}
			s.do(label, s.last(describeGroupsKey), rq)
		}
		describe("static, replaced")
		beat := heartbeatRequest(group, first, 1)
		instance := "i1"
		beat.InstanceID = &instance
		s.do("static, fenced", hv, beat)
		beat = heartbeatRequest(group, second, 1)
		beat.InstanceID = &instance
		s.do("static", hv, beat)
		sync := syncRequest(group, first, 1)
		sync.InstanceID = &instance
		s.do("static, fenced", sv, sync)
		s.do("static, fenced", v, static(joinRequest(group, first, "range"), "i1"))
		s.do("static, same id", v, static(joinRequest(group, second, "range"), "i1"))
		s.do("static, other protocols", v, static(joinRequest(group, "", "range", "sticky"), "i1"))
		s.do("unknown instance with a member's id", v, static(joinRequest(group, second, "range"), "i9"))
		leave := func(label, member, instance string) {
			rq := kmsg.NewPtrLeaveGroupRequest()
			rq.Group = group
			rq.Members = []kmsg.LeaveGroupRequestMember{{MemberID: member, InstanceID: &instance}}
			s.do(label, lv, rq)
		}
		leave("fenced", first, "i1")
		leave("unknown instance", "", "i7")
		leave("by instance", "", "i1")
		describe("static, left")
	})
}

func unknownGroups(s *script) {
	never := s.name("never")
	s.all(syncKey, "unknown group", func(int16) kmsg.Request { return syncRequest(never, "m", 1) })
	s.all(syncKey, "empty group", func(int16) kmsg.Request { return syncRequest("", "m", 1) })
	s.all(heartbeatKey, "unknown group", func(int16) kmsg.Request { return heartbeatRequest(never, "m", 1) })
	s.all(heartbeatKey, "empty group", func(int16) kmsg.Request { return heartbeatRequest("", "m", 1) })
	s.all(leaveKey, "unknown group", func(v int16) kmsg.Request { return leaveRequest(v, never, "m", "n") })
	s.all(leaveKey, "empty group", func(v int16) kmsg.Request { return leaveRequest(v, "", "m") })
	describe := func(label string, groups ...string) {
		s.all(describeGroupsKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrDescribeGroupsRequest()
			rq.Groups = groups
			return rq
		})
	}
	describe("unknown group", never)
	describe("empty group", "")
	describe("no groups")
	describe("the same twice", never, never)
}

func listGroups(s *script) {
	group := s.name("listed")
	member := s.join("", s.last(joinKey), joinRequest(group, "", "range")).MemberID
	ask := func(label string, change func(rq *kmsg.ListGroupsRequest)) {
		s.all(listGroupsKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrListGroupsRequest()
			change(rq)
			return rq
		})
	}
	ask("completing", func(*kmsg.ListGroupsRequest) {})
	s.quiet(3, syncRequest(group, member, 1, member))
	s.quiet(7, commitRequest(s.name("simple"), s.topic("simple", 1), 0, 1))
	ask("all", func(*kmsg.ListGroupsRequest) {})
	for _, state := range []string{"Stable", "stable", "Empty", "Dead", "nonsense", ""} {
		ask("in state "+state, func(rq *kmsg.ListGroupsRequest) { rq.StatesFilter = []string{state} })
	}
	for _, kind := range []string{"classic", "Classic", "consumer", "share", "nonsense", ""} {
		ask("of type "+kind, func(rq *kmsg.ListGroupsRequest) { rq.TypesFilter = []string{kind} })
	}
}

func deleteGroupsOfAllKinds(s *script) {
	ask := func(v int16, label string, groups ...string) {
		rq := kmsg.NewPtrDeleteGroupsRequest()
		rq.Groups = groups
		s.do(label, v, rq)
	}
	t := s.topic("commits", 1)
	s.each(deleteGroups, func(v int16) {
		stable, empty, never := s.name(fmt.Sprintf("stable%d", v)), s.name(fmt.Sprintf("empty%d", v)), s.name("never")
		member := s.quiet(3, joinRequest(stable, "", "range")).(*kmsg.JoinGroupResponse).MemberID
		s.quiet(3, syncRequest(stable, member, 1, member))
		s.quiet(7, commitRequest(empty, t, 0, 1))
		ask(v, "of every kind", stable, empty, never, "")
		ask(v, "again", empty)
		ask(v, "none")
		s.quiet(0, leaveRequest(0, stable, member))
		ask(v, "left, twice in a request", stable, stable)
		s.do("deleted", s.last(offsetFetchKey), fetchOffsets(s.last(offsetFetchKey), empty, ""))
	})
}
