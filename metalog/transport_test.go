package metalog

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// openTransport is one of a server that the test is to play.
func openTransport(t *testing.T, f *fabric, self raft.ServerID, port string) *transport {
	b := newBook(newViews(image.Empty(), 0))
	logger := testLogger(1)
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	tr := newTransport(newStreams(f.port(port), self, b, logger), hclog.NewNullLogger())
	t.Cleanup(func() {
		if err := tr.shut(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// slowPeer is a transport to a peer that takes long, by the transport's clock, to answer the first request.
func slowPeer(t *testing.T, answers ...*raft.AppendEntriesResponse) *transport {
	t.Helper()
	f, now := newFabric(), time.Now()
	here, there := openTransport(t, f, "1@x", "a"), openTransport(t, f, "2@x", "b")
	here.now = func() time.Time { return now }
	go func() {
		for i := 0; ; i++ {
			var rpc raft.RPC
			select {
			case rpc = <-there.NetworkTransport.Consumer():
			case <-there.closed:
				return
			}
			if i == 0 {
				now = now.Add(clusterTimeout)
			}
			if i == len(answers) {
				rpc.RespChan <- raft.RPCResponse{Error: errors.New("no more")}
				return
			}
			answer := any(answers[i])
			if _, is := rpc.Command.(*raft.InstallSnapshotRequest); is {
				answer = &raft.InstallSnapshotResponse{Term: answers[i].Term, Success: answers[i].Success}
			}
			rpc.RespChan <- raft.RPCResponse{Response: answer}
		}
	}()
	return here
}

var (
	follows = &raft.AppendEntriesResponse{Term: 1, Success: true}
	elected = &raft.AppendEntriesResponse{Term: 2}
	header  = raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("1@x"), Addr: []byte("1@x")}
)

// A leader that was stopped is not confirmed by answers to what it asked before: to heartbeats, to entries, or to snapshots.
func TestAnAnswerFromBeforeAPauseConfirmsNoLeader(t *testing.T) {
	var resp raft.AppendEntriesResponse
	err := slowPeer(t, follows).AppendEntries("2@x", "b", &raft.AppendEntriesRequest{RPCHeader: header, Term: 1}, &resp)
	if !errors.Is(err, errLate) {
		t.Errorf("a heartbeat: %v", err)
	}
	entries := &raft.AppendEntriesRequest{RPCHeader: header, Term: 1, PrevLogEntry: 7, PrevLogTerm: 1}
	snapshot := &raft.InstallSnapshotRequest{RPCHeader: header, Term: 1, SnapshotVersion: 1}
	for _, c := range []struct {
		what    string
		answers []*raft.AppendEntriesResponse
		want    raft.AppendEntriesResponse
		fails   bool
	}{
		{"the peer was slow", []*raft.AppendEntriesResponse{follows, follows}, *follows, false},
		{"the peer has voted for another leader", []*raft.AppendEntriesResponse{follows, elected}, *elected, false},
		{"the peer does not say", []*raft.AppendEntriesResponse{follows}, raft.AppendEntriesResponse{}, true},
	} {
		var resp raft.AppendEntriesResponse
		err := slowPeer(t, c.answers...).AppendEntries("2@x", "b", entries, &resp)
		if (err != nil) != c.fails || err == nil && (resp.Term != c.want.Term || resp.Success != c.want.Success) {
			t.Errorf("entries, %s: %+v, %v", c.what, resp, err)
		}
		var installed raft.InstallSnapshotResponse
		err = slowPeer(t, c.answers...).InstallSnapshot("2@x", "b", snapshot, &installed, strings.NewReader(""))
		if (err != nil) != c.fails || err == nil && (installed.Term != c.want.Term || installed.Success != c.want.Success) {
			t.Errorf("a snapshot, %s: %+v, %v", c.what, installed, err)
		}
	}
}

// A peer that has begun anew is asked over a new connection: those that were kept for it are no reason to go without its vote.
func TestARestartedPeerVotesAtOnce(t *testing.T) {
	f := newFabric()
	here := openTransport(t, f, "1@x", "a")
	play := func() *transport {
		there := openTransport(t, f, "2@x", "b")
		go func() {
			held := make([]raft.RPC, 0, maxPool)
			for {
				select {
				case rpc := <-there.NetworkTransport.Consumer():
					if held = append(held, rpc); len(held) < maxPool {
						continue
					}
					for _, rpc := range held {
						rpc.RespChan <- raft.RPCResponse{Response: &raft.RequestVoteResponse{Term: 1, Granted: true}}
					}
					held = held[:0]
				case <-there.closed:
					return
				}
			}
		}()
		return there
	}
	vote := func() {
		t.Helper()
		errs := make(chan error)
		for range maxPool {
			go func() {
				var resp raft.RequestVoteResponse
				errs <- here.RequestVote("2@x", "b", &raft.RequestVoteRequest{RPCHeader: header, Term: 1}, &resp)
			}()
		}
		for range maxPool {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
	there := play()
	vote()
	if err := there.shut(); err != nil {
		t.Fatal(err)
	}
	play()
	vote()
}
