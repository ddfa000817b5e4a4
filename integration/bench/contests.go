package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A contest is a load that both sides run.
type contest struct {
	load
	nodes       int
	quick       bool    // bench-vs-kafka-quick has it too
	whole       bool    // it is one of the whole product, which -loads all runs
	share       float64 // of Kafka's maximum; the rate comes from it
	slow        bool    // Kafka is long in coming to its speed
	needsJars   bool
	needsPython bool
}

var unknown = math.NaN()

// everyLoad picks the whole product of what a load can be.
const everyLoad = "all"

var (
	productPartitions = []int{1, 12, 100, 1000}
	productSizes      = []int{100, 1024, 10240}
	productCodecs     = []string{"none", "lz4", "zstd"}
	productAcks       = []string{"all", "1"}
)

// maximumLoad is what the open loop's rates are shares of.
var maximumLoad = closedLoop(12, 1024, "none", "all", 1).name

// kept topics keep everything.
func kept(partitions, nodes int) []string {
	topic := keeping(partitions)
	if nodes > 1 {
		topic = append(topic, "--replication", fmt.Sprint(nodes), "--topic-config", "min.insync.replicas=2")
	}
	return topic
}

// isFresh says whether each run has a topic of its own. A thousand partitions cost Kafka seconds to make, and what a load
// over them measures is how it goes on.
func isFresh(partitions int) bool { return partitions < 1000 }

func sizeText(size int) string {
	if size < 1024 {
		return fmt.Sprint(size, " B")
	}
	return fmt.Sprint(size/1024, " KiB")
}

func partitionsText(n int) string {
	switch n {
	case 1:
		return "1 partition"
	case 1000, 10_000:
		return fmt.Sprintf("%d,000 partitions", n/1000)
	}
	return fmt.Sprint(n, " partitions")
}

// closedLoop is franz-go, as fast as it goes. It is idempotent where all replicas acknowledge, as by its default.
func closedLoop(partitions, size int, codec, acks string, nodes int) load {
	name := []string{"franz-go", partitionsText(partitions), sizeText(size)}
	if codec != "none" {
		name = append(name, codec)
	}
	return load{
		name:  strings.Join(append(name, "acks="+acks), ", "),
		args:  fmt.Sprintf("produce --size %d --linger 5ms --compression %s --acks %s", size, codec, acks),
		topic: kept(partitions, nodes), fresh: isFresh(partitions), promised: notSynced, rows: produced("", ""),
	}
}

// product is every combination. Those of the default run are fewer, and have every pair of values in one of them.
func product() (all []contest) {
	for p, partitions := range productPartitions {
		for s, size := range productSizes {
			for c, codec := range productCodecs {
				for a, acks := range productAcks {
					l := closedLoop(partitions, size, codec, acks, 1)
					goal := productGoals[l.name]
					if goal != nil {
						l.rows = goal
					}
					pairs := c == (p+s)%len(productCodecs) && a == (p+s)%len(productAcks)
					all = append(all, contest{load: l, nodes: 1, quick: goal != nil, whole: goal == nil && !pairs, slow: !l.fresh})
				}
			}
		}
	}
	return all
}

var productGoals = map[string][]row{
	closedLoop(12, 1024, "none", "all", 1).name:   produced("150 % of Kafka", "0.55"),
	closedLoop(1000, 1024, "none", "all", 1).name: produced("230 % of Kafka", ""),
}

// produced, paced and read are the rows of the kinds of loads.
func produced(throughput, cpu string) []row {
	return compared(mbps(throughput), cpuPerGB(cpu), memory())
}

func paced(median, most string) []row {
	return compared(p50(median), p99(most), cpuPerGB(""), memory())
}

func tailed() []row {
	end50 := row{text: "p50 from sent to read", value: func(m measured) float64 { return m.end50 }, unit: "ms"}
	end99 := row{text: "p99 from sent to read", value: func(m measured) float64 { return m.end99 }, unit: "ms"}
	return compared(end50, end99, p99(""), cpuPerGB(""), memory())
}

