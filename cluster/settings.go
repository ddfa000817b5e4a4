package cluster

import (
	"fmt"
	"log/slog"
	"maps"
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

	refused map[stored]error // what was told to be stored and not taken; compile's, which runs once at a time

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

// stored is one dynamic config of a broker, as the metadata has it.
type stored struct{ broker, name, value string } // broker is empty where it is for all

func (s *Settings) stored(img *image.Image) (all []stored) {
	for _, broker := range []string{"", strconv.Itoa(int(s.self))} {
		values := img.Configs(image.Resource{Type: image.BrokerResource, Name: broker})
		for _, name := range slices.Sorted(maps.Keys(values)) {
			all = append(all, stored{broker, name, values[name]})
		}
	}
	return all
}

// compile leaves out what is stored and this version refuses, and tells each such value once.
func (s *Settings) compile(img *image.Image) (*config.Broker, error) {
	all := s.stored(img)
	b, refused, err := s.compileUsable(all)
	if err != nil {
		return nil, fmt.Errorf("broker configs: %w", err)
	}
	for _, c := range all {
		if err := refused[c]; err != nil && s.refused[c] == nil {
			s.logger.Error("a broker config is stored that this version does not take; it counts as not set", "config", c.name, "error", err)
		}
	}
	s.refused = refused
	return b, nil
}

// compileUsable compiles what is stored without what an older version took and this one refuses, by itself or beside others: a
// node must not fail to start because of one. Of those that do not go together the first ones count, those for all brokers before
// this one's. An error is of the static configs.
func (s *Settings) compileUsable(all []stored) (b *config.Broker, refused map[stored]error, err error) {
	refused = map[stored]error{}
	var left []stored
	for _, c := range all {
		if err := config.CheckDynamic(c.name, c.value); err != nil {
			refused[c] = err
			continue
		}
		left = append(left, c)
	}
	if b, err = s.with(left); err == nil {
		return b, refused, nil
	}
	if b, err = s.with(nil); err != nil {
		return nil, nil, err
	}
	var taken []stored
	for more := true; more; { // one may be good only beside a later one
		more = false
		left = slices.DeleteFunc(left, func(c stored) bool {
			next, err := s.with(append(slices.Clip(taken), c))
			if err != nil {
				refused[c] = err
				return false
			}
			delete(refused, c)
			b, taken, more = next, append(taken, c), true
			return true
		})
	}
	return b, refused, nil
}

func (s *Settings) with(dynamic []stored) (*config.Broker, error) {
	forAll, own := map[string]string{}, map[string]string{}
	for _, c := range dynamic {
		if c.broker == "" {
			forAll[c.name] = c.value
		} else {
			own[c.name] = c.value
		}
	}
	return config.CompileBroker(s.static, forAll, own)
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

// Apply is image.Watcher's.
func (s *Settings) Apply(d *image.Delta) {
	has := func(t image.ResourceType) bool {
		return slices.ContainsFunc(d.Configs, func(r image.Resource) bool { return r.Type == t })
	}
	changed := has(image.BrokerResource)
	if changed {
		b, err := s.compile(d.New)
		if err != nil {
			s.logger.Error("the broker's configs do not compile any more; the ones before stay", "error", err)
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
