package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"chronik/kafka/kerr"
)

// Records that are deleted, or expire, may be all that a new leader of an unclean election has. Who has only later ones must
// begin anew: where it went on from its own beginning it lacked all that the new leader had taken until there, and was in
// sync all the same.
func TestALogThatBeginsBeyondTheLeadersMustBeginAnew(t *testing.T) {
	for _, more := range []int{1, 9} { // records of the new leader: it has not come to where the others begin, or has
		inCluster(t, 3, 1, func(t *testing.T, c *nodes) {
			c.leaveBehind(5)
			c.await("the log start everywhere", func() bool { return c.node(2).part().log.Offsets().LogStart == 5 })
			c.elect(3, 3)
			want := []string{"0/0:a"}
			for i := range more {
				if _, err := c.node(3).produce(-1, "new", time.Minute); err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprintf("%d/1:new", i+1))
			}
			c.part(nil)
			if got := c.whole(); !slices.Equal(got, want) {
				t.Fatal(got)
			}
		})
	}
}

// A log is given up for the leader that there is, and never by who is in the ISR.
func TestALogMustNotBeGivenUpForADeposedLeaderNorInTheISR(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		for _, value := range []string{"a", "b"} {
			if _, err := c.node(1).produce(-1, value, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		c.elect(2, 1, 2, 3)
		c.await("the successor is followed", func() bool { return c.node(3).part().role.Load().leader == 2 })
		p, is := c.node(3).part(), c.partition().LeaderEpoch
		if err := p.log.SetLogStart(1); err != nil {
			t.Fatal(err)
		}
		for epoch, want := range map[int32]kerr.Code{is - 1: kerr.FencedLeaderEpoch, is: kerr.OffsetOutOfRange} {
			if err := p.diverge(0, 0, epoch); kerr.Of(err) != want {
				t.Errorf("epoch %d: %v, want %v", epoch, err, want)
			}
		}
		if c.node(3).part() != p || !c.node(3).store.Holds(1) {
			t.Error("it was given up")
		}
	})
}
