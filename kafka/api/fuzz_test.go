package api

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// FuzzBroker asks a whole node anything that the decoder lets through: handlers must answer, or give up when the
// connection does, and what they answer must be readable.
func FuzzBroker(f *testing.F) {
	n := start(f, map[string]string{"auto.create.topics.enable": "false"})
	id := n.create("t", 2)
	n.produce("t", 0, 1, 2, 3)
	format := kmsg.NewRequestFormatter(kmsg.FormatterClientID("fuzz"))
	for key := range table {
		for v := table[key].min; v <= table[key].max && table[key].begin != nil; v++ {
			rq := kmsg.RequestForKey(int16(key))
			rq.SetVersion(v)
			f.Add(format.AppendRequest(nil, rq, 1)[4:])
		}
	}
	f.Add(format.AppendRequest(nil, fetchRequest(2, "t", id, 0), 1)[4:])
	f.Add(format.AppendRequest(nil, fetchRequest(13, "", id, 1), 1)[4:])
	f.Fuzz(func(t *testing.T, frame []byte) {
		rq, err := wire.Decode(wire.Frame{Bytes: bytes.Clone(frame)}, n.broker.Served, nil, &n.peer, "")
		if err != nil || rq.Body == nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		p := n.broker.Begin(ctx, rq)
		r := wire.NewReply(rq)
		defer r.Release()
		if p.Ready != nil {
			p.Ready()
		}
		if err := p.Finish(ctx, r); err != nil {
			return
		}
		var out bytes.Buffer
		if err := wire.NewSender(&out).Send(r); err != nil || out.Len() == 0 {
			return
		}
		readable(t, rq, out.Bytes()[8:])
	})
}

func readable(t *testing.T, rq *wire.Request, b []byte) {
	t.Helper()
	resp := rq.Body.ResponseKind()
	resp.SetVersion(rq.Version)
	if resp.IsFlexible() && rq.Key != 18 {
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		t.Errorf("%s v%d: %v", kmsg.NameForKey(rq.Key), rq.Version, err)
	} else if !bytes.Equal(resp.AppendTo(nil), b) {
		t.Errorf("%s v%d: %d bytes are not what they say", kmsg.NameForKey(rq.Key), rq.Version, len(b))
	}
}
