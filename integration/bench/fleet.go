package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// A fleet is nodes that are one cluster, three of them or one.
type fleet struct {
	name  string
	nodes []*server
	ports []nodePorts
	args  func(id int) []string // of a node's command; ids count from 1
}

type nodePorts struct{ kafka, internal, gossip, http int }

const (
	fleetSize = 3

	kafkaName, ourName = "Kafka", "Chronik"
)

func newFleet(name, command, dir string, nodes int) (*fleet, error) {
	f := &fleet{name: name}
	for id := 1; id <= nodes; id++ {
		var p nodePorts
		for _, port := range []*int{&p.kafka, &p.internal, &p.gossip, &p.http} {
			var err error
			if *port, err = freePort(); err != nil {
				return nil, err
			}
		}
		f.ports = append(f.ports, p)
		f.nodes = append(f.nodes, &server{
			name: fmt.Sprintf("%s %d", name, id), command: command, dir: filepath.Join(dir, fmt.Sprint("node", id)), addr: loopback(p.kafka),
		})
	}
	return f, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// noRebalanceDelay is for both sides: by default a new group waits three seconds for members.
const noRebalanceDelay = "group.initial.rebalance.delay.ms=0"

// chroniks is a fleet of ours, with the defaults that users run.
func (b *bench) chroniks(dir string, nodes int) (*fleet, error) {
	return b.chronikFleet(ourName, "chronik-server", dir, nodes)
}

func (b *bench) chronikFleet(name, command, dir string, nodes int) (*fleet, error) {
	command, err := filepath.Abs(filepath.Join(b.Bin, command))
	if err != nil {
		return nil, err
	}
	f, err := newFleet(name, command, dir, nodes)
	if err != nil {
		return nil, err
	}
	var join []string
	for _, p := range f.ports {
		join = append(join, loopback(p.gossip))
	}
	f.args = func(id int) []string {
		p := f.ports[id-1]
		flags := []string{
			"--node-id", strconv.Itoa(id), "--data-dir", f.nodes[id-1].dir, "--bind-addr", "127.0.0.1", "--http-port", strconv.Itoa(p.http),
			"--kafka-port", strconv.Itoa(p.kafka), "--raft-port", strconv.Itoa(p.internal), "--gossip-port", strconv.Itoa(p.gossip),
			"--set", noRebalanceDelay,
		}
		if nodes > 1 {
			flags = append(flags, "--join", strings.Join(join, ","), "--bootstrap-expect", strconv.Itoa(nodes),
				"--cluster-key", "a key that is only of a benchmark")
		}
		if b.Profiles != "" { // which takes nothing as long as nobody asks for one
			flags = append(flags, "--http-pprof")
		}
		return append(flags, b.Server...)
	}
	return f, nil
}

func (f *fleet) label() string { return f.name }

func (f *fleet) brokers() string {
	var all []string
	for _, n := range f.nodes {
		all = append(all, n.addr)
	}
	return strings.Join(all, ",")
}

func (f *fleet) cpu() (sum float64, err error) { return f.sum((*server).cpu) }

func (f *fleet) written() (sum float64, err error) { return f.sum((*server).written) }

func (f *fleet) memory(name string) (sum float64, err error) {
	return f.sum(func(s *server) (float64, error) { return s.memory(name) })
}

func (f *fleet) sum(of func(*server) (float64, error)) (sum float64, err error) {
	for _, n := range f.nodes {
		v, nodeErr := of(n)
		sum, err = sum+v, errors.Join(err, nodeErr)
	}
	return sum, err
}

// start starts all nodes at once.
func (f *fleet) start(ctx context.Context) error {
	var all errgroup.Group
	for id := range f.nodes {
		all.Go(func() error { return f.startNode(ctx, id+1) })
	}
	return all.Wait()
}

func (f *fleet) startNode(ctx context.Context, id int) error {
	n := f.nodes[id-1]
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	_, err := n.launch(ctx, f.args(id)...)
	return err
}

func (f *fleet) kill() {
	for _, n := range f.nodes {
		if n.cmd != nil && n.cmd.Process != nil {
			n.kill()
		}
	}
}
