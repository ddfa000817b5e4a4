package group

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// TestRandomRequests sends requests of members that are in any state of mind, lets time pass, records arrive late or
// not at all and the coordinator restart, and checks what must hold after each step.
func TestRandomRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChaos(t)
		for range rapid.IntRange(20, 100).Draw(t, "steps") {
			c.step()
			c.check()
		}
		c.calmDown()
	})
}

// chaos is a world with what its members believe.
type chaos struct {
	*world
	rapid   *rapid.T
	members []*believer
	leaders map[int32]string // who was told to lead a generation
	highest int32            // generation since the restart
}

// believer is a client: what it was told last.
type believer struct {
	name       string
	instance   string
	version    int16
	id         string
	generation int32
	leads      []string // the members that it may assign to
	waiting    bool
	next       string // what a client would send now; "" for a JoinGroup
	joins      int
}

func newChaos(t *rapid.T) *chaos {
	c := &chaos{world: newWorld(t), rapid: t, leaders: map[int32]string{}}
	c.config.MaxSize = rapid.IntRange(2, 5).Draw(t, "max size")
	c.config.InitialRebalanceDelay = pick(t, "delay", []time.Duration{0, 3 * time.Second})
	for i := range 5 {
		b := &believer{name: string(rune('a' + i)), version: pick(t, "version", []int16{0, 3, 5, 9})}
		if pick(t, "static", []bool{false, false, true}) {
			b.instance = pick(t, "instance", []string{"i", "k"})
		}
		c.members = append(c.members, b)
	}
	c.answered = c.hear
	c.recorded = func(r image.Record) {
		if _, ok := r.(image.RemoveGroupRecord); ok {
			c.forget()
		}
	}
	return c
}

func (c *chaos) step() {
	b := pick(c.rapid, "member", c.members)
	switch pick(c.rapid, "step", steps) {
	case "as a client":
		for range 3 {
			c.asClient(b)
		}
	case "all as clients":
		for _, b := range c.members {
			c.asClient(b)
		}
	case "join":
		c.joinAs(b)
	case "sync":
		c.syncAs(b)
	case "heartbeat":
		c.beat(b)
	case "commit":
		c.commitAs(b)
	case "leave":
		c.do(func(fx *coordinator.Effects) {
			c.m.leave(c.now, c.ticket(b.name+" leave"), []leaver{{b.id, b.instance}}, fx)
		})
	case "forget": // the client crashed
		b.id, b.generation, b.waiting, b.next = "", 0, false, ""
	case "wait":
		c.wait(pick(c.rapid, "seconds", []time.Duration{0, 1, 2, 5, 12}) * time.Second)
	case "hold":
		c.hold = true
	case "apply":
		c.hold = false
		c.do(func(*coordinator.Effects) {})
	case "fail":
		if len(c.inFlight) > 0 {
			c.fail(kerr.NotController)
		}
	case "expire":
		c.do(func(fx *coordinator.Effects) { c.m.expireOffsets(c.now, fx) })
	case "delete":
		c.do(func(fx *coordinator.Effects) { c.m.deleteGroup(c.now, c.ticket("delete"), fx) })
	case "restart":
		c.restart()
		c.forget()
		for _, b := range c.members {
			b.waiting = false
		}
	}
}

// forget begins to count generations anew: in a new group of the same name, or after a restart, which goes back to the
// last generation that was recorded.
func (c *chaos) forget() {
	c.highest = 0
	clear(c.leaders)
}

// pick draws evenly: rapid's own generators favour what comes first, and a group whose members mostly fail to join
// shows little.
func pick[T any](t *rapid.T, label string, of []T) T {
	n := 0
	for i := range 8 {
		if rapid.Bool().Draw(t, label) {
			n |= 1 << i
		}
	}
	return of[n%len(of)]
}

