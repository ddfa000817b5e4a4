package main

import (
	"fmt"
	"time"
)

// A load is a run of chronik-bench, or of another client, and which of its numbers count.
type load struct {
	name    string
	args    string // of chronik-bench, beside brokers, topic, durations and format
	topic   []string
	realOne bool // the null sink has nothing to compare with
	restart bool // after the topic was filled: then nothing of it is in the server's memory
	rows    []row

	by       driver        // the client; nil is chronik-bench
	beside   []beside      // what goes on meanwhile
	warmup   time.Duration // more than the least of it, and the run is so much longer
	fresh    bool          // each run has a topic of its own
	reads    bool          // the topic is filled once, before
	kafka    []string      // configs of Kafka's topic alone
	promised string        // by Kafka, before it acknowledges
}

// A row is a line of the table.
type row struct {
	text   string
	value  func(measured) float64
	unit   string
	ratio  bool // the real server's value as a share of the null sink's is what counts
	target string
}

func mbps(target string) row {
	return row{"throughput", func(m measured) float64 { return m.mbps }, "MB/s", true, target}
}

func cpuPerGB(target string) row {
	return row{"server CPU", func(m measured) float64 { return m.cpuPerGB }, "s/GB", false, target}
}

func p50(target string) row {
	return row{"p50", func(m measured) float64 { return m.p50 }, "ms", false, target}
}

func p99(target string) row {
	return row{"p99", func(m measured) float64 { return m.p99 }, "ms", false, target}
}

// expiring topics keep 256 MiB at most, fewer than the write-ahead log may hold: nothing is copied into segments. What
// that costs where records stay is measured apart.
func expiring(partitions int) []string {
	return []string{"--partitions", fmt.Sprint(partitions),
		"--topic-config", fmt.Sprintf("retention.bytes=%d", 256<<20/partitions)}
}

func keeping(partitions int) []string { return []string{"--partitions", fmt.Sprint(partitions)} }

var loads = []load{
	{name: "franz-go, 12 partitions, 1 KiB, linger 5 ms", args: "produce --size 1024 --linger 5ms", topic: expiring(12),
		rows: []row{mbps("85 % of null"), cpuPerGB("0.55")}},
	{name: "raw, 4 connections x 5 x 1 MiB", args: "raw --connections 4 --in-flight 5 --batch 1048576", topic: expiring(12),
		rows: []row{mbps("55 % of null"), cpuPerGB("")}},
	{name: "raw, 16 x 5 x 64 KiB", args: "raw --connections 16 --in-flight 5 --batch 65536", topic: expiring(12),
		rows: []row{mbps("50 % of null"), cpuPerGB("")}},
	{name: "raw, 16 x 5 x 1 KiB", args: "raw --connections 16 --in-flight 5 --batch 1024", topic: expiring(12),
		rows: []row{mbps("60 % of null"), cpuPerGB("")}},
	{name: "raw, 16 x 5 x 16 KiB, 1 partition", args: "raw --connections 16 --in-flight 5 --batch 16384", topic: expiring(1),
		rows: []row{mbps(""), cpuPerGB("")}},
	{name: "raw, 16 x 5 x 16 KiB, 1,000 partitions", args: "raw --connections 16 --in-flight 5 --batch 16384", topic: expiring(1000),
		rows: []row{mbps(""), cpuPerGB("")}},
	{name: "open loop, 20,000 records/s, linger 0", args: "produce --size 1024 --linger 0 --rate 20000", topic: expiring(12),
		rows: []row{p50("0.8"), p99("2"), cpuPerGB("")}},
	{name: "one connection, one 1 KiB request at a time", args: "raw --serial", topic: expiring(12),
		rows: []row{p50("0.30"), p99("")}},
	{name: "raw fetch of the tail, 4 connections", args: "raw-fetch --connections 4", topic: expiring(12),
		rows: []row{mbps("2,500 MB/s"), cpuPerGB("0.30")}},
	{name: "raw fetch from files, 4 connections", args: "raw-fetch --connections 4 --behind 1000000", topic: keeping(12),
		rows: []row{mbps("2,000 MB/s"), cpuPerGB("")}, realOne: true, restart: true},
	{name: "raw, 4 x 5 x 1 MiB, all kept: cut into segments", args: "raw --connections 4 --in-flight 5 --batch 1048576", topic: keeping(12),
		rows: []row{mbps(""), cpuPerGB("")}, realOne: true},
}
