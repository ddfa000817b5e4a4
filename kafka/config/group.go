package config

import (
	"maps"
	"slices"
	"strings"

	"chronik/kafka/kerr"
)

// Group is a group's configuration, compiled: that of every kind of group, since a config may be set before anyone joins.
// Times are milliseconds.
type Group struct {
	Consumer ConsumerGroup
	Share    ShareGroup
	Streams  StreamsGroup
}

// ConsumerGroup is what a group of KIP-848 goes by.
type ConsumerGroup struct {
	AssignmentIntervalMs int32
	HeartbeatIntervalMs  int32
	SessionTimeoutMs     int32
}

// ShareGroup is what a group of KIP-932 goes by.
type ShareGroup struct {
	AssignmentIntervalMs    int32
	AutoOffsetReset         OffsetReset
	DeliveryCountLimit      int32
	HeartbeatIntervalMs     int32
	PartitionMaxRecordLocks int32
	ReadCommitted           bool // share.isolation.level
	RecordLockDurationMs    int32
	RenewAcknowledge        bool
	SessionTimeoutMs        int32
}

// StreamsGroup is what a group of KIP-1071 goes by.
type StreamsGroup struct {
	AssignmentIntervalMs    int32
	Assignor                string // streams.assignor.name, or the broker's first
	HeartbeatIntervalMs     int32
	InitialRebalanceDelayMs int32
	NumStandbyReplicas      int32
	RackAwareTags           []string
	SessionTimeoutMs        int32
}

// CompileGroup checks and compiles a group's own configs over the broker's defaults. The error is a kerr.InvalidConfig.
func (b *Broker) CompileGroup(overrides map[string]string) (Group, error) {
	g := b.group
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		v, err := groups.parse(name, overrides[name])
		if err != nil {
			return Group{}, err
		}
		g.set(name, v)
	}
	for _, i := range groupInts {
		if _, own := overrides[i.name]; own {
			if err := b.checkRange(i, *i.field(&g)); err != nil {
				return Group{}, err
			}
		}
	}
	for _, p := range g.pairs() {
		if p.session <= p.heartbeat {
			return Group{}, kerr.Detail(kerr.InvalidConfig, "%s.session.timeout.ms must be greater than %s.heartbeat.interval.ms", p.kind, p.kind)
		}
	}
	return g, nil
}

// Group is CompileGroup for configs that were let in: what the broker's bounds no longer allow becomes the nearest value
// that they do, and what makes no sense any more the broker's default (KIP-1240).
func (b *Broker) Group(overrides map[string]string) Group {
	g := b.group
	for name, raw := range overrides {
		if v, err := groups.parse(name, raw); err == nil {
			g.set(name, v)
		}
	}
	for _, i := range groupInts {
		least, most := b.bounds(i)
		*i.field(&g) = min(max(*i.field(&g), least), most)
	}
	for _, p := range g.pairs() {
		if p.session <= p.heartbeat {
			for _, i := range groupInts {
				if i.name == p.kind+".session.timeout.ms" || i.name == p.kind+".heartbeat.interval.ms" {
					*i.field(&g) = *i.field(&b.group)
				}
			}
		}
	}
	return g
}

// groupInt is a number that a group may set. Its default is the broker config of the same name after "group."; further
// broker configs, where they are in the catalogue, say how small and how large it may be.
type groupInt struct {
	name  string
	field func(*Group) *int32
	most  string // the name of the latter, if it is not the usual one
}

var groupInts = []groupInt{
	{name: "consumer.assignment.interval.ms", field: func(g *Group) *int32 { return &g.Consumer.AssignmentIntervalMs }},
	{name: "consumer.heartbeat.interval.ms", field: func(g *Group) *int32 { return &g.Consumer.HeartbeatIntervalMs }},
	{name: "consumer.session.timeout.ms", field: func(g *Group) *int32 { return &g.Consumer.SessionTimeoutMs }},
	{name: "share.assignment.interval.ms", field: func(g *Group) *int32 { return &g.Share.AssignmentIntervalMs }},
	{name: "share.delivery.count.limit", field: func(g *Group) *int32 { return &g.Share.DeliveryCountLimit }},
	{name: "share.heartbeat.interval.ms", field: func(g *Group) *int32 { return &g.Share.HeartbeatIntervalMs }},
	{name: "share.partition.max.record.locks", field: func(g *Group) *int32 { return &g.Share.PartitionMaxRecordLocks }},
	{name: "share.record.lock.duration.ms", field: func(g *Group) *int32 { return &g.Share.RecordLockDurationMs }},
	{name: "share.session.timeout.ms", field: func(g *Group) *int32 { return &g.Share.SessionTimeoutMs }},
	{name: "streams.assignment.interval.ms", field: func(g *Group) *int32 { return &g.Streams.AssignmentIntervalMs }},
	{name: "streams.heartbeat.interval.ms", field: func(g *Group) *int32 { return &g.Streams.HeartbeatIntervalMs }},
	{name: "streams.initial.rebalance.delay.ms", field: func(g *Group) *int32 { return &g.Streams.InitialRebalanceDelayMs }},
	{name: "streams.num.standby.replicas", field: func(g *Group) *int32 { return &g.Streams.NumStandbyReplicas }, most: "group.streams.max.standby.replicas"},
	{name: "streams.session.timeout.ms", field: func(g *Group) *int32 { return &g.Streams.SessionTimeoutMs }},
}