// steps are drawn with the frequency in which they stand here.
var steps = []string{
	"as a client", "as a client", "as a client", "all as clients", "all as clients", "all as clients", "all as clients",
	"join", "join", "join", "join", "sync", "sync", "sync", "heartbeat", "heartbeat", "commit", "leave", "forget",
	"wait", "wait", "hold", "apply", "apply", "fail", "expire", "delete", "restart",
}

// asClient is what a well-behaved client does next.
func (c *chaos) asClient(b *believer) {
	switch {
	case b.waiting:
	case b.next == "sync":
		c.syncAs(b)
	case b.next == "heartbeat":
		c.beat(b)
	default:
		c.joinAs(b)
	}
}

func (c *chaos) beat(b *believer) {
	c.do(func(*coordinator.Effects) {
		if c.m.heartbeat(c.now, b.id, b.instance, b.generation) != kerr.None {
			b.next = ""
		}
	})
}

func (c *chaos) joinAs(b *believer) {
	b.joins++
	j := joinRequest{
		ticket: c.ticket(b.name + " join"), version: b.version, from: Client{b.name, "h"}, memberID: b.id,
		newMemberID: fmt.Sprintf("%s%d", b.name, b.joins), instance: b.instance, protocolType: consumerProtocol,
		session:   pick(c.rapid, "session", []time.Duration{10, 40}) * time.Second,
		rebalance: pick(c.rapid, "rebalance", []time.Duration{5, 20}) * time.Second, protocols: []protocol{{"range", subscribing("t")}},
	}
	if rapid.Bool().Draw(c.rapid, "second protocol") {
		j.protocols = append([]protocol{{"roundrobin", subscribing("t")}}, j.protocols...)
	}
	b.waiting, b.next = true, ""
	c.do(func(fx *coordinator.Effects) { c.m.join(c.now, j, fx) })
}

func (c *chaos) syncAs(b *believer) {
	s := syncRequest{ticket: c.ticket(b.name + " sync"), memberID: b.id, instance: b.instance, generation: b.generation}
	if len(b.leads) > 0 {
		s.assignments = map[string][]byte{}
		for _, id := range b.leads {
			s.assignments[id] = fmt.Appendf(nil, "%s@%d", id, b.generation)
		}
	}
	b.waiting = true
	c.do(func(fx *coordinator.Effects) { c.m.sync(c.now, s, fx) })
}

func (c *chaos) commitAs(b *believer) {
	rq := commitRequest{
		ticket: c.ticket(b.name + " commit"), version: 9, memberID: b.id, instance: b.instance, generation: b.generation,
		offsets: []image.PartitionOffset{{TopicPartition: image.TopicPartition{Topic: topicT}}},
	}
	c.do(func(fx *coordinator.Effects) { c.m.commit(c.now, rq, fx) })
}

// hear is a client that gets an answer.
func (c *chaos) hear(label string, body any) {
	i := slices.IndexFunc(c.members, func(b *believer) bool { return b.name == label[:1] })
	switch r := body.(type) {
	case *kmsg.JoinGroupResponse:
		b := c.members[i]
		b.waiting, b.leads = false, nil
		c.joined(b, r)
	case *kmsg.SyncGroupResponse:
		b := c.members[i]
		b.waiting, b.next = false, "heartbeat"
		if r.ErrorCode != 0 {
			b.next = ""
		}
		if r.ErrorCode == 0 && len(r.MemberAssignment) > 0 {
			var generation int32
			var id string
			at := slices.Index(r.MemberAssignment, '@')
			id = string(r.MemberAssignment[:at])
			if _, err := fmt.Sscan(string(r.MemberAssignment[at+1:]), &generation); err != nil || generation != c.classic().generation {
				c.t.Fatalf("%s in generation %d was given an assignment of another: %s", label, c.classic().generation, r.MemberAssignment)
			}
			if holder := c.classic().byID[id]; holder == nil && b.instance == "" {
				c.t.Fatalf("%s was given the assignment of %s, who is not a member", label, id)
			}
		}
	}
}

