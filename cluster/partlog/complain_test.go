package partlog

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"chronik/kafka/kerr"
	"chronik/segment"
)

// A reader that meets damage asks again for ever: the operator must be told, and not with every request.
func TestDamageThatIsReadIsNotKeptFromTheOperator(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1_000_000, 0)
	s := &Store{}
	s.options.Logger = slog.New(slog.NewTextHandler(&out, nil))
	s.options.Now = func() time.Time { return now }
	l := newLog(s, ID{}, nil)
	damage := &segment.CorruptError{File: "f.seg", Pos: 7, Why: "w"}
	for range 3 {
		if err := l.storageError(damage); kerr.Of(err) != kerr.KafkaStorageError {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "f.seg is damaged at byte 7"); n != 1 {
		t.Errorf("logged %d times: %s", n, out.String())
	}
	now = now.Add(time.Minute)
	_ = l.storageError(damage)
	if n := strings.Count(out.String(), "f.seg"); n != 2 {
		t.Errorf("logged %d times after a minute", n)
	}
	_ = l.storageError(kerr.OffsetOutOfRange)
	if strings.Contains(out.String(), "OFFSET_OUT_OF_RANGE") {
		t.Error("a reader's wrong offset is no damage")
	}
}
