package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func servedByKmsg(key, version int16) bool {
	rq := kmsg.RequestForKey(key)
	return rq != nil && version >= 0 && version <= rq.MaxVersion()
}

// everyVersion calls fn with a request of every key at every version.
func everyVersion(fn func(rq kmsg.Request)) {
	for key := range int16(kmsg.MaxKey + 1) {
		first := kmsg.RequestForKey(key)
		if first == nil {
			continue
		}
		for v := range first.MaxVersion() + 1 {
			rq := kmsg.RequestForKey(key)
			rq.SetVersion(v)
			fn(rq)
		}
	}
}

// scramble gives every field below v a random value.
func scramble(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64() >> r.IntN(64))
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(r.Uint64() >> 48)
	case reflect.Float64:
		v.SetFloat(r.Float64())
	case reflect.String:
		v.SetString(strings.Repeat("k", r.IntN(200)))
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			scramble(v.Elem(), r)
		}
	case reflect.Array:
		for i := range v.Len() {
			scramble(v.Index(i), r)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			scramble(v.Index(i), r)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name == "UnknownTags" {
				if r.IntN(4) == 0 {
					v.Field(i).Addr().Interface().(*kmsg.Tags).Set(100, []byte("unknown"))
				}
			} else {
				scramble(v.Field(i), r)
			}
		}
	}
}

func frameOf(rq kmsg.Request) []byte {
	if rq.Key() == controlledShutdown && rq.GetVersion() == 0 { // kmsg leaves out the body
		return rq.AppendTo([]byte{0, controlledShutdown, 0, 0, 0, 0, 0, 7})
	}
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, rq, 7)[4:]
}

// What kmsg writes is read, in every version of every request; a byte more or less is not.
func TestEveryRequestIsReadToItsEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	everyVersion(func(rq kmsg.Request) {
		for range 20 {
			version := rq.GetVersion()
			scramble(reflect.ValueOf(rq).Elem(), r)
			rq.SetVersion(version)
			b := frameOf(rq)
			got, err := Decode(Frame{Bytes: b}, servedByKmsg, nil, nil, "")
			if err != nil {
				t.Fatalf("%v in %+v", err, rq)
			}
			if !bytes.Equal(got.Body.AppendTo(nil), rq.AppendTo(nil)) {
				t.Fatalf("%+v was read as %+v", rq, got.Body)
			}
			if rq.Key() == apiVersions {
				continue
			}
			if rq.Key() != controlledShutdown && got.ClientID != "test" {
				t.Errorf("client id %q", got.ClientID)
			}
			for _, wrong := range [][]byte{b[:len(b)-1], append(b, 0)} {
				if _, err := Decode(Frame{Bytes: wrong}, servedByKmsg, nil, nil, ""); !errors.Is(err, ErrFrame) {
					t.Fatalf("%d of %d bytes of %+v: %v", len(wrong), len(b), rq, err)
				}
			}
		}
	})
}

// Kafka's clients have got this request wrong; what it says does not matter enough to turn them away.
func TestAnyApiVersionsRequestWillDo(t *testing.T) {
	for version := range int16(6) {
		for _, rest := range []string{"", "\xff", "\x00\x04test\x00\x07junk", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
			b := binary.BigEndian.AppendUint16(nil, apiVersions)
			b = binary.BigEndian.AppendUint16(b, uint16(version))
			b = append(b, "\x00\x00\x00\x07"+rest...)
			rq, err := Decode(Frame{Bytes: b}, servedByKmsg, nil, nil, "")
			if err != nil || rq.Body.GetVersion() != version || rq.CorrelationID != 7 {
				t.Errorf("v%d %q: %+v, %v", version, rest, rq, err)
			}
		}
	}
}