func (c *chaos) joined(b *believer, r *kmsg.JoinGroupResponse) {
	switch kerr.Code(r.ErrorCode) {
	case kerr.None:
		b.id, b.generation, b.next = r.MemberID, r.Generation, "sync"
	case kerr.MemberIDRequired:
		b.id = r.MemberID
	case kerr.UnknownMemberID, kerr.FencedInstanceID, kerr.GroupMaxSizeReached:
		b.id, b.generation = "", 0
	}
	if r.ErrorCode == 0 && c.classic().state != completingRebalance && c.classic().state != stable {
		c.t.Fatalf("%s was told generation %d in %s", b.name, r.Generation, c.classic().state)
	}
	if r.ErrorCode != 0 || len(r.Members) == 0 || r.SkipAssignment {
		return
	}
	for _, m := range r.Members {
		b.leads = append(b.leads, m.MemberID)
	}
	if was, ok := c.leaders[r.Generation]; ok && was != r.MemberID {
		c.t.Fatalf("generation %d is led by %s and by %s", r.Generation, was, r.MemberID)
	}
	c.leaders[r.Generation] = r.MemberID
}

// check looks at the machine between two steps.
func (c *chaos) check() {
	m := c.classic()
	if m.generation < c.highest {
		c.t.Fatalf("the generation went from %d to %d", c.highest, m.generation)
	}
	c.highest = m.generation
	if inside := m.byID[m.leader] != nil; inside != (len(m.members) > 0) {
		c.t.Fatalf("leader %q of %d members", m.leader, len(m.members))
	}
	if settled := m.state == empty; settled != (len(m.members) == 0) {
		c.t.Fatalf("%s with %d members", m.state, len(m.members))
	}
	if len(m.byID) != len(m.members) {
		c.t.Fatal("the index of members differs from their list")
	}
	c.checkTickets()
	if _, ok := m.Deadline(); !ok && (m.state == preparingRebalance || m.state == completingRebalance && !m.storing) {
		c.t.Fatalf("%s without a deadline", m.state)
	}
}

// checkTickets says that whoever waits for members or an assignment is known to wait, once.
func (c *chaos) checkTickets() {
	waiting := map[coordinator.Ticket]bool{}
	for _, mem := range c.classic().members {
		for _, t := range []coordinator.Ticket{mem.join, mem.sync} {
			if t != 0 && (waiting[t] || c.open[t] == "") {
				c.t.Fatalf("%s waits with ticket %d, which is %q", mem.id, t, c.open[t])
			}
			waiting[t] = true
		}
		if mem.join != 0 && c.classic().state != preparingRebalance && c.m.recording == 0 {
			c.t.Fatalf("%s waits to join in %s", mem.id, c.classic().state)
		}
		if mem.sync != 0 && c.classic().state != completingRebalance {
			c.t.Fatalf("%s waits for its assignment in %s", mem.id, c.classic().state)
		}
	}
	for t, label := range c.open {
		late := len(label) > 2 && (label[2:] == "commit" || label == "delete")
		if !waiting[t] && !(late && len(c.inFlight) > 0) {
			c.t.Fatalf("%s is never answered", label)
		}
	}
}

// calmDown has everything recorded and nobody send anything any more: within the longest of the timeouts of each state
// the group must be empty and everybody answered.
func (c *chaos) calmDown() {
	c.hold = false
	c.do(func(*coordinator.Effects) {})
	c.check()
	c.wait(newMemberTimeout + 3*(20+40)*time.Second)
	c.check()
	if len(c.open) > 0 || c.classic().state != empty {
		c.t.Fatalf("stuck in %s: %v", c.classic().state, c.open)
	}
	if g, ok := c.img.Group("g"); ok && len(g.Members) > 0 {
		c.t.Fatalf("the image still has members of generation %d", g.Generation)
	}
}
