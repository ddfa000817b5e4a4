package coordinator

import (
	"context"
	"testing"
	"testing/synctest"
)

// What takes long is done without the lock: other calls of the same machine go on, and the machine is there when it is done.
func TestAWorkMustNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(&journal{})
		defer r.Close()
		done := make(chan struct{})
		c, err := r.Begin("a", func(m *counter, _ Instant, to Ticket, fx *Effects) {
			fx.Work(func() { <-done }, func(_ Instant, fx *Effects) { fx.Answer(to, m.n) })
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := r.Tell("a", func(m *counter, _ Instant, _ *Effects) { m.n++ }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if c.Ready() {
			t.Error("it is answered before the work is done")
		}
		close(done)
		if body, err := c.Wait(context.Background()); err != nil || body != 3 {
			t.Errorf("%v, %v; the machine was another one", body, err)
		}
	})
}

// Works are done one at a time.
func TestWorksTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(&journal{})
		busy, most, step := 0, 0, make(chan struct{})
		for _, key := range []string{"a", "b", "c"} {
			_ = r.Tell(key, func(_ *counter, _ Instant, fx *Effects) {
				fx.Work(func() {
					busy++
					most = max(most, busy)
					<-step
					busy--
				}, func(Instant, *Effects) {})
			})
		}
		for range 3 {
			step <- struct{}{}
		}
		r.Close()
		if most != 1 || busy != 0 {
			t.Errorf("%d at a time", most)
		}
	})
}
