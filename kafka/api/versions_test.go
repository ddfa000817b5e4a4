package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// sample makes one request of each key, with fields of all its versions set: encoding takes those that a version has.
// The topic and the group are there, or are not there at all.
type sample struct {
	topic, group string
	id           uuid.UUID
	key, version int16
}

// unknownCode is the only code that the answer to something that is not there has.
func unknownCode(key, version int16) kerr.Code {
	switch key {
	case 0, 1, 2, 3, 8, 20, 21, 23, 32, 33, 37, 43, 44, 45, 55, 61, 75:
		if (key == 0 || key == 1) && version >= 13 || key == 3 && version >= 12 || key == 8 && version >= 10 {
			return kerr.UnknownTopicID
		}
		return kerr.UnknownTopicOrPartition
	case 9:
		if version >= 10 {
			return kerr.UnknownTopicID
		} else if version == 0 {
			return kerr.UnknownTopicOrPartition
		}
	case 12, 13, 14:
		return kerr.UnknownMemberID
	case 15:
		if version >= 6 {
			return kerr.GroupIDNotFound
		}
	case 42, 47:
		return kerr.GroupIDNotFound
	case 34:
		return kerr.LogDirNotFound
	case 80:
		return kerr.InvalidRequest
	case 81:
		return kerr.VoterNotFound
	case 64:
		return kerr.BrokerIDNotRegistered
	}
	return kerr.None
}

func (s sample) request(t testing.TB) kmsg.Request {
	rq := kmsg.RequestForKey(s.key)
	switch q := rq.(type) {
	case *kmsg.ProduceRequest:
		rq = produceRequest(s.version, s.topic, s.id, 0, s.records(t))
	case *kmsg.FetchRequest:
		*q = *fetchRequest(s.version, s.topic, s.id, 0)
	default:
		s.fill(reflect.ValueOf(rq).Elem())
		s.adjust(rq)
	}
	rq.SetVersion(s.version)
	return rq
}

// records are in the format that the version of Produce may carry.
func (s sample) records(t testing.TB) []byte {
	if s.version >= 3 {
		return stamped(t, 1000)
	}
	return oldMessage(int8(min(s.version, 2) / 2))
}

// oldMessage is a message set of one message without a codec, of magic 0 or 1.
func oldMessage(magic int8) []byte {
	m := kmsg.MessageV1{Magic: magic, Key: []byte("k"), Value: []byte("value"), Timestamp: 1000}
	var b []byte
	if magic == 0 {
		m0 := kmsg.MessageV0{Magic: 0, Key: []byte("k"), Value: []byte("value")}
		m0.MessageSize = int32(len(m0.AppendTo(nil)) - 12)
		b = m0.AppendTo(nil)
	} else {
		m.MessageSize = int32(len(m.AppendTo(nil)) - 12)
		b = m.AppendTo(nil)
	}
	binary.BigEndian.PutUint32(b[12:], ieee(b[16:]))
	return b
}

// fill gives each array one element, and topics, groups and their like the sample's names.
func (s sample) fill(v reflect.Value) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if name == "UnknownTags" || name == "Version" {
			continue
		}
		s.set(f, name)
	}
}

func (s sample) set(f reflect.Value, name string) {
	text := map[string]string{
		"Topic": s.topic, "Topics": s.topic, "TopicNames": s.topic, "ResourceName": s.topic, "Group": s.group, "Groups": s.group,
		"CoordinatorKey": s.group, "CoordinatorKeys": s.group, "ClientSoftwareName": "tester", "ClientSoftwareVersion": "1.0",
		"ProtocolType": "consumer", "Protocol": "range", "Name": "range",
	}[name]
	switch f.Kind() {
	case reflect.String:
		f.SetString(text)
	case reflect.Pointer:
		if f.Type().Elem().Kind() == reflect.String && text != "" {
			f.Set(reflect.ValueOf(&text))
		}
	case reflect.Slice:
		if f.Type().Elem().Kind() == reflect.Uint8 {
			f.SetBytes([]byte("bytes"))
			return
		}
		one := reflect.New(f.Type().Elem()).Elem()
		if d, ok := one.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		if one.Kind() == reflect.Struct {
			s.fill(one)
		} else {
			s.set(one, name)
		}
		f.Set(reflect.Append(f, one))
	case reflect.Array:
		f.Set(reflect.ValueOf([16]byte(s.id)))
	case reflect.Struct:
		s.fill(f)
	}
}

