package main

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const apiVersionsKey, coordinatorKey, logDirsKey, describeClusterKey = 18, 10, 35, 60

func init() {
	scenarios = append(scenarios,
		scenario{"api versions", apiVersions},
		scenario{"frames", frames},
		scenario{"find coordinator", findCoordinator},
		scenario{"describe cluster", describeCluster},
		scenario{"describe log dirs", describeLogDirs},
	)
}

func apiVersions(s *script) {
	ask := func(label, name, version string) {
		s.each(apiVersionsKey, func(v int16) {
			rq := kmsg.NewPtrApiVersionsRequest()
			rq.ClientSoftwareName, rq.ClientSoftwareVersion = name, version
			rq.SetVersion(v)
			resp, outcome := s.ask(rq)
			if resp != nil {
				outcome = fmt.Sprint(outcome, ", error ", resp.(*kmsg.ApiVersionsResponse).ErrorCode)
			}
			s.note(fmt.Sprintf("ApiVersions v%d %s", v, label), outcome)
		})
	}
	ask("good", "tool", "1.0")
	ask("no software", "", "")
	ask("odd software", "a b", "ü")
	ask("odd version", "tool", "-")
}

// header is a request's header, flexible or not, for a body that follows.
func header(key, version int16, flexible bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	b = binary.BigEndian.AppendUint16(b, uint16(len(clientID)))
	b = append(b, clientID...)
	if flexible {
		b = append(b, 0)
	}
	return b
}

func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

func frames(s *script) {
	for _, v := range []int16{99, -1, 6, 127} {
		body := s.raw(fmt.Sprintf("ApiVersions by version %d", v), framed(append(header(18, v, true), 2, 'a', 2, 'b', 0)))
		if len(body) >= 2 {
			s.note("its error", fmt.Sprint(int16(binary.BigEndian.Uint16(body))))
		}
	}
	s.raw("an empty request", framed(nil))
	s.raw("a request of a negative length", []byte{0xff, 0xff, 0xff, 0xff, 0, 0})
	s.raw("a request of a gigabyte", []byte{0x40, 0, 0, 0, 0, 0})
	s.raw("HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	s.raw("half a header", framed([]byte{0, 3, 0}))
	s.raw("metadata by version 99", framed(append(header(3, 99, true), 0, 0, 0, 0, 0, 0)))
	s.raw("produce by version 99", framed(append(header(0, 99, true), 0, 0, 0, 0, 0, 0)))
	s.raw("metadata by version -1", framed(append(header(3, -1, false), 0, 0, 0, 0)))
	s.raw("key 999", framed(append(header(999, 0, false), 0, 0, 0, 0)))
	s.raw("key -1", framed(append(header(-1, 0, false), 0, 0, 0, 0)))
	s.raw("a body cut off", framed(append(header(3, 4, false), 0, 0, 0, 9, 0, 5, 'a')))
	s.raw("a body with more after it", framed(append(header(3, 4, false), 0, 0, 0, 0, 1, 9, 9, 9)))
	s.raw("an array of 2 billion", framed(append(header(3, 4, false), 0x7f, 0xff, 0xff, 0xff)))
	s.raw("an array of -2", framed(append(header(3, 4, false), 0xff, 0xff, 0xff, 0xfe, 1)))
	s.raw("a null name", framed(append(header(3, 4, false), 0, 0, 0, 1, 0xff, 0xff, 1)))
	s.raw("a name of length -2", framed(append(header(3, 4, false), 0, 0, 0, 1, 0xff, 0xfe, 1)))
	s.raw("a name that is not UTF-8", framed(append(header(3, 4, false), 0, 0, 0, 1, 0, 1, 0xff, 0)))
	s.raw("a boolean of 7", framed(append(header(3, 4, false), 0, 0, 0, 0, 7)))
	s.raw("an unknown tag", framed(append(header(3, 9, true), 1, 0, 0, 0, 1, 99, 1, 'x')))
	s.raw("null topics where there must be some", framed(append(header(3, 0, false), 0xff, 0xff, 0xff, 0xff)))
	nullClient := append([]byte{0, 3, 0, 4, 0, 0, 0, 7, 0xff, 0xff}, 0, 0, 0, 0, 1)
	s.raw("a null client id", framed(nullClient))
	emptyClient := append([]byte{0, 3, 0, 4, 0, 0, 0, 7, 0, 0}, 0, 0, 0, 0, 1)
	s.raw("an empty client id", framed(emptyClient))
}

func findCoordinator(s *script) {
	ask := func(label string, kind int8, keys ...string) {
		s.all(coordinatorKey, label, func(v int16) kmsg.Request {
			if v < 4 && len(keys) != 1 || v == 0 && kind != 0 {
				return nil
			}
			rq := kmsg.NewPtrFindCoordinatorRequest()
			rq.CoordinatorType = kind
			if v >= 4 {
				rq.CoordinatorKeys = keys
			} else {
				rq.CoordinatorKey = keys[0]
			}
			return rq
		})
	}
	s.quiet(7, commitRequest(s.name("first"), s.topic("first", 1), 0, 1)) // so that there is a place for groups
	ask("a group", 0, s.name("g"))
	ask("no name", 0, "")
	ask("two groups", 0, s.name("g"), s.name("h"))
	ask("the same twice", 0, s.name("g"), s.name("g"))
	ask("no keys", 0)
	ask("a kind that is none", 9, "x")
	ask("a kind below all", -1, "x")
	ask("a share group's bad key", 2, "x")
}

func describeCluster(s *script) {
	ask := func(label string, change func(rq *kmsg.DescribeClusterRequest)) {
		s.all(describeClusterKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrDescribeClusterRequest()
			rq.EndpointType = 1
			change(rq)
			return rq
		})
	}
	type rq = *kmsg.DescribeClusterRequest
	ask("brokers", func(rq) {})
	ask("with authorized operations", func(r rq) { r.IncludeClusterAuthorizedOperations = true })
	ask("with fenced brokers", func(r rq) { r.IncludeFencedBrokers = true })
	ask("controllers", func(r rq) { r.EndpointType = 2 })
	ask("endpoint type 7", func(r rq) { r.EndpointType = 7 })
	ask("endpoint type 0", func(r rq) { r.EndpointType = 0 })
}

func describeLogDirs(s *script) {
	t := s.topic("placed", 2)
	s.write(t, 0, sealed(plain("a")))
	type topic = kmsg.DescribeLogDirsRequestTopic
	ask := func(label string, topics []topic) {
		s.all(logDirsKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrDescribeLogDirsRequest()
			rq.Topics = topics
			return rq
		})
	}
	ask("a topic", []topic{{Topic: t, Partitions: []int32{0}}})
	ask("unknown ones", []topic{{Topic: t, Partitions: []int32{9}}, {Topic: s.name("never"), Partitions: []int32{0}}})
	ask("no topics", []topic{})
	ask("a topic without partitions", []topic{{Topic: t}})
	ask("a partition twice", []topic{{Topic: t, Partitions: []int32{1, 1}}})
}
