package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"chronik/cluster"
	"chronik/metalog/image"
)

// clustered says whether the node is, or is to be, one of several. The data directory may say so too.
func (c *Config) clustered() bool {
	return len(c.Join) > 0 || c.BootstrapExpect > 0 || len(c.InitialVoters) > 0
}

// peers is how the node meets others, nil for a node alone.
func (c *Config) peers() *cluster.Peers {
	if !c.clustered() {
		return nil
	}
	return &cluster.Peers{
		Bind: hostPort(c.BindAddr, c.RaftPort), Advertise: c.clusterAddr(),
		GossipBind: c.BindAddr, GossipPort: c.GossipPort,
		Join: c.Join, Expect: c.BootstrapExpect, Voters: c.InitialVoters, Key: c.ClusterKey,
	}
}

// clusterAddr is what other nodes reach this one by.
func (c *Config) clusterAddr() string {
	if at, err := netip.ParseAddr(c.BindAddr); c.ClusterAddr != "" || err != nil || !at.IsUnspecified() {
		return cmp.Or(c.ClusterAddr, c.BindAddr)
	}
	found, _ := net.InterfaceAddrs() // with none there is none
	for _, a := range found {
		if p, ok := a.(*net.IPNet); ok && p.IP.IsPrivate() {
			return p.IP.String()
		}
	}
	return ""
}

// clientPort is the port that clients are told; 0 is the one that each has connected to.
func (c *Config) clientPort(listening int) int {
	if c.AdvertisedPort == 0 && c.clustered() {
		return listening // other brokers tell of it too
	}
	return c.AdvertisedPort
}

// checkCluster finds settings of a cluster that do not go together.
func (c *Config) checkCluster() error {
	var errs []error
	if c.clustered() && c.clusterAddr() == "" {
		errs = append(errs, errors.New("cluster-addr is missing, and this machine has no private address: write the address that other nodes reach it by"))
	}
	if c.clustered() && c.ClusterKey == "" {
		errs = append(errs, errors.New("cluster-key is missing: nodes of a cluster prove by it that they belong together; "+
			"write the same secret at each of them, as in CHRONIK_CLUSTER_KEY=$(openssl rand -hex 16)"))
	}
	if c.clustered() && c.FileMetadata {
		errs = append(errs, errors.New("file-metadata is for a standalone node, and this one is to be one of several: "+
			"nodes agree on their metadata by Raft; leave file-metadata out, or join, bootstrap-expect and initial-voters"))
	}
	if c.BootstrapExpect > 0 && len(c.InitialVoters) > 0 {
		errs = append(errs, errors.New("bootstrap-expect and initial-voters both say who founds the cluster: leave one of them out"))
	}
	if c.BootstrapExpect > 1 && len(c.Join) == 0 {
		errs = append(errs, fmt.Errorf("bootstrap-expect is %d and join is missing: write where some of the other nodes are, as in --join node1,node2,node3", c.BootstrapExpect))
	}
	for _, p := range []struct {
		name string
		port int
	}{{"raft-port", c.RaftPort}, {"gossip-port", c.GossipPort}} {
		if c.clustered() && p.port == 0 {
			errs = append(errs, fmt.Errorf("%s is 0, and other nodes would not find this one after a restart: write a port", p.name))
		}
	}
	return errors.Join(errs...)
}

// parseJoin takes hosts with or without a port.
func parseJoin(v string) (list []string, err error) {
	for _, part := range split(v) {
		host := part
		if h, port, err := net.SplitHostPort(part); err == nil {
			host = h
			var n int
			if err := parsePort(&n, port); err != nil || n == 0 {
				return nil, fmt.Errorf("%q has no port that can be joined: write host or host:port, where the port is the gossip-port of that node", part)
			}
		}
		if _, err := parseHost(host, "gossip-port"); err != nil {
			return nil, err
		}
		list = append(list, part)
	}
	return list, nil
}

// parseExpect takes numbers of voters that a majority can be made of without a spare one.
func parseExpect(into *int, v string) error {
	if err := parseInt(into, v, 0, 7); err != nil || *into != 0 && *into%2 == 0 {
		return fmt.Errorf("%q nodes cannot found a cluster: write 1, 3, 5 or 7", v)
	}
	return nil
}

// parseVoters takes node-id@host:port.
func parseVoters(v string) (list []cluster.Voter, err error) {
	for _, part := range split(v) {
		number, addr, ok := strings.Cut(part, "@")
		id, idErr := strconv.ParseInt(number, 10, 32)
		host, port, addrErr := net.SplitHostPort(addr)
		var n int
		if !ok || idErr != nil || id < 0 || addrErr != nil || parsePort(&n, port) != nil || n == 0 {
			return nil, fmt.Errorf("%q is no voter: write node-id@host:raft-port, as in 1@node1:9192", part)
		}
		if _, err := parseReachable(host, "raft-port"); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(e cluster.Voter) bool { return e.Node == image.BrokerID(id) }) {
			return nil, fmt.Errorf("node %d is there twice: each node has a node-id of its own", id)
		}
		list = append(list, cluster.Voter{Node: image.BrokerID(id), Addr: addr})
	}
	if n := len(list); n > 0 && (n > 7 || n%2 == 0) {
		return nil, fmt.Errorf("%d nodes cannot found a cluster: name 1, 3, 5 or 7", n)
	}
	return list, nil
}

func split(v string) (parts []string) {
	for _, p := range strings.Split(v, ",") {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}

const leastKey = 16

func checkKey(v string) error {
	if v != "" && len(v) < leastKey {
		return fmt.Errorf("has %d characters: write %d or more, as openssl rand -hex 16 prints them", len(v), leastKey)
	}
	return nil
}

// readKey reads a secret that nobody else may be able to read.
func readKey(into *string, file string) error {
	if file == "" {
		return nil
	}
	if *into != "" {
		return errors.New("cluster-key is set too: leave one of them out")
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (%s): chmod 600 it", file, info.Mode().Perm())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if *into = strings.TrimSpace(string(text)); *into == "" {
		return fmt.Errorf("%s is empty", file)
	}
	return checkKey(*into)
}