// adjust sets what must not be as fill left it.
func (s sample) adjust(rq kmsg.Request) {
	switch q := rq.(type) {
	case *kmsg.MetadataRequest:
		if s.version < 12 {
			q.Topics[0].TopicID = uuid.Nil
		} else {
			q.Topics[0].Topic = nil
		}
	case *kmsg.JoinGroupRequest:
		q.Group, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = fmt.Sprintf("%s-%d", s.group, s.version), 30_000, 30_000
	case *kmsg.OffsetCommitRequest:
		q.Topics[0].Partitions[0].Offset = 7
	case *kmsg.ListOffsetsRequest:
		q.Topics[0].Partitions[0].Timestamp = earliestTimestamp
	case *kmsg.CreateTopicsRequest:
		q.Topics[0] = kmsg.NewCreateTopicsRequestTopic()
		q.Topics[0].Topic, q.Topics[0].NumPartitions, q.Topics[0].ReplicationFactor = fmt.Sprintf("%s-new-%d", s.topic, s.version), 1, 1
		q.ValidateOnly = true
	case *kmsg.DeleteTopicsRequest:
		q.Topics[0].TopicID = uuid.Nil
	case *kmsg.CreatePartitionsRequest:
		q.Topics[0].Count, q.Topics[0].Assignment, q.ValidateOnly = 9, nil, true
	case *kmsg.DescribeConfigsRequest:
		q.Resources[0].ResourceType, q.Resources[0].ConfigNames = kmsg.ConfigResourceTypeTopic, nil
		q.IncludeDocumentation, q.IncludeSynonyms = true, true
	case *kmsg.AlterConfigsRequest:
		q.Resources[0].ResourceType, q.Resources[0].Configs = kmsg.ConfigResourceTypeTopic, nil
	case *kmsg.IncrementalAlterConfigsRequest:
		q.Resources[0].ResourceType, q.Resources[0].Configs = kmsg.ConfigResourceTypeTopic, nil
	case *kmsg.ListGroupsRequest:
		q.StatesFilter, q.TypesFilter = nil, nil
	case *kmsg.ListConfigResourcesRequest:
		q.ResourceTypes = nil
	case *kmsg.AlterPartitionAssignmentsRequest:
		q.Topics[0].Partitions[0].Replicas = []int32{1}
	case *kmsg.UpdateFeaturesRequest:
		q.FeatureUpdates = nil
	case *kmsg.DescribeQuorumRequest:
		if s.topic == "t" {
			q.Topics[0].Topic = metadataTopic
		}
	case *kmsg.DescribeClientQuotasRequest:
		q.Components[0].EntityType, q.Components[0].Match = "user", &s.topic
	case *kmsg.AlterClientQuotasRequest:
		q.Entries[0].Entity[0].Type, q.Entries[0].Entity[0].Name = "user", &s.topic
		q.Entries[0].Ops[0].Key, q.Entries[0].Ops[0].Value = "producer_byte_rate", 1e9
	case *kmsg.DescribeTopicPartitionsRequest:
		q.ResponsePartitionLimit = 100
	}
}

// codes gathers every ErrorCode below v.
func codes(v reflect.Value) (all []kerr.Code) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return codes(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, codes(v.Index(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name == "ErrorCode" {
				if c := kerr.Code(v.Field(i).Int()); c != kerr.None {
					all = append(all, c)
				}
			} else if name != "UnknownTags" {
				all = append(all, codes(v.Field(i))...)
			}
		}
	}
	return all
}

func eachVersion(fn func(key, version int16)) {
	for key := range table {
		if e := &table[key]; e.begin != nil {
			for v := e.min; v <= e.max; v++ {
				fn(int16(key), v)
			}
		}
	}
}

