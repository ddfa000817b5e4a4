package faults

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

// Nodes of a cluster of three are killed, stopped in order, held still, and started again under other addresses, one at a
// time, under load.
func TestFaultsNodes(t *testing.T) {
	plan := campaign.Plan{Name: "nodes of three: kill -9, SIGTERM, SIGSTOP, moved", Unit: "kills", Share: 12, Soak: 200}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		r := newSiege(t, seed, broker.NewCluster(t, 3, siegeFlags...), new(net.Dialer).DialContext)
		r.counts[plan.Unit] = 0
		r.begin()
		r.through(func() {
			for range 10 {
				<-time.After(time.Duration(r.dice.Int64N(int64(2 * time.Second))))
				r.hurt(r.dice.IntN(3))
				r.awaitWhole()
			}
		})
		r.end()
		return r.counts
	})
}

func (r *siege) hurt(node int) {
	r.t.Helper()
	b := r.cluster.Nodes[node]
	switch r.dice.IntN(6) {
	case 0:
		r.tell("SIGTERM to node %d", node+1)
		b.Signal(syscall.SIGTERM)
		if code := b.Wait(); code != 0 {
			r.t.Errorf("SIGTERM: exit code %d", code)
		}
		b.Start()
		r.count("stopped in order", 1)
	case 1:
		d := time.Duration(r.dice.Int64N(int64(5 * time.Second)))
		r.tell("node %d is held still for %s", node+1, d)
		b.Signal(syscall.SIGSTOP)
		<-time.After(d)
		b.Signal(syscall.SIGCONT)
		r.count("held still", 1)
	case 2:
		to := broker.Site{Host: fmt.Sprintf("127.0.0.%d", 1+r.dice.IntN(9))}
		r.tell("node %d moves to %s", node+1, to.Host)
		b.Kill()
		r.cluster.Move(node, to)
		b.Start()
		r.count("moved", 1)
	default:
		r.tell("kill -9 of node %d", node+1)
		b.Kill()
		b.Start()
		r.count("kills", 1)
	}
}