// groupFields are the group configs that are no numbers.
var groupFields = map[string]func(*Group, value){
	"share.auto.offset.reset":            func(g *Group, v value) { g.Share.AutoOffsetReset, _ = parseOffsetReset(v.text) },
	"share.isolation.level":              func(g *Group, v value) { g.Share.ReadCommitted = v.text == "read_committed" },
	"share.renew.acknowledge.enable":     func(g *Group, v value) { g.Share.RenewAcknowledge = v.bool },
	"streams.assignor.name":              func(g *Group, v value) { g.Streams.Assignor = v.text },
	"streams.rack.aware.assignment.tags": func(g *Group, v value) { g.Streams.RackAwareTags = v.list },
}

func (g *Group) set(name string, v value) {
	if set := groupFields[name]; set != nil {
		set(g, v)
		return
	}
	for _, i := range groupInts {
		if i.name == name {
			*i.field(g) = int32(v.int)
		}
	}
}

// bounded names the broker's configs that say how small and how large i may be; "" where there is none.
func (i groupInt) bounded() (least, most string) {
	kind, rest, _ := strings.Cut(i.name, ".")
	least, most = "group."+kind+".min."+rest, "group."+kind+".max."+rest
	if i.most != "" {
		most = i.most
	}
	if brokers.by[least] == nil {
		least = ""
	}
	if brokers.by[most] == nil {
		most = ""
	}
	return least, most
}

// bounds is how small and how large a group's i may be.
func (b *Broker) bounds(i groupInt) (least, most int32) {
	atLeast, atMost := i.bounded()
	least, most = 0, 1<<31-1
	if atLeast != "" {
		v, _ := b.effective(brokers.by[atLeast])
		least = int32(v.int)
	}
	if atMost != "" {
		v, _ := b.effective(brokers.by[atMost])
		most = int32(v.int)
	}
	return least, most
}

func (b *Broker) checkRange(i groupInt, v int32) error {
	least, most := b.bounds(i)
	if v >= least && v <= most {
		return nil
	}
	if from, _ := i.bounded(); from == "" {
		return kerr.Detail(kerr.InvalidConfig, "%s must be less than or equal to %d", i.name, most)
	}
	return kerr.Detail(kerr.InvalidConfig, "%s must be in the range %d to %d inclusive.", i.name, least, most)
}

// compileGroupDefaults compiles what groups default to, and refuses what no group could run with.
func (b *Broker) compileGroupDefaults() error {
	for _, d := range groups.defs {
		if v, ok := b.inherited(d); ok {
			b.group.set(d.Name, v)
		}
	}
	for _, i := range groupInts {
		if err := b.checkDefault(i, *i.field(&b.group)); err != nil {
			return err
		}
	}
	for _, p := range b.group.pairs() {
		if p.session <= p.heartbeat {
			return kerr.Detail(kerr.InvalidConfig, "group.%s.heartbeat.interval.ms must be less than group.%s.session.timeout.ms", p.kind, p.kind)
		}
	}
	if b.ShareMaxSessions < b.ShareGroupMaxSize { // each member has a session where it fetches
		return kerr.Detail(kerr.InvalidConfig, "group.share.max.share.sessions must be greater than or equal to group.share.max.size")
	}
	return nil
}

func (b *Broker) checkDefault(i groupInt, v int32) error {
	least, most := b.bounds(i)
	from, to := i.bounded()
	switch {
	case least > most:
		return kerr.Detail(kerr.InvalidConfig, "%s must be greater than or equal to %s", to, from)
	case v < least:
		return kerr.Detail(kerr.InvalidConfig, "group.%s must be greater than or equal to %s", i.name, from)
	case v > most:
		return kerr.Detail(kerr.InvalidConfig, "group.%s must be less than or equal to %s", i.name, to)
	}
	return nil
}

// pair is two times of one kind of group of which the first must be the longer one.
type pair struct {
	kind               string
	session, heartbeat int32
}

func (g *Group) pairs() [3]pair {
	return [...]pair{
		{"consumer", g.Consumer.SessionTimeoutMs, g.Consumer.HeartbeatIntervalMs},
		{"share", g.Share.SessionTimeoutMs, g.Share.HeartbeatIntervalMs},
		{"streams", g.Streams.SessionTimeoutMs, g.Streams.HeartbeatIntervalMs},
	}
}