// T05, T06: whatever is advertised is answered in a form that a client reads to its last byte.
func TestEveryVersionIsAnsweredWhole(t *testing.T) {
	n := start(t, map[string]string{"auto.create.topics.enable": "false"})
	id := n.create("t", 3)
	n.produce("t", 0, 1000)
	n.commit("g", "t", 0, 5)
	valid := sample{topic: "t", group: "g", id: id}
	unknown := sample{topic: "none", group: "nobody", id: uuid.New()}
	eachVersion(func(key, version int16) {
		if table[key].inner {
			return // not for clients
		}
		for _, s := range []sample{valid, unknown} {
			s.key, s.version = key, version
			rq := s.request(t)
			want := kerr.None
			switch {
			case s.topic == "none":
				want = unknownCode(key, version)
			case key == 20, key == 42:
				continue // tests of their own delete
			case key == 43:
				want = kerr.ElectionNotNeeded
			case key == 34 || key == 64 || key == 80 || key == 81:
				want = unknownCode(key, version)
			case key == 12 || key == 13 || key == 14:
				want = kerr.UnknownMemberID
			}
			if code, ok := unfilled[key]; ok {
				want = code
			}
			if key == 11 && version >= 4 {
				want = kerr.MemberIDRequired
			}
			got := slices.Compact(codes(reflect.ValueOf(ask[kmsg.Response](n, rq))))
			if want == kerr.None && len(got) > 0 || want != kerr.None && !slices.Equal(got, []kerr.Code{want}) {
				t.Errorf("%s v%d of %s: %v, want %v", kmsg.NameForKey(key), version, s.topic, got, want)
			}
		}
	})
}

// unfilled is what those answer that need more than a topic and the id of a classic group.
var unfilled = map[int16]kerr.Code{
	68: kerr.InvalidRequest, 69: kerr.GroupIDNotFound,
	76: kerr.InvalidRequest, 77: kerr.GroupIDNotFound, 78: kerr.InvalidRequest, 79: kerr.InvalidRequest,
	88: kerr.InvalidRequest, 89: kerr.GroupIDNotFound,
	90: kerr.None, 91: kerr.InvalidGroupID, 92: kerr.InvalidGroupID,
}

// T06: ApiVersions lists what is served, no more and no less.
func TestApiVersionsListsExactlyWhatIsServed(t *testing.T) {
	n := start(t, nil)
	for v := range int16(6) {
		rq := kmsg.NewPtrApiVersionsRequest()
		rq.Version, rq.ClientSoftwareName, rq.ClientSoftwareVersion = v, "tester", "1"
		listed := map[[2]int16]bool{}
		for _, k := range ask[*kmsg.ApiVersionsResponse](n, rq).ApiKeys {
			for v := k.MinVersion; v <= k.MaxVersion; v++ {
				listed[[2]int16{k.ApiKey, v}] = true
			}
		}
		for key := int16(-1); key < 120; key++ {
			for version := int16(-1); version < 30; version++ {
				served := n.broker.Served(key, version) && table[key].visible(&n.peer)
				if served != listed[[2]int16{key, version}] {
					t.Errorf("v%d: key %d version %d is served: %v, listed: %v", v, key, version, served, !served)
				}
			}
		}
	}
}

// The union of the lowest versions of Kafka 3.9 and the highest that the encoder has of Kafka 4.4's.
func TestVersionsFromTheOldestToTheNewest(t *testing.T) {
	max := map[int16]int16{0: 13, 1: 18, 18: 5} // encoded here, or known to the encoder
	eachVersion(func(key, version int16) {
		e := table[key]
		want, ok := max[key]
		if !ok {
			want = kmsg.RequestForKey(key).MaxVersion()
		}
		least := int16(0)
		if 76 <= key && key <= 79 { // the first versions were of an early access to share groups that no client speaks any more
			least = 1
		}
		if e.min != least || e.max != want {
			t.Errorf("%s is served from %d to %d, want %d to %d", kmsg.NameForKey(key), e.min, e.max, least, want)
		}
	})
}

// T01: clients read the version of an ApiVersions response before they know that of the header.
func TestApiVersionsHeaderIsNeverFlexible(t *testing.T) {
	n := start(t, nil)
	for v := range int16(6) {
		rq := kmsg.NewPtrApiVersionsRequest()
		rq.Version, rq.ClientSoftwareName, rq.ClientSoftwareVersion = v, "tester", "1"
		b, err := n.raw(t.Context(), n.begin(t.Context(), rq))
		if err != nil {
			t.Fatal(err)
		}
		// The correlation id, no error, then the length of the list, without tags between them.
		if code := binary.BigEndian.Uint16(b[4:]); code != 0 {
			t.Errorf("v%d: code %d", v, code)
		}
		keys := int(binary.BigEndian.Uint32(b[6:]))
		if v >= 3 {
			keys = int(b[6]) - 1
		}
		if keys != len(servedKeys(&n.peer)) {
			t.Errorf("v%d: a list of %d, want %d", v, keys, len(servedKeys(&n.peer)))
		}
	}
}

