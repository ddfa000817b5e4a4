package metalog

import (
	"errors"
	"net"
	"testing"
	"time"
)

// A leader that was stopped while heartbeats were under way is not confirmed by their answers.
func TestAnAnswerFromBeforeAPauseConfirmsNoLeader(t *testing.T) {
	if err := inTime(time.Now().Add(-clusterTimeout), nil); !errors.Is(err, errLate) {
		t.Error(err)
	}
	if err := inTime(time.Now(), nil); err != nil {
		t.Error(err)
	}
	if err := inTime(time.Now().Add(-clusterTimeout), net.ErrClosed); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
