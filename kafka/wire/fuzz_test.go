package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/wal/campaign"
)

// mutations is how many requests a cycle spoils: few enough to print one that did harm, many enough to measure memory.
const mutations = 500

// Requests that were spoilt in one way or several must be refused, or mean what they say: no panic, and no more memory
// than they were said to cost before they were decoded.
func TestFaultsSpoiltRequests(t *testing.T) {
	plan := campaign.Plan{Name: "spoilt requests, decoder", Unit: "requests", Glance: 5000, Share: 200_000, Soak: 10_000_000}
	var kinds []kmsg.Request
	everyVersion(func(rq kmsg.Request) { kinds = append(kinds, rq) })
	schemas()
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		r := rand.New(rand.NewPCG(seed, 5))
		frames := make([][]byte, mutations)
		for i := range frames {
			kind := kinds[r.IntN(len(kinds))]
			rq := kmsg.RequestForKey(kind.Key())
			scramble(reflect.ValueOf(rq).Elem(), r)
			rq.SetVersion(kind.GetVersion())
			frames[i] = spoil(frameOf(rq), r)
		}
		return decodeAll(t, frames)
	})
}

// spoil changes up to three things behind the key and the version.
func spoil(b []byte, r *rand.Rand) []byte {
	for range 1 + r.IntN(3) {
		if len(b) <= 9 {
			break
		}
		at := 8 + r.IntN(len(b)-8)
		switch r.IntN(8) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b[at] = byte(r.Uint32())
		case 2:
			b = b[:at]
		case 3: // more behind it
			for range r.IntN(20) {
				b = append(b, byte(r.Uint32()))
			}
		case 4: // the same again in the middle
			b = append(b[:at:at], b[8+r.IntN(len(b)-8):]...)
		case 5: // a length
			b = append(b[:at:at], binary.BigEndian.AppendUint32(nil, evilLengths[r.IntN(len(evilLengths))])...)
		case 6:
			b = append(binary.AppendUvarint(b[:at:at], uint64(evilLengths[r.IntN(len(evilLengths))])), b[at:]...)
		default: // many small things
			n := r.IntN(3000)
			b = append(append(b[:at:at], make([]byte, n)...), b[at:]...)
		}
	}
	return b
}

var evilLengths = []uint32{0, 1, 2, 127, 128, 1 << 10, 1 << 15, 1 << 16, 1 << 18, 1<<18 + 1, 1 << 24, 1 << 30, math.MaxInt32, 1 << 31, math.MaxUint32 - 1, math.MaxUint32}

func decodeAll(t *testing.T, frames [][]byte) campaign.Counts {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cost, taken := 0, int64(0)
	for _, b := range frames {
		rq, err := Decode(Frame{Bytes: b}, servedByKmsg, nil, nil, "")
		switch {
		case err == nil:
			taken++
			cost += rq.Cost
		case !errors.Is(err, ErrFrame):
			t.Errorf("%v: %x", err, b)
		}
	}
	runtime.ReadMemStats(&after)
	// An empty structure of the largest kind and an error's text come on top of what is counted.
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(cost)+uint64(len(frames))*4096 {
		t.Errorf("%d bytes were allocated for %d frames that were to cost %d", got, len(frames), cost)
		for _, b := range frames {
			t.Logf("%x", b[:min(len(b), 200)])
		}
	}
	return campaign.Counts{"requests": int64(len(frames)), "accepted": taken}
}