// T04: a version of the future gets an answer that a client of any version can read.
func TestUnknownVersionsAreToldSo(t *testing.T) {
	n := start(t, nil)
	rq := kmsg.NewPtrMetadataRequest()
	rq.Version = 99
	b, err := n.raw(t.Context(), n.begin(t.Context(), rq))
	if err != nil || binary.BigEndian.Uint16(b[4:]) != uint16(kerr.UnsupportedVersion) {
		t.Errorf("%x %v", b, err)
	}
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.Version = 99
	if b, err = n.raw(t.Context(), n.begin(t.Context(), versions)); err != nil {
		t.Fatal(err)
	}
	var old kmsg.ApiVersionsResponse
	if err := old.ReadFrom(b[4:]); err != nil || old.ErrorCode != int16(kerr.UnsupportedVersion) || old.ApiKeys[0].MaxVersion != 5 {
		t.Errorf("%+v %v", old, err)
	}
}

// T02, KIP-511, KIP-1242.
func TestApiVersionsLooksAtWhoAsks(t *testing.T) {
	n := start(t, nil)
	cluster := clusterID(n.Meta.Image())
	for _, c := range []struct {
		version       int16
		name, cluster string
		node          int32
		want          kerr.Code
	}{
		{2, "", "", -1, kerr.None},
		{3, "", "", -1, kerr.InvalidRequest},
		{3, "a b", "", -1, kerr.InvalidRequest},
		{3, "apache-kafka-java", "", -1, kerr.None},
		{4, "tester", "other", 7, kerr.None}, // the fields are not there yet
		{5, "tester", "other", -1, kerr.RebootstrapRequired},
		{5, "tester", cluster, 7, kerr.RebootstrapRequired},
		{5, "tester", cluster, self, kerr.None},
		{5, "tester", "", -1, kerr.None},
	} {
		rq := kmsg.NewPtrApiVersionsRequest()
		rq.Version, rq.ClientSoftwareName, rq.ClientSoftwareVersion, rq.NodeID = c.version, c.name, "1.0", c.node
		if c.cluster != "" {
			rq.ClusterID = &c.cluster
		}
		if got := ask[*kmsg.ApiVersionsResponse](n, rq); kerr.Code(got.ErrorCode) != c.want {
			t.Errorf("%+v: %v", c, kerr.Code(got.ErrorCode))
		}
	}
}

// T13: nothing that a client can say makes a handler panic, or give an answer that cannot be read.
func TestRandomRequestsAreAnswered(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 3)
	r := rand.New(rand.NewPCG(1, 2))
	gone, cancel := context.WithCancel(t.Context())
	cancel() // nobody waits for members or records that never come
	eachVersion(func(key, version int16) {
		for range 20 {
			rq := kmsg.RequestForKey(key)
			scramble(reflect.ValueOf(rq).Elem(), r, id)
			rq.SetVersion(version)
			if p, ok := rq.(*kmsg.ProduceRequest); ok {
				p.Acks = 1
			}
			b, err := n.raw(gone, n.begin(t.Context(), rq))
			if err != nil {
				t.Fatalf("%s v%d: %v", kmsg.NameForKey(key), version, err)
			}
			n.decode(rq, b)
		}
	})
}

// scramble gives every field below v a random value, now and then one that means something.
func scramble(v reflect.Value, r *rand.Rand, id [16]byte) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt([]int64{0, 1, -1, r.Int64() >> r.IntN(64), r.Int64N(8)}[r.IntN(5)])
	case reflect.String:
		v.SetString([]string{"t", "", "g", strings.Repeat("k", r.IntN(300)), "no such: thing", "."}[r.IntN(6)])
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			scramble(v.Elem(), r, id)
		}
	case reflect.Array:
		if r.IntN(2) == 0 {
			v.Set(reflect.ValueOf(id))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			scramble(v.Index(i), r, id)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "UnknownTags" {
				scramble(v.Field(i), r, id)
			}
		}
	}
}
