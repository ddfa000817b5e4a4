package cluster

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"chronik/kafka/config"
	"chronik/metalog/image"
)

// Settings is this broker's configuration, compiled anew whenever the metadata changes it: what was given at start,
// below what is set for all brokers, below what is set for this one.
type Settings struct {
	self   image.BrokerID
	static config.Static
	logger *slog.Logger
	broker atomic.Pointer[config.Broker]
	groups atomic.Pointer[groupSettings]
}

// groupSettings are the compiled configurations of groups: members ask for theirs with every request.
type groupSettings struct {
	usual config.Group            // of those that have none of their own
	own   map[string]config.Group // by group id
}

func newSettings(img *image.Image, self image.BrokerID, static map[string]string, logger *slog.Logger) (*Settings, error) {
	s := &Settings{self: self, static: static, logger: logger}
	b, err := s.compile(img)
	if err != nil {
		return nil, err
	}
	s.broker.Store(b)
	s.compileGroups(img)
	return s, nil
}

func (s *Settings) compile(img *image.Image) (*config.Broker, error) {
	b, err := config.CompileBroker(s.static,
		s.usable(img.Configs(image.Resource{Type: image.BrokerResource})),
		s.usable(img.Configs(image.Resource{Type: image.BrokerResource, Name: strconv.Itoa(int(s.self))})))
	if err != nil {
		return nil, fmt.Errorf("broker configs: %w", err)
	}
	return b, nil
}

// usable are dynamic configs without those that an older version took and this one refuses: a node must not fail to start
// because of one.
func (s *Settings) usable(values map[string]string) map[string]string {
	good := map[string]string{}
	for name, value := range values {
		if err := config.CheckDynamic(name, value); err != nil {
			s.logger.Error("a broker config is stored that this version does not take; it counts as not set", "error", err)
			continue
		}
		good[name] = value
	}
	return good
}

// compileGroups goes by the broker's configuration.
func (s *Settings) compileGroups(img *image.Image) {
	b := s.Broker()
	g := &groupSettings{usual: b.Group(nil), own: map[string]config.Group{}}
	for _, r := range img.ConfigResources(image.GroupResource) {
		g.own[r.Name] = b.Group(img.Configs(r))
	}
	s.groups.Store(g)
}

// Apply is image.Watcher's. What the controller let in compiles; should it not, the settings before stay.
func (s *Settings) Apply(d *image.Delta) {
	has := func(t image.ResourceType) bool {
		return slices.ContainsFunc(d.Configs, func(r image.Resource) bool { return r.Type == t })
	}
	changed := has(image.BrokerResource)
	if changed {
		b, err := s.compile(d.New)
		if err != nil {
			s.logger.Error("a broker config was set that does not compile; the ones before stay", "error", err)
			return
		}
		s.broker.Store(b)
	}
	if changed || has(image.GroupResource) {
		s.compileGroups(d.New)
	}
}

// Millis is a time that Kafka has in milliseconds. What is too long for a Duration is the longest one: configs that say
// "for ever" by a large number must not come out negative.
func Millis(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(ms, -most), most)) * time.Millisecond
}

// Broker is the configuration now: one atomic load.
func (s *Settings) Broker() *config.Broker { return s.broker.Load() }

// Topic is the compiled configuration of the topic with that name.
func (s *Settings) Topic(img *image.Image, name string) *config.Topic {
	t, err := s.Broker().CompileTopic(img.Configs(image.Resource{Type: image.TopicResource, Name: name}))
	if err != nil {
		s.logger.Error("a topic config was set that does not compile; the topic runs with the defaults", "topic", name, "error", err)
		t, _ = s.Broker().CompileTopic(nil)
	}
	return t
}

// Group is the compiled configuration of the group with that id, of whatever kind it is: one atomic load and a look-up.
func (s *Settings) Group(id string) config.Group {
	g := s.groups.Load()
	if own, ok := g.own[id]; ok {
		return own
	}
	return g.usual
}
