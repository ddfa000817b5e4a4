package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"chronik/cluster"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/kafka/server"
)

// ownSettings are the Kafka configs that settings of the server stand for. They cannot be given by Kafka's name too: two
// ways to say one thing may contradict each other.
var ownSettings = map[string][]string{
	"node.id":                  {"node-id"},
	"broker.id":                {"node-id"},
	"log.dir":                  {"data-dir"},
	"log.dirs":                 {"data-dir"},
	"listeners":                {"bind-addr", "kafka-port"},
	"advertised.listeners":     {"advertised-addr", "advertised-port"},
	"max.connections":          {"max-connections"},
	"socket.request.max.bytes": {"max-request-size"},
}

// inert are the Kafka configs that nothing goes by here. Taken, they would be a promise that is not kept.
var inert = map[string]string{
	"cordoned.log.dirs":              "it is set for a broker that runs, by chronik cluster drain or kafka-configs.sh",
	"inter.broker.listener.name":     "there is one listener, " + listener,
	"listener.security.protocol.map": "there is one listener, " + listener,
	"max.connection.creation.rate":   "new connections are not counted by time; see max-connections",
	"process.roles":                  "every node is a broker and a controller",
	"queued.max.request.bytes":       "memory-limit bounds the requests that wait",
	"queued.max.requests":            "memory-limit bounds the requests that wait",
}

// checkKafka refuses Kafka configs that are wrong, or would not be in force, before anything is opened or made.
func (c *Config) checkKafka() error {
	var errs []error
	known := maps.Clone(c.Kafka)
	for _, name := range slices.Sorted(maps.Keys(c.Kafka)) {
		if own := ownSettings[name]; own != nil {
			errs = append(errs, fmt.Errorf("%s is not set by Kafka's name: write %s", name, strings.Join(own, " and ")))
		}
		if why := inert[name]; why != "" {
			errs = append(errs, fmt.Errorf("%s has no effect here: %s: leave it out", name, why))
		}
		if _, ok := config.BrokerDef(name); !ok {
			errs = append(errs, fmt.Errorf("%s: there is no such broker config of Kafka: %s", name, adviseKafka(name)))
			delete(known, name)
		}
	}
	if _, err := config.CompileBroker(known, nil, nil); err != nil {
		errs = append(errs, fmt.Errorf("broker configs of Kafka: %s", kerr.Message(err)))
	}
	return errors.Join(errs...)
}

// adviseKafka says what to write instead of a name that is none of Kafka's.
func adviseKafka(name string) string {
	if own := strings.ReplaceAll(name, ".", "-"); known(own) {
		return "write " + own + ", a setting of the server's own"
	}
	var names []string
	if b, err := config.CompileBroker(nil, nil, nil); err == nil {
		for _, d := range b.Describe() {
			names = append(names, d.Name)
		}
	}
	if best := nearest(name, names); best != "" {
		return "write " + best
	}
	return "leave it out"
}

// static is the Kafka configs that were given, and those that the server's own settings stand for: clients read them by
// DescribeConfigs. port is the one that Kafka listens on.
func (c Config) static(port int) map[string]string {
	s := map[string]string{
		// The system sizes the sockets' buffers by the connection; a fixed size, Kafka's default, is slower.
		"socket.receive.buffer.bytes": "-1",
		"socket.send.buffer.bytes":    "-1",
	}
	maps.Copy(s, c.Kafka)
	s["node.id"] = strconv.Itoa(int(c.NodeID))
	s["broker.id"] = s["node.id"]
	s["log.dir"], s["log.dirs"] = c.DataDir, c.DataDir
	s["listeners"] = listener + "://" + hostPort(c.BindAddr, port)
	if c.AdvertisedAddr != "" {
		s["advertised.listeners"] = listener + "://" + c.advertised(port)
	}
	s["socket.request.max.bytes"] = strconv.FormatInt(c.MaxRequestSize, 10)
	if c.MaxConnections > 0 {
		s["max.connections"] = strconv.Itoa(c.MaxConnections)
	}
	return s
}

// limit has the server go by the broker's configs; what can be altered while it runs is asked for when it is needed.
func limit(o *server.Options, now func() *config.Broker) {
	b := now()
	o.MaxRequestBytes = int(b.SocketRequestMaxBytes)
	o.SendBuffer, o.ReceiveBuffer = int(b.SocketSendBufferBytes), int(b.SocketReceiveBufferBytes)
	if o.IdleTimeout = cluster.Millis(b.ConnectionsMaxIdleMs); o.IdleTimeout == 0 {
		o.IdleTimeout = 1 // as soon as possible; 0 would be the server's default
	}
	o.Limits = func() server.Limits {
		b := now()
		return server.Limits{Connections: int(b.MaxConnections), ConnectionsPerIP: int(b.MaxConnectionsPerIP)}
	}
}

func portOf(a net.Addr) int { return a.(*net.TCPAddr).Port }
