package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

const (
	controlledShutdown = 7
	apiVersions        = 18
)

// Decode turns a frame into a request of peer and takes the frame over. A key or version that is not served yields a
// request without Body: Unsupported answers it. clientID is that of the connection's request before this one: it saves
// copying the same bytes again. admit, if any, is asked before the request takes the memory that it costs, and may wait. An
// error wraps ErrFrame, or is admit's; then the frame is still the caller's.
func Decode(f Frame, served func(key, version int16) bool, admit func(cost int) error, peer *Peer, clientID string) (*Request, error) {
	b := f.Bytes
	if len(b) < 8 {
		return nil, fmt.Errorf("%w: %d bytes are too few for a request's header", ErrFrame, len(b))
	}
	rq := &Request{
		Key:           int16(binary.BigEndian.Uint16(b)),
		Version:       int16(binary.BigEndian.Uint16(b[2:])),
		CorrelationID: int32(binary.BigEndian.Uint32(b[4:])),
		Size:          len(b),
		Peer:          peer,
		Received:      time.Now(),
	}
	// What follows the first 8 bytes depends on key and version: of one that we do not know, nothing more is read.
	if served(rq.Key, rq.Version) {
		body, err := rq.look(b[8:], clientID)
		if err == nil {
			if f.small != nil {
				rq.Cost += len(b)
			}
			if admit != nil {
				if err := admit(rq.Cost); err != nil {
					return nil, err
				}
			}
			err = rq.read(body)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s v%d: %w", ErrFrame, kmsg.NameForKey(rq.Key), rq.Version, err)
		}
	}
	rq.Buf, rq.small = f.Buf, f.small
	return rq, nil
}

// look fills ClientID and Cost from the bytes after the correlation id, makes Body, and returns the bytes to read it
// from. What ApiVersions carries is for information only and some clients get it wrong, so it need not be right: nothing
// is to be read then.
func (rq *Request) look(b []byte, clientID string) (body []byte, err error) {
	rq.Body = kmsg.RequestForKey(rq.Key)
	if rq.Body == nil {
		return nil, fmt.Errorf("served, but unknown to the decoder")
	}
	rq.Body.SetVersion(rq.Version)
	body, err = rq.header(b, clientID)
	if err == nil {
		rq.Cost, err = check(rq.Body, body)
	}
	if err != nil && rq.Key == apiVersions {
		return nil, nil
	}
	return body, err
}

func (rq *Request) read(body []byte) error {
	if body == nil && rq.Key == apiVersions {
		return nil
	}
	return rq.Body.ReadFrom(body)
}

// header reads what is left of the header: request header v1 has a client id, v2 tags after it, v0 neither.
func (rq *Request) header(b []byte, clientID string) (body []byte, err error) {
	if rq.Key == controlledShutdown && rq.Version == 0 {
		return b, nil
	}
	c := cursor{b: b}
	rq.ClientID = clientID
	if id := c.take(c.length16()); clientID != string(id) {
		rq.ClientID = string(id)
	}
	if rq.Body.IsFlexible() {
		c.skipTags()
	}
	if c.bad {
		return nil, fmt.Errorf("the header is cut short")
	}
	return c.b, nil
}

// Unsupported answers a request that is not served: with UNSUPPORTED_VERSION after the correlation id, which is all that
// any client can read. Clients ask ApiVersions first, and start again with the versions that they find in the answer,
// which therefore is of version 0 and lists at least ApiVersions itself (KIP-511).
func Unsupported(rq *Request, served func(key, version int16) bool) Pending {
	return Pending{Finish: func(_ context.Context, r *Reply) error {
		if rq.Key == apiVersions {
			r.oldest(apiVersionsRange(served))
		} else {
			r.unsupported()
		}
		return nil
	}}
}

func apiVersionsRange(served func(key, version int16) bool) *kmsg.ApiVersionsResponse {
	m := kmsg.NewPtrApiVersionsResponse()
	m.ErrorCode = int16(kerr.UnsupportedVersion)
	k := kmsg.ApiVersionsResponseApiKey{ApiKey: apiVersions, MinVersion: -1}
	for v := range kmsg.NewPtrApiVersionsRequest().MaxVersion() + 1 {
		if !served(apiVersions, v) {
			continue
		}
		if k.MinVersion < 0 {
			k.MinVersion = v
		}
		k.MaxVersion = v
	}
	if k.MinVersion >= 0 {
		m.ApiKeys = append(m.ApiKeys, k)
	}
	return m
}
