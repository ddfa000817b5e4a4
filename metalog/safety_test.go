package metalog

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// played is a node with a vote beside two others that the test plays.
type played struct {
	*trio
	node *Log
	peer [2]*transport
	id   [2]raft.ServerID
}

func playOthers(t *testing.T) *played {
	t.Helper()
	p := &played{trio: newTrio(t, 1)}
	p.node = p.logs[0]
	set := p.set()
	for i := range p.peer {
		n := i + 2
		p.id[i] = raft.ServerID(fmt.Sprintf("%d@%s", n, uuid.New()))
		p.peer[i] = openTransport(t, p.fabric, p.id[i], fmt.Sprint("n", n))
		set = append(set, Server{ID: string(p.id[i]), Node: image.BrokerID(n), Addr: fmt.Sprint("n", n)})
	}
	if err := p.node.Promise(uuid.New(), set); err != nil {
		t.Fatal(err)
	}
	if err := p.node.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	return p
}

// to is the node, as a peer's requests name it.
func (p *played) to() (raft.ServerID, raft.ServerAddress) {
	self := p.node.Self()
	return raft.ServerID(self.ID), target(raft.ServerID(self.ID), raft.ServerAddress(self.Addr))
}

func (p *played) header(peer int) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(p.id[peer]), Addr: []byte(p.id[peer])}
}

// append has a peer send entries, or a heartbeat, as a leader does.
func (p *played) append(peer int, rq *raft.AppendEntriesRequest) (resp raft.AppendEntriesResponse) {
	p.t.Helper()
	rq.RPCHeader = p.header(peer)
	id, addr := p.to()
	if err := p.peer[peer].NetworkTransport.AppendEntries(id, addr, rq, &resp); err != nil {
		p.t.Fatal(err)
	}
	return resp
}

// A candidate that hears of the leader of a newer term has lost its election, also when the votes that it lacked come after
// that: it must not lead in a term in which another one does.
func TestALateVoteMakesNoSecondLeader(t *testing.T) {
	p := playOthers(t)
	type asked struct {
		term uint64
		vote chan<- raft.RPCResponse
	}
	votes, led := make(chan asked, 16), make(chan uint64, 16)
	go func() {
		for {
			select {
			case rpc := <-p.peer[0].NetworkTransport.Consumer():
				switch rq := rpc.Command.(type) {
				case *raft.RequestPreVoteRequest:
					rpc.RespChan <- raft.RPCResponse{Response: &raft.RequestPreVoteResponse{Term: rq.Term, Granted: true}}
				case *raft.RequestVoteRequest:
					votes <- asked{rq.Term, rpc.RespChan}
				case *raft.AppendEntriesRequest:
					led <- rq.Term
					rpc.RespChan <- raft.RPCResponse{Response: &raft.AppendEntriesResponse{Term: rq.Term}}
				}
			case <-p.peer[0].closed:
				return
			}
		}
	}()
	of := <-votes
	p.append(1, &raft.AppendEntriesRequest{Term: of.term + 1})
	of.vote <- raft.RPCResponse{Response: &raft.RequestVoteResponse{Term: of.term, Granted: true}}
	select {
	case term := <-led:
		t.Errorf("elected in term %d, it leads in term %d beside another server", of.term, term)
	case <-time.After(clusterTimeout / 2): // before it may stand again
	}
}

// What a server has in its log from a leader that was deposed, and nobody agreed on, is not taken for what the next leader says
// is committed.
func TestNothingIsAppliedThatAnotherLeaderHadSent(t *testing.T) {
	p := playOthers(t)
	entry := func(term uint64, name string) []*raft.Log {
		body, err := appendAll(nil, []image.Record{topic(name)})
		if err != nil {
			t.Fatal(err)
		}
		return []*raft.Log{{Index: 2, Term: term, Type: raft.LogCommand, Data: sealEntry(term, [][]byte{body})}}
	}
	for _, rq := range []*raft.AppendEntriesRequest{
		{Term: 5, PrevLogEntry: 1, PrevLogTerm: 1, LeaderCommitIndex: 1, Entries: entry(5, "never")},
		{Term: 6, PrevLogEntry: 1, PrevLogTerm: 1, LeaderCommitIndex: 2},
		{Term: 6, PrevLogEntry: 1, PrevLogTerm: 1, LeaderCommitIndex: 2, Entries: entry(6, "agreed")},
	} {
		if resp := p.append(int(rq.Term%2), rq); !resp.Success {
			t.Fatalf("%+v: %+v", rq, resp)
		}
	}
	if err := p.node.Wait(p.soon(), 2); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"never": false, "agreed": true} {
		if _, ok := p.node.Image().TopicNamed(name); ok != want {
			t.Errorf("topic %s: %v", name, ok)
		}
	}
}

// unsent is a snapshot of which nothing comes until its sender has gone.
type unsent struct{ end chan struct{} }

func (s unsent) Read([]byte) (int, error) { <-s.end; return 0, io.EOF }

// A leader that is held still while it sends a snapshot must not keep a voter from voting for another one.
func TestASnapshotThatDoesNotGoOnIsGivenUp(t *testing.T) {
	p := playOthers(t)
	p.node.link.streams.stall = time.Second
	id, addr := p.to()
	snapshot, sent := unsent{make(chan struct{})}, make(chan error, 1)
	go func() {
		var resp raft.InstallSnapshotResponse
		sent <- p.peer[0].NetworkTransport.InstallSnapshot(id, addr, &raft.InstallSnapshotRequest{
			RPCHeader: p.header(0), SnapshotVersion: raft.SnapshotVersionMax, Term: 5, LastLogIndex: 100, LastLogTerm: 5, Size: 1 << 20,
			Configuration: raft.EncodeConfiguration(raft.Configuration{}),
		}, &resp, snapshot)
	}()
	for p.node.raft.CurrentTerm() < 5 { // until it is at the snapshot
		<-time.After(time.Millisecond)
	}
	var resp raft.RequestVoteResponse
	var err error
	for end := time.Now().Add(20 * time.Second); !resp.Granted && time.Now().Before(end); {
		err = p.peer[1].NetworkTransport.RequestVote(id, addr, &raft.RequestVoteRequest{
			RPCHeader: p.header(1), Term: 6, LastLogIndex: 100, LastLogTerm: 5, LeadershipTransfer: true,
		}, &resp)
	}
	if !resp.Granted {
		t.Errorf("%+v, %v", resp, err)
	}
	close(snapshot.end)
	if err := <-sent; err == nil {
		t.Error("a snapshot without a byte was taken")
	}
	if err := p.node.Err(); err != nil {
		t.Error(err)
	}
}