// Small frames that claim to hold much must cost nothing to refuse.
func TestBombs(t *testing.T) {
	head := func(key, version byte, flexible bool) []byte {
		b := []byte{0, key, 0, version, 0, 0, 0, 7, 0xff, 0xff}
		if flexible {
			b = append(b, 0)
		}
		return b
	}
	with := func(b []byte, rest ...byte) []byte { return append(b, rest...) }
	pad := make([]byte, 1<<20)
	schemas()
	numbers := binary.BigEndian.AppendUint32(append(head(9, 1, false), 0, 1, 'g', 0, 0, 0, 1, 0, 1, 't'), maxElements+1)
	tooMany := binary.AppendUvarint(head(3, 9, true), maxElements+2)
	for name, b := range map[string][]byte{
		"array of 2^31":         with(head(3, 1, false), 0x7f, 0xff, 0xff, 0xff),
		"compact array of 2^32": with(head(3, 9, true), 0xff, 0xff, 0xff, 0xff, 0x0f),
		"tags of 2^32":          with(head(12, 4, true), 1, 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"header tags of 2^32":   with(head(12, 4, false), 0xff, 0xff, 0xff, 0xff, 0x0f),
		"as many topics as bytes": append(with(head(0, 3, false), 0xff, 0xff, 0, 1, 0, 0, 0, 1, 0x00, 0x10, 0x00, 0x00),
			pad...),
		"as many empty strings as may be":     append(tooMany, bytes.Repeat([]byte{1}, maxElements+1)...),
		"as many numbers as may be":           append(numbers, make([]byte, 4*(maxElements+1))...),
		"a string that no old response holds": append(with(head(3, 9, true), 2, 0x81, 0x80, 0x02), make([]byte, 1<<15+5)...),
		"overlong varint":                     with(head(3, 9, true), 0x80, 0x80, 0x80, 0x80, 0x80, 0x01),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Decode(Frame{Bytes: b}, servedByKmsg, nil, nil, "")
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrFrame) {
				t.Errorf("decoded: %v", err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}

// What a request will take is known before it is decoded, and whoever is asked can refuse it.
func TestTheCostIsKnownBefore(t *testing.T) {
	rq := kmsg.NewPtrMetadataRequest()
	rq.Version = 9
	for range 1000 {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr("t")
		rq.Topics = append(rq.Topics, topic)
	}
	const most = 1000*(costOfElement+1) + 100
	full := errors.New("full")
	asked := 0
	admit := func(cost int) error { asked = cost; return full }
	_, err := Decode(Frame{Bytes: frameOf(rq)}, servedByKmsg, admit, nil, "")
	if err != full || asked < 1000*costOfElement || asked > most {
		t.Errorf("%d bytes, %v", asked, err)
	}
	got, err := Decode(Frame{Bytes: frameOf(rq)}, servedByKmsg, nil, nil, "")
	if err != nil || got.Cost != asked {
		t.Errorf("%+v, %v", got, err)
	}
}

// Record bytes are the frame's own, names are copies.
func TestRecordsAliasTheFrame(t *testing.T) {
	rq := kmsg.NewPtrProduceRequest()
	rq.Version = 9
	rq.Topics = []kmsg.ProduceRequestTopic{{Topic: "topic", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: []byte("records")}}}}
	b := frameOf(rq)
	got, err := Decode(Frame{Bytes: b}, servedByKmsg, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = 'x'
	}
	topic := got.Body.(*kmsg.ProduceRequest).Topics[0]
	if string(topic.Partitions[0].Records) != "xxxxxxx" || topic.Topic != "topic" || got.ClientID != "test" {
		t.Errorf("%+v of %q", topic, got.ClientID)
	}
}

// FuzzRequest decodes any bytes at every version of every key; what is accepted must be written as it was read.
func FuzzRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	everyVersion(func(rq kmsg.Request) {
		version := rq.GetVersion()
		scramble(reflect.ValueOf(rq).Elem(), r)
		rq.SetVersion(version)
		f.Add(frameOf(rq))
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		rq, err := Decode(Frame{Bytes: b}, servedByKmsg, nil, nil, "")
		if err != nil || rq.Body == nil {
			return
		}
		written := rq.Body.AppendTo(nil)
		again := kmsg.RequestForKey(rq.Key)
		again.SetVersion(rq.Version)
		if err := again.ReadFrom(written); err != nil {
			t.Fatalf("%x is accepted, but what it means is not: %v", b, err)
		}
		if !bytes.Equal(again.AppendTo(nil), written) {
			t.Fatalf("%x means two things", b)
		}
		if _, err := check(rq.Body, written); rq.Key != apiVersions && err != nil {
			t.Fatalf("%x is accepted, but not as kmsg writes it", b)
		}
	})
}