func memory() row {
	return row{text: "resident memory", value: func(m measured) float64 { return m.memory }, unit: "MiB"}
}

func compared(rows ...row) []row {
	for i := range rows {
		rows[i].ratio = true
	}
	return rows
}

// alone is a load on one node with a topic for each run.
func alone(name, args string, partitions int, rows []row) contest {
	return contest{nodes: 1, load: load{name: name, args: args, topic: kept(partitions, 1), fresh: isFresh(partitions), promised: notSynced, rows: rows}}
}

func (c contest) inQuick() contest { c.quick = true; return c }

func (c contest) with(things ...beside) contest { c.beside = things; return c }

func (c contest) through(d driver) contest { c.by = d; return c }

// warming is for clients that are long in connecting.
func (c contest) warming(d time.Duration) contest { c.warmup = d; return c }

func (c contest) ofKafka(share float64) contest { c.share = share; return c }

// jars and python are what a client needs that is not in Go.
func (c contest) jars() contest   { c.needsJars = true; return c }
func (c contest) python() contest { c.needsPython = true; return c }

// syncedToo has Kafka sync each batch, as Chronik does.
func (c contest) syncedToo() contest {
	c.name += ", Kafka with flush.messages=1"
	c.kafka, c.promised = []string{"flush.messages=1"}, synced
	return c
}

// reading is a load on records that are there.
func (c contest) reading() contest {
	c.reads, c.fresh, c.promised = true, false, "nothing: it reads"
	return c
}

// onThree is a load of three nodes: the one that bench-cluster has, on topics that keep everything.
func onThree(l load) contest {
	l.name, l.topic, l.fresh, l.promised = "three nodes: "+l.name, kept(12, fleetSize), true, notSynced
	l.rows = compared(append(append([]row(nil), l.rows...), memory())...)
	return contest{load: l, nodes: fleetSize}
}

