// Package kerr is Kafka's error codes as Go errors: below the edge an error is a Code, wraps one, or is a bug. It does
// not know which request an error answers, nor how it is put into a response.
package kerr

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Code is a Kafka error code as it stands in a response. None is not an error: functions return nil instead.
type Code int16

type meaning struct {
	name      string
	retriable bool
}

// Error is Kafka's name of the code, as String.
func (c Code) Error() string { return c.String() }

// String is Kafka's name of the code, such as "NOT_LEADER_OR_FOLLOWER".
func (c Code) String() string {
	if m := c.meaning(); m.name != "" {
		return m.name
	}
	return fmt.Sprintf("ERROR_CODE_%d", int16(c))
}

// Retriable says whether Kafka's own clients send the request again after this code (their RetriableException).
func (c Code) Retriable() bool { return c.meaning().retriable }

func (c Code) meaning() meaning {
	if i := int(c) + 1; i >= 0 && i < len(meanings) {
		return meanings[i]
	}
	return meaning{}
}

// Of is the code that a client is told for err: the Code that err is or wraps, None for nil, RequestTimedOut for an
// expired context, and UnknownServerError for everything else.
func Of(err error) Code {
	if err == nil {
		return None
	}
	if c, ok := err.(Code); ok {
		return c
	}
	if c, ok := errors.AsType[Code](err); ok {
		return c
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return RequestTimedOut
	}
	return UnknownServerError
}

// maxMessage is how long a message may be. Messages quote what clients sent, and a string in a response has a length of
// 16 bits.
const maxMessage = 1000

// Detail is code c with a message for the client; it wraps c. The message goes over the wire: nothing secret may be in it.
func Detail(c Code, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "..." // the cut may go through a character
	}
	return &detail{c, message}
}

// Message is the text that a client may see with err's code: that of the outermost Detail in err, or "".
func Message(err error) string {
	if d, ok := errors.AsType[*detail](err); ok {
		return d.message
	}
	return ""
}

type detail struct {
	code    Code
	message string
}

func (d *detail) Error() string { return d.code.String() + ": " + d.message }
func (d *detail) Unwrap() error { return d.code }
