package metalog

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
)

// Two nodes miss a change of the servers, and are sent snapshots at one time. When one of them leads later, it knows which
// configuration it changes.
func TestALeaderThatWasSentASnapshotChangesTheServers(t *testing.T) {
	c := founded(t, 5)
	c.same()
	leader := c.leader()
	missing := []int{(leader + 1) % 5, (leader + 2) % 5}
	for _, i := range missing {
		c.fabric.isolate(c.ports[i].addr, true)
	}
	sixth := c.grow()
	if err := sixth.Join(c.logs[leader].ClusterID()); err != nil {
		t.Fatal(err)
	}
	for err := errors.New("not yet"); err != nil; { // the others may have to choose a leader anew
		err = c.logs[c.leader()].AddServer(c.soon(), sixth.Self())
	}
	for k, end := 0, sixth.raft.AppliedIndex()+2*c.trailing; sixth.raft.AppliedIndex() < end; k++ {
		_, _ = sixth.Propose(c.soon(), topic(fmt.Sprint("missed-", k)))
	}
	for i, l := range c.logs {
		if !slices.Contains(missing, i) { // whoever leads next has nothing else to send
			if err := errors.Join(l.Sync(c.soon()), l.Snapshot()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, i := range missing {
		c.fabric.isolate(c.ports[i].addr, false)
	}
	c.same()
	heir := c.logs[missing[0]]
	for err := error(kerr.NotController); err != nil; err = heir.RemoveServer(c.soon(), sixth.Self().ID) {
		if kerr.Of(err) != kerr.NotController && !errors.Is(err, raft.ErrLeadershipLost) {
			t.Fatal(err)
		}
		if now := c.logs[c.leader()]; now != heir {
			_ = now.raft.LeadershipTransferToServer(heir.identity.serverID(), raft.ServerAddress(heir.Self().Addr)).Error()
		}
	}
	if servers, err := heir.Servers(); err != nil || len(servers) != 5 {
		t.Fatal(servers, err)
	}
}

// A voter that is down while it moves, and a new node at the address where it was: the voter stays one.
func TestANewServerAtAnOldAddressTakesNoVote(t *testing.T) {
	c := founded(t, 3)
	c.same()
	leader := c.leader()
	i := (leader + 1) % 3
	voter := c.logs[i].Self()
	c.close(i)
	c.ports[i] = c.fabric.port("elsewhere")
	newcomer := Server{ID: "4@754e73e9-9732-4dcd-bf6e-847bf6ccd56e", Node: 4, Addr: voter.Addr}
	if err := c.logs[leader].AddServer(c.soon(), newcomer); err != nil {
		t.Fatal(err)
	}
	servers, err := c.logs[leader].Servers()
	if err != nil || len(servers) != 4 || !slices.ContainsFunc(servers, func(s Server) bool { return s.ID == voter.ID && s.Voter }) {
		t.Fatal(servers, err)
	}
	c.open(i)
	c.same()
	for _, l := range c.logs { // two servers are not to be at one address while the one that was there first is
		newcomer := Server{ID: "5@754e73e9-9732-4dcd-bf6e-847bf6ccd56e", Node: 5, Addr: l.Self().Addr}
		if err := c.logs[c.leader()].AddServer(c.soon(), newcomer); l.Self().ID != voter.ID && kerr.Of(err) != kerr.DuplicateBrokerRegistration {
			t.Error(err)
		}
	}
}
