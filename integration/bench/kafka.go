package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// kafkas is a fleet of Apache Kafka's: nodes that are brokers and controllers, as its documentation has them in production
// (kafkaSettings). They promise less: it writes no record to disk before it acknowledges it.
func (b *bench) kafkas(dir string, nodes int) (*fleet, error) {
	f, err := newFleet(kafkaName, "java", dir, nodes)
	if err != nil {
		return nil, err
	}
	jars, err := filepath.Abs(b.Kafka)
	if err != nil {
		return nil, err
	}
	java := func(heap string, args ...string) []string {
		flags := append([]string{"-Xms" + heap, "-Xmx" + heap}, strings.Fields(kafkaJVM)...)
		return append(append(flags, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars+"/*"), args...)
	}
	settings := func(id int) string { return f.nodes[id-1].dir + ".properties" }
	f.args = func(id int) []string { return java(b.KafkaHeap, "kafka.Kafka", settings(id)) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for id := range f.nodes {
		f.nodes[id].exit = 128 + int(syscall.SIGTERM) // as every JVM
		if err := os.WriteFile(settings(id+1), []byte(f.properties(id+1, b.Settings)), 0o600); err != nil {
			return nil, err
		}
		format := java("256m", "kafka.tools.StorageTool", "format", "-t", kafkaCluster, "-c", settings(id+1))
		if out, err := exec.CommandContext(b.ctx, "java", format...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("format Kafka's directory: %w: %s", err, out)
		}
	}
	return f, nil
}

// kafkaJVM is the arguments that Kafka's documentation names for production (Operations, Java version), without its heap of
// 6 GiB: b.KafkaHeap is what its start script has, so that memory is compared with the least that its users see.
const kafkaJVM = "-server -XX:MetaspaceSize=96m -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 " +
	"-XX:G1HeapRegionSize=16M -XX:MinMetaspaceFreeRatio=50 -XX:MaxMetaspaceFreeRatio=80 -XX:+ExplicitGCInvokesConcurrent"

// kafkaCluster is a UUID as Kafka writes them.
const kafkaCluster = "MkU3OEVBNTcwNTJENDM2Qg"

// kafkaSettings are those of the documentation's example of a production server, and some of ours: what a deleted topic
// or a topic's retention leaves behind goes within seconds instead of minutes, because three nodes under load fill a
// disk in one, and groups do not wait (noRebalanceDelay).
func kafkaSettings(nodes int) []string {
	replicas := min(3, nodes)
	return []string{
		"num.partitions=8",
		fmt.Sprintf("default.replication.factor=%d", replicas),
		"auto.create.topics.enable=false",
		fmt.Sprintf("min.insync.replicas=%d", min(2, replicas)),
		fmt.Sprintf("offsets.topic.replication.factor=%d", replicas),
		"log.segment.delete.delay.ms=0",
		"log.retention.check.interval.ms=5000",
		noRebalanceDelay,
	}
}

// properties are a node's settings.
func (f *fleet) properties(id int, more []string) string {
	var voters []string
	for i, p := range f.ports {
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, loopback(p.internal)))
	}
	p := f.ports[id-1]
	lines := append([]string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", loopback(p.kafka), loopback(p.internal)),
		"advertised.listeners=PLAINTEXT://" + loopback(p.kafka),
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs=" + f.nodes[id-1].dir,
	}, append(kafkaSettings(len(f.nodes)), more...)...)
	return strings.Join(lines, "\n") + "\n"
}
