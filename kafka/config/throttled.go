package config

import (
	"strconv"
	"strings"
)

// Throttled is the replicas of a topic that a replication quota holds for while they are out of sync (KIP-73); nil is none.
type Throttled struct {
	all      bool
	replicas map[throttledReplica]struct{}
}

type throttledReplica struct{ partition, broker int32 }

// Has says whether the broker's replica of the partition is one of them.
func (t *Throttled) Has(partition, broker int32) bool {
	if t == nil || t.all {
		return t != nil
	}
	_, ok := t.replicas[throttledReplica{partition, broker}]
	return ok
}

// throttledReplicas is the literal * or a list of partition:broker.
var throttledReplicas = Valid{"[partitionId]:[brokerId],[partitionId]:[brokerId],...", func(name string, v value) string {
	if _, ok := parseThrottled(v.list); !ok {
		return invalidText(name, "["+strings.Join(v.list, ", ")+"]", name+" must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...")
	}
	return ""
}}

func parseThrottled(list []string) (t *Throttled, ok bool) {
	switch {
	case len(list) == 0:
		return nil, true
	case len(list) == 1 && list[0] == "*":
		return &Throttled{all: true}, true
	}
	t = &Throttled{replicas: make(map[throttledReplica]struct{}, len(list))}
	for _, s := range list {
		partition, broker, found := strings.Cut(s, ":")
		p, err := strconv.ParseUint(partition, 10, 31)
		b, err2 := strconv.ParseUint(broker, 10, 31)
		if !found || err != nil || err2 != nil {
			return nil, false
		}
		t.replicas[throttledReplica{int32(p), int32(b)}] = struct{}{}
	}
	return t, true
}
