package metalog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// slowPeer is a transport to a peer that takes long, by the transport's clock, to answer the first request.
func slowPeer(t *testing.T, answers ...*raft.AppendEntriesResponse) *transport {
	t.Helper()
	f, now := newFabric(), time.Now()
	open := func(self raft.ServerID, port string) *transport {
		b := newBook(newViews(image.Empty(), 0))
		tr := newTransport(newStreams(f.port(port), self, b, testLogger(1)), hclog.NewNullLogger())
		t.Cleanup(func() {
			if err := tr.shut(); err != nil {
				t.Error(err)
			}
		})
		return tr
	}
	here, there := open("1@x", "a"), open("2@x", "b")
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