// contests is every load there is, in the order in which they run.
var contests = func() []contest {
	const open = "produce --size 1024 --linger 0"
	all := product()
	all = append(all,
		alone("franz-go, 12 partitions, 1 KiB, acks=all, not idempotent", "produce --size 1024 --linger 5ms --idempotent=false", 12, produced("", "")),
		alone("librdkafka, 12 partitions, 1 KiB, acks=all", "", 12, compared(mbps(""), cpuPerGB(""), memory())).through(rdkafkaProduce).python(),
		alone("Java kafka-producer-perf-test, 12 partitions, 1 KiB, acks=all", "", 12, compared(mbps("130 % of Kafka"), cpuPerGB(""), p50(""), p99(""), memory())).
			through(javaProduce).jars().inQuick(),

		alone("raw, 4 x 5 x 1 MiB", "raw --connections 4 --in-flight 5 --batch 1048576", 12, produced("150 % of Kafka", "")).inQuick(),
		alone("raw, 16 x 5 x 64 KiB", "raw --connections 16 --in-flight 5 --batch 65536", 12, produced("160 % of Kafka", "")).inQuick(),
		alone("raw, 16 x 5 x 1 KiB", "raw --connections 16 --in-flight 5 --batch 1024", 12, produced("150 % of Kafka", "")).inQuick(),
		alone("raw, 16 x 5 x 1 KiB, 1,000 partitions", "raw --connections 16 --in-flight 5 --batch 1024", 1000, produced("", "")),
		alone("raw, 16 x 5 x 1 KiB, 1,000 partitions", "raw --connections 16 --in-flight 5 --batch 1024", 1000, produced("1,000 % of Kafka", "")).syncedToo().inQuick(),
		alone("franz-go, 12 partitions, 1 KiB, acks=all", "produce --size 1024 --linger 5ms", 12, produced("", "")).syncedToo(),
		alone("one connection, one 1 KiB request at a time", "raw --serial", 12, paced("", "")),

		alone("open loop, 20,000 records/s, linger 0", open+" --rate 20000", 12, paced("0.8", "at most 40 % of Kafka")).inQuick(),
		alone("open loop, 20,000 records/s, linger 0", open+" --rate 20000", 12, paced("", "")).syncedToo(),
		alone("open loop, 100,000 records/s, linger 0", open+" --rate 100000", 12, paced("", "at most 50 % of Kafka")).inQuick(),
		alone("open loop, 20,000 records/s over 1,000 partitions, linger 0", open+" --rate 20000", 1000, paced("", "20")).inQuick(),
		alone("open loop, 5 % of Kafka's maximum, linger 0", open, 12, paced("", "")).ofKafka(0.05),
		alone("open loop, 25 % of Kafka's maximum, linger 0", open, 12, paced("", "")).ofKafka(0.25),
		alone("open loop, 50 % of Kafka's maximum, linger 0", open, 12, paced("", "at most 50 % of Kafka")).ofKafka(0.5),
		alone("open loop, 80 % of Kafka's maximum, linger 0", open, 12, paced("", "")).ofKafka(0.8),
		alone("1,000 producers, 10 records/s each, linger 0", open+" --clients 1000 --rate 10000", 12, paced("", "")).warming(3*time.Second),
		alone("5,000 idle connections beside 20,000 records/s, linger 0", open+" --rate 20000", 12, paced("", "")).with(idleConnections(5000)),

		alone("1 tail consumer, 10,000 records/s", "both --size 1024 --linger 0 --rate 10000", 12, tailed()),
		alone("10 tail consumers, 10,000 records/s", "both --size 1024 --linger 0 --rate 10000", 12, tailed()).with(tails(9)),
		alone("50 tail consumers, 10,000 records/s", "both --size 1024 --linger 0 --rate 10000", 12, tailed()).with(tails(49)),
		alone("1 tail consumer and 1 cold one, 10,000 records/s", "both --size 1024 --linger 0 --rate 10000", 12, tailed()).with(coldReader),

		alone("raw fetch of the tail, 4 connections", "raw-fetch --connections 4", 12, compared(mbps("120 % of Kafka"), cpuPerGB("0.30"), memory())).reading().inQuick(),
		alone("franz-go consumes what is there", "consume", 12, compared(mbps("100 % of Kafka"), cpuPerGB(""), memory())).reading().inQuick(),
		alone("Java kafka-consumer-perf-test", "", 12, compared(mbps("100 % of Kafka"), cpuPerGB(""), memory())).through(javaConsume).jars().reading().inQuick(),
		// Ten times the machine's memory would fit on few disks; that the system forgets what it holds comes to the same.
		alone("franz-go consumes what is in no memory", "consume", 12, compared(mbps(""), cpuPerGB(""), memory())).with(outOfMemory).reading(),
	)
	for _, l := range nodeLoads {
		all = append(all, onThree(l))
		if !strings.Contains(l.name, "64 KiB") {
			sync := onThree(l).syncedToo()
			sync.rows = withoutTargets(sync.rows)
			all = append(all, sync)
		}
	}
	return all
}()

// onNull says whether the null sink runs the load too: where there is something to miss, unless more is read than the newest
// records, which are all that it keeps. That is so where franz-go saturates three nodes too: a follower falls behind them then.
func (c contest) onNull() bool {
	tail := strings.HasPrefix(c.args, "raw-fetch")
	behind := c.nodes > 1 && strings.HasPrefix(c.args, "produce") && !strings.Contains(c.args, "--rate")
	return (!c.reads || tail) && !behind && c.hasTarget()
}

// readsAll says whether a run ends when the topic is read, and not at a time.
func (c contest) readsAll() bool { return c.reads && !strings.HasPrefix(c.args, "raw-fetch") }

func (c contest) hasTarget() bool {
	return slices.ContainsFunc(c.rows, func(r row) bool { return r.target != "" })
}

func withoutTargets(rows []row) (all []row) {
	for _, r := range rows {
		r.target = ""
		all = append(all, r)
	}
	return all
}
