package faults

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// hostileRequests makes requests of every key and version that the broker serves: right ones, as a client that means no
// harm would send them, and those with values that no client would.
type hostileRequests struct {
	r       *rand.Rand
	kinds   []hostileKind
	served  map[int16][2]int16 // the lowest and the highest version, by key
	topics  []string
	ids     map[string][16]byte
	batches [][]byte
	bombs   [][]byte

	key    int16
	leaves []reflect.Value // of the request that is being made: what may be spoilt
}

// hostileKind is a version of a key, with the places in one encoded request of it where lengths stand.
type hostileKind struct {
	key, version int16
	frame        []byte
	lengths      []int
}

func (h *hostileRequests) formatted(rq kmsg.Request) []byte { return h.from("hostile", rq) }

func (h *hostileRequests) from(client string, rq kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(client)).AppendRequest(nil, rq, 1)
}

// right returns a request that the broker answers.
func (h *hostileRequests) right(key, version int16) kmsg.Request {
	rq := kmsg.RequestForKey(key)
	h.key, h.leaves = key, h.leaves[:0]
	h.fill(reflect.ValueOf(rq).Elem(), "")
	rq.SetVersion(version)
	return rq
}

// wrong returns one of whose values a few are what no client would send.
func (h *hostileRequests) wrong(key, version int16) kmsg.Request {
	rq := h.right(key, version)
	for range 1 + h.r.IntN(3) {
		if len(h.leaves) > 0 {
			h.spoil(h.leaves[h.r.IntN(len(h.leaves))])
		}
	}
	rq.SetVersion(version)
	return rq
}

// usual is the values of fields that the zero value, or kmsg's default, is no use for.
var usual = map[string]int64{
	"Acks": -1, "TimeoutMillis": 1000, "MaxWaitMillis": 1, "MinBytes": 1, "MaxBytes": 1 << 20, "PartitionMaxBytes": 1 << 20,
	"SessionTimeoutMillis": 6000, "RebalanceTimeoutMillis": 100, "SessionEpoch": -1, "ReplicaID": -1, "CurrentLeaderEpoch": -1,
	"LastFetchedEpoch": -1, "Timestamp": -1, "MaxNumOffsets": 2, "NumPartitions": 1, "ReplicationFactor": 1, "Count": 2,
	"ResponsePartitionLimit": 100, "ProducerID": -1, "ProducerEpoch": -1, "ResourceType": 2, "RetentionTimeMillis": 10_000,
}

func (h *hostileRequests) fill(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.Name != "UnknownTags" && field.Name != "Version" {
				h.fill(v.Field(i), field.Name)
			}
		}
		return
	case reflect.Array:
		h.fillID(v)
	case reflect.String:
		v.SetString(h.word(name))
	case reflect.Pointer:
		h.fillPointer(v, name)
	case reflect.Slice:
		h.fillSlice(v, name)
	case reflect.Bool:
		v.SetBool(name == "ValidateOnly" || h.r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := usual[name]; ok {
			v.SetInt(n)
		}
	}
	h.leaves = append(h.leaves, v)
}

// fillID names a topic, but none that is to be deleted.
func (h *hostileRequests) fillID(v reflect.Value) {
	id := h.ids[h.topics[h.r.IntN(len(h.topics))]]
	if h.key == keyDeleteTopics {
		id[15]++
	}
	v.Set(reflect.ValueOf(id).Convert(v.Type()))
}

const (
	keyProduce      = 0
	keyApiVersions  = 18
	keyCreateTopics = 19
	keyDeleteTopics = 20
	keyPartitions   = 37
)

func (h *hostileRequests) word(name string) string {
	switch {
	case h.key == keyCreateTopics || h.key == keyDeleteTopics || h.key == keyPartitions:
		return "made-" + string(rune('a'+h.r.IntN(3)))
	case strings.Contains(name, "Topic") || name == "ResourceName":
		return h.topics[h.r.IntN(len(h.topics))]
	case strings.Contains(name, "Group") || name == "CoordinatorKey" || name == "CoordinatorKeys":
		return "group-" + string(rune('a'+h.r.IntN(26)))
	case name == "ConfigName" || name == "Name" && (h.key == 33 || h.key == 44):
		return "retention.ms"
	case name == "Value":
		return "86400000"
	}
	return "x"
}

func (h *hostileRequests) fillPointer(v reflect.Value, name string) {
	if name == "TransactionID" || name == "TransactionalID" || h.r.IntN(3) == 0 {
		return
	}
	v.Set(reflect.New(v.Type().Elem()))
	h.fill(v.Elem(), name)
}

