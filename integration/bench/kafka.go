package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// kafkas is a fleet of Apache Kafka's: three nodes that are brokers and controllers, with its own defaults but for what is
// said here. They promise less: it writes no record to disk before it acknowledges it.
func (b *bench) kafkas(dir string) (*fleet, error) {
	f, err := newFleet("Kafka", "java", dir)
	if err != nil {
		return nil, err
	}
	jars, err := filepath.Abs(b.Kafka)
	if err != nil {
		return nil, err
	}
	java := func(heap string, args ...string) []string {
		return append([]string{"-Xms" + heap, "-Xmx" + heap, "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars + "/*"}, args...)
	}
	settings := func(id int) string { return f.nodes[id-1].dir + ".properties" }
	f.args = func(id int) []string { return java("1g", "kafka.Kafka", settings(id)) }
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

// kafkaCluster is a UUID as Kafka writes them.
const kafkaCluster = "MkU3OEVBNTcwNTJENDM2Qg"

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
		"min.insync.replicas=2",
		"offsets.topic.replication.factor=3",
		"group.initial.rebalance.delay.ms=0",
	}, more...)
	return strings.Join(lines, "\n") + "\n"
}
