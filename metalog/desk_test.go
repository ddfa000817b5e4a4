package metalog

import (
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// visitor speaks to the desk of a node as another node does.
type visitor struct {
	*trio
	net.Conn
	next uint64
}

func (c *trio) visit(at int) *visitor {
	c.t.Helper()
	conn, err := c.ports[(at+1)%3].Dial(c.soon(), c.ports[at].Addr(), proposeStream)
	if err != nil {
		c.t.Fatal(err)
	}
	v := &visitor{trio: c, Conn: conn}
	c.t.Cleanup(func() { _ = conn.Close() })
	return v
}

func (v *visitor) ask(m *message) *message {
	v.t.Helper()
	v.next++
	m.id = v.next
	if _, err := v.Write(encodeFrame(m)); err != nil {
		v.t.Fatal(err)
	}
	got, err := readFrame(v)
	if err != nil || got.id != m.id {
		v.t.Fatal(got, err)
	}
	return got
}

func (v *visitor) begin() bool { return v.beginAs(77) }

func (v *visitor) beginAs(node image.BrokerID) bool {
	v.t.Helper()
	return v.ask(&message{kind: msgBegin, node: node}).leads
}

// propose is the outcome.
func (v *visitor) propose(name string) byte {
	v.t.Helper()
	body, err := image.Append(nil, topic(name))
	if err != nil {
		v.t.Fatal(err)
	}
	return v.ask(&message{kind: msgPropose, low: true, proposals: [][]byte{body}}).outcomes[0].is
}

// has says whether the leader has a topic.
func (c *trio) has(name string) bool {
	_, ok := c.logs[c.leader()].Image().TopicNamed(name)
	return ok
}

// What a node has sent over a connection that it gave up may be read after what it sent over the next one.
func TestAnOlderConnectionMustNotComeInBehindANewerOne(t *testing.T) {
	c := founded(t, 3)
	at := c.leader()
	first, second := c.visit(at), c.visit(at)
	if !first.begin() || first.propose("a") != isApplied || !second.begin() {
		t.Fatal("the leader does not take proposals")
	}
	if got := second.propose("b"); got != isApplied {
		t.Errorf("over the newer one: %d", got)
	}
	if got := first.propose("c"); got != isNotProposed || c.has("c") {
		t.Errorf("over the older one: %d", got)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if got := first.propose("d"); got != isNotProposed {
		t.Errorf("over the older one, when the newer has ended: %d", got)
	}
}

// The leader had no place for the proposals of a cluster's 65th node.
func TestALeaderHearsEveryNode(t *testing.T) {
	const nodes = 70
	c := founded(t, 3)
	at := c.leader()
	var brokers []image.Record
	for id := range image.BrokerID(nodes) {
		brokers = append(brokers, image.BrokerRecord{ID: 100 + id, Incarnation: uuid.New(), Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: "h", Port: 1}}})
	}
	if _, err := c.logs[at].Propose(c.soon(), brokers...); err != nil {
		t.Fatal(err)
	}
	for range 2 { // those of before have not ended yet
		for id := range image.BrokerID(nodes) {
			v := c.visit(at)
			if err := v.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if !v.beginAs(100 + id) {
				t.Fatalf("node %d has no place", 100+id)
			}
		}
	}
	d := &desk{batcher: c.logs[at].batcher, inside: spareVisitors + 2*nodes - 1}
	if !d.enter() || d.enter() {
		t.Error("there is no bound")
	}
	if d.leave(); !d.enter() {
		t.Error("who goes leaves no place")
	}
}

// Nor may what was read in time, and waits for an entry.
func TestWhatWaitsOfAnOlderConnectionIsDropped(t *testing.T) {
	c := founded(t, 3)
	l := c.logs[c.leader()]
	term, _ := l.lead.term()
	older, newer := &visit{begun: true, term: term}, &visit{begun: true, term: term}
	older.over.Store(true)
	var waiting []*parcel
	for i, v := range []*visit{older, newer, {begun: true, term: term - 1}, nil} {
		body, err := image.Append(nil, topic(string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		p := &parcel{ctx: c.soon(), answer: make(chan []answer, 1), visit: v}
		p.add(body)
		waiting = append(waiting, p)
	}
	for _, p := range waiting {
		l.batcher.first <- p
	}
	for i, want := range []byte{isNotProposed, isApplied, isNotProposed, isApplied} {
		if got := outcomeFor((<-waiting[i].answer)[0]); got.is != want || c.has(string(rune('a'+i))) != (want == isApplied) {
			t.Errorf("%d: %+v", i, got)
		}
	}
}

// A leader that has led before, and another meanwhile, has in its sockets what was sent to it then.
func TestAnEarlierTermMustNotComeIn(t *testing.T) {
	c := founded(t, 3)
	at := c.leader()
	v := c.visit(at)
	if !v.begin() || v.propose("a") != isApplied {
		t.Fatal("the leader does not take proposals")
	}
	to := func(i int) {
		l := c.logs[c.leader()]
		for c.leader() != i {
			_ = l.raft.LeadershipTransferToServer(c.logs[i].identity.serverID(), raft.ServerAddress(c.ports[i].Addr())).Error()
			l = c.logs[c.leader()]
		}
	}
	to((at + 1) % 3)
	if c.visit(at).begin() {
		t.Error("one that does not lead takes proposals")
	}
	to(at)
	if got := v.propose("b"); got != isNotProposed || c.has("b") {
		t.Errorf("what was sent to the leader of an earlier term: %d", got)
	}
	for _, l := range c.logs { // and those whose connections are of that term get new ones
		mustPropose(t, l, topic("from "+l.Self().Addr))
	}
}

// Nobody proposes without having said who it is.
func TestProposalsOfNobodyAreNotTaken(t *testing.T) {
	c := founded(t, 3)
	v := c.visit(c.leader())
	if got := v.propose("a"); got != isNotProposed || c.has("a") {
		t.Error(got)
	}
	if !v.begin() {
		t.Fatal("the leader does not take proposals")
	}
	if _, err := v.Write(encodeFrame(&message{kind: msgBegin, node: 78})); err != nil {
		t.Fatal(err)
	}
	if m, err := readFrame(v); err == nil {
		t.Errorf("a second beginning was answered: %+v", m)
	}
}
