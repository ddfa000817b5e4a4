package kerr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	oracle "github.com/twmb/franz-go/pkg/kerr"
)

// The oracle keeps old or other spellings for these; Kafka's Errors.java is right.
var renamed = map[Code]string{NotLeaderOrFollower: "NOT_LEADER_FOR_PARTITION"}
var otherwiseRetriable = map[Code]bool{
	BrokerNotAvailable: false, ConcurrentTransactions: true, ShareSessionNotFound: true, InvalidShareSessionEpoch: true,
}

func TestAQuotedNameMustNotOutgrowTheResponse(t *testing.T) {
	err := Detail(InvalidTopicException, "the name %q", strings.Repeat("n", 1<<16))
	if n := len(Message(err)); n > maxMessage+3 || n < maxMessage {
		t.Errorf("a message of %d bytes", n)
	}
	if Of(err) != InvalidTopicException {
		t.Error(err)
	}
}

func TestAMessageMustNotEndInHalfACharacter(t *testing.T) {
	for _, before := range []string{"", "a", "ab"} {
		if m := Message(Detail(InvalidTopicException, "%s%s", before, strings.Repeat("€", 1000))); !utf8.ValidString(m) {
			t.Errorf("after %q: %q", before, m[len(m)-8:])
		}
	}
}

func TestCodesAgreeWithFranzGo(t *testing.T) {
	for c := Code(-1); int(c) < len(meanings)-1; c++ {
		if c == None {
			continue
		}
		want := oracle.TypedErrorForCode(int16(c))
		if want.Code != int16(c) {
			t.Errorf("%d (%s) is not a code", c, c)
			continue
		}
		if c.String() != want.Message && renamed[c] != want.Message {
			t.Errorf("%d is %s, want %s", c, c, want.Message)
		}
		retriable := want.Retriable
		if r, ok := otherwiseRetriable[c]; ok {
			retriable = r
		}
		if c.Retriable() != retriable {
			t.Errorf("%s retriable=%v, want %v", c, c.Retriable(), retriable)
		}
	}
	if last := oracle.TypedErrorForCode(int16(len(meanings) - 1)); last.Code != -1 {
		t.Errorf("the oracle knows a newer code: %d %s", last.Code, last.Message)
	}
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Code
	}{
		{nil, None},
		{NotLeaderOrFollower, NotLeaderOrFollower},
		{fmt.Errorf("append: %w", CorruptMessage), CorruptMessage},
		{fmt.Errorf("append: %w", Detail(InvalidRecord, "no key")), InvalidRecord},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), RequestTimedOut},
		{errors.New("a bug"), UnknownServerError},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("Of(%v) = %s, want %s", c.err, got, c.want)
		}
	}
}

func TestMessageReachesOnlyWhatDetailGave(t *testing.T) {
	err := fmt.Errorf("t-0 in /secret: %w", Detail(InvalidRecord, "record %d has no key", 3))
	if got := Message(err); got != "record 3 has no key" {
		t.Errorf("Message = %q", got)
	}
	if got := err.Error(); got != "t-0 in /secret: INVALID_RECORD: record 3 has no key" {
		t.Errorf("Error = %q", got)
	}
	if got := Message(errors.New("internal")); got != "" {
		t.Errorf("Message of a foreign error = %q", got)
	}
}

func TestUnknownCode(t *testing.T) {
	if c := Code(9999); c.String() != "ERROR_CODE_9999" || c.Retriable() {
		t.Errorf("%s %v", c, c.Retriable())
	}
}