func (h *hostileRequests) fillSlice(v reflect.Value, name string) {
	switch {
	case v.Type().Elem().Kind() == reflect.Uint8 && name == "Records":
		v.SetBytes(h.batch())
		return
	case v.Type().Elem().Kind() == reflect.Uint8:
		m := kmsg.NewConsumerMemberMetadata()
		m.Topics = h.topics
		v.SetBytes(m.AppendTo(nil))
		return
	case name == "ForgottenTopics" || name == "ReplicaAssignment" || name == "Assignment":
		return
	}
	n := 1 + h.r.IntN(2)
	if h.key == keyCreateTopics || name == "ConfigNames" {
		n = h.r.IntN(2)
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		h.fill(v.Index(i), name)
	}
}

var (
	spoiltNumbers = []int64{-1, 0, 1, 2, math.MaxInt8, math.MinInt8, math.MaxInt16, math.MinInt16, 1 << 20, 1 << 30,
		math.MaxInt32, math.MinInt32, math.MaxInt32 - 1, math.MaxInt64, math.MinInt64, -2, -3, -4, -5, -6}
	spoiltWords = []string{"", ".", "..", "../../etc/passwd", "a/b", "a\x00b", "\xff\xfe\xc0\xaf", "__consumer_offsets", "Topic",
		strings.Repeat("n", 249), strings.Repeat("n", 250), strings.Repeat("n", 32767), "\n{\"level\":\"ERROR\"}\n", "%s%n%d", "-1", "2147483648"}
)

func (h *hostileRequests) spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(spoiltNumbers[h.r.IntN(len(spoiltNumbers))])
	case reflect.String:
		v.SetString(spoiltWords[h.r.IntN(len(spoiltWords))])
	case reflect.Pointer:
		if h.r.IntN(2) == 0 || v.IsNil() {
			v.SetZero()
			return
		}
		h.spoil(v.Elem())
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(h.r.IntN(256)))
		}
	case reflect.Slice:
		h.spoilSlice(v)
	}
}

// spoilSlice makes it null, or empty, or long: the same again and again.
func (h *hostileRequests) spoilSlice(v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes(h.spoiltBytes(v.Bytes()))
		return
	}
	switch h.r.IntN(4) {
	case 0:
		v.SetZero()
	case 1:
		v.SetLen(0)
	default:
		if v.Len() == 0 {
			return
		}
		n := 2 << h.r.IntN(7)
		long := reflect.MakeSlice(v.Type(), n, n)
		for i := range n {
			long.Index(i).Set(v.Index(i % v.Len()))
		}
		v.Set(long)
	}
}

func (h *hostileRequests) spoiltBytes(b []byte) []byte {
	b = bytes.Clone(b)
	switch h.r.IntN(6) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return append(b, b...)
	case 3:
		return b[:h.r.IntN(len(b)+1)]
	}
	if len(b) >= 61 && b[16] == 2 {
		h.spoilBatch(b)
	}
	return b
}

// evil32 is what a length may claim.
func (h *hostileRequests) evil32() uint32 {
	all := []uint32{0xffffffff, 0, 1, math.MaxInt32, math.MaxInt32 - 1, 0x80000000, 1 << 16, 1 << 20, 1 << 28}
	return all[h.r.IntN(len(all))]
}

// measure finds where the lengths of arrays, strings and bytes stand: what is one longer differs there first.
func (h *hostileRequests) measure(key, version int16) hostileKind {
	rq := h.right(key, version)
	k := hostileKind{key: key, version: version, frame: h.formatted(rq)}
	for _, leaf := range h.leaves {
		if !leaf.CanSet() || leaf.Kind() != reflect.Slice && leaf.Kind() != reflect.String {
			continue
		}
		was := reflect.New(leaf.Type()).Elem()
		was.Set(leaf)
		if leaf.Kind() == reflect.String {
			leaf.SetString(leaf.String() + "x")
		} else {
			leaf.Set(reflect.Append(leaf, reflect.Zero(leaf.Type().Elem())))
		}
		longer := h.formatted(rq)
		leaf.Set(was)
		for at := 4; at < min(len(longer), len(k.frame)); at++ {
			if longer[at] != k.frame[at] {
				k.lengths = append(k.lengths, at)
				break
			}
		}
	}
	return k
}

// putLength writes an evil length over the last byte of one at this place, in one of the ways in which lengths are
// written.
func (h *hostileRequests) putLength(frame []byte, at int) []byte {
	switch h.r.IntN(3) {
	case 0:
		binary.BigEndian.PutUint32(frame[max(at-3, 12):], h.evil32())
	case 1:
		binary.BigEndian.PutUint16(frame[max(at-1, 12):], uint16(h.evil32()))
	default: // as a varint; what follows it moves
		rest := bytes.Clone(frame[at+1:])
		frame = append(binary.AppendUvarint(frame[:at], uint64(h.evil32())), rest...)
	}
	return frame
}
