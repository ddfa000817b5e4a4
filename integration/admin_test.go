package integration

import (
	"regexp"
	"strings"
	"testing"

	"chronik/integration/broker"
)

// chronik asks a broker for topics and the cluster's state, and its errors say what the broker said.
func TestTheAdminCommands(t *testing.T) {
	b := broker.New(t)
	b.Start()
	for _, c := range []struct {
		args, want string // a regular expression of all that it prints
		code       int
	}{
		{"topic list", `^TOPIC +PARTITIONS +REPLICAS +NOT WHOLE\n$`, 0},
		{"topic create orders --partitions 3 --config retention.ms=1000", `^created orders: 3 partitions of 1 replica\n$`, 0},
		{"topic create orders", `Topic 'orders' already exists. \(TOPIC_ALREADY_EXISTS\)$`, 1},
		{"topic create more --config nonsense=1", `nonsense`, 1},
		{"topic create more --replicas 3", `INVALID_REPLICATION_FACTOR`, 1},
		{"topic grow orders --partitions 4", `^orders has 4 partitions\n$`, 0},
		{"topic grow orders --partitions 1", `would not be an increase. \(INVALID_PARTITIONS\)$`, 1},
		{"topic grow orders --partitions many", `^chronik: invalid argument "many" for "--partitions" flag: invalid syntax: chronik topic grow --help lists the flags$`, 1},
		{"topic grow orders --count 5", `^chronik: unknown flag: --count: chronik topic grow --help lists the flags$`, 1},
		{"topic list", `\norders +4 +1 +0\n$`, 0},
		{"topic describe orders", `(?s)^topic orders, id [\w-]{22}: 4 partitions of 1 replica\n  retention.ms=1000\n\nPARTITION.*\n3 +1 +0 +1 +1 +- +0 +0\n$`, 0},
		{"topic describe absent", `there is no topic absent`, 1},
		{"cluster status", `(?s)^cluster \S+: 1 broker, 1 topic, 4 partitions; controller 1, voters 1\n.*\n1 +127.0.0.1:\d+ +- +4 +4 +0\n\n` +
			`every partition has a leader and all its replicas in sync\n$`, 0},
		{"topic delete orders absent", `(?s)^deleted orders\n.*there is no topic absent`, 1},
		{"topic list", `^TOPIC +PARTITIONS +REPLICAS +NOT WHOLE\n$`, 0},
	} {
		out, said, code := broker.Run(t, broker.Command(t, "chronik"), append(strings.Fields(c.args), "--brokers", b.Address())...)
		if all := out + said; code != c.code || !regexp.MustCompile(c.want).MatchString(all) {
			t.Errorf("chronik %s ended with %d:\n%s", c.args, code, all)
		}
	}
	out, said, code := broker.Run(t, broker.Command(t, "chronik"), "cluster", "status", "--brokers", "127.0.0.1:1", "--timeout", "1s")
	if code != 1 || !strings.Contains(said, "no answer from 127.0.0.1:1; is a broker started there? (") {
		t.Errorf("of a broker that is not there: %d\n%s%s", code, out, said)
	}
}
