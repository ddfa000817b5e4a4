package controller

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// op is one change of a config.
type op struct {
	kind  kmsg.IncrementalAlterConfigOp
	name  string
	value *string
}

// alteration is what a request asks for one resource. With replace, configs that are not named are removed.
type alteration struct {
	resource image.Resource
	ops      []op
	replace  bool
	err      error // it is refused before it is looked at
}

// planAlteration returns the records that alter one resource's configs.
func planAlteration(img *image.Image, cfg *config.Broker, a alteration) ([]image.Record, error) {
	if a.err != nil {
		return nil, a.err
	}
	if err := checkOps(a.ops); err != nil {
		return nil, err
	}
	if err := checkResource(a.resource); err != nil {
		return nil, err
	}
	was := img.Configs(a.resource)
	is, err := a.result(was)
	if err != nil {
		return nil, err
	}
	if err := checkSize(was, is); err != nil {
		return nil, err
	}
	if err := checkOneMinISR(img, a.resource, was, is); err != nil {
		return nil, err
	}
	if err := checkResult(img, cfg, a.resource, is); err != nil {
		return nil, err
	}
	if err := checkLockout(a.resource, was, is); err != nil {
		return nil, err
	}
	return changes(a.resource, was, is), nil
}

// maxConfigs is how many bytes one resource's configs may have. A snapshot of the metadata has them in one piece, which must stay
// smaller than what it can be restored from, however many requests they came by.
const maxConfigs = 1 << 20

// checkSize lets what is too large become smaller.
func checkSize(was, is map[string]string) error {
	if size := sizeOf(is); size > maxConfigs && size > sizeOf(was) {
		longest := slices.MaxFunc(slices.Sorted(maps.Keys(is)), func(a, b string) int { return cmp.Compare(len(is[a]), len(is[b])) })
		return kerr.Detail(kerr.InvalidConfig, "The resource's configs would have %d bytes together, more than the %d that they may have; the longest is %s.",
			size, maxConfigs, longest)
	}
	return nil
}

func sizeOf(configs map[string]string) (n int) {
	for name, value := range configs {
		n += len(name) + len(value)
	}
	return n
}

func checkOps(ops []op) error {
	seen := make(map[string]bool, len(ops))
	var null []string
	for _, o := range ops {
		if seen[o.name] {
			return kerr.Detail(kerr.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[o.name] = true
		if o.kind < kmsg.IncrementalAlterConfigOpSet || o.kind > kmsg.IncrementalAlterConfigOpSubtract {
			return kerr.Detail(kerr.InvalidRequest, "Unknown operations type %d", o.kind)
		}
		if o.value == nil && o.kind != kmsg.IncrementalAlterConfigOpDelete {
			null = append(null, o.name)
		}
	}
	if len(null) > 0 {
		return kerr.Detail(kerr.InvalidRequest, "Null value not supported for : %s", strings.Join(null, ", "))
	}
	return nil
}

func checkResource(r image.Resource) error {
	switch r.Type {
	case image.TopicResource:
		if r.Name == "" {
			return kerr.Detail(kerr.InvalidRequest, "Default topic resources are not allowed.")
		}
		return config.CheckTopicName(r.Name)
	case image.BrokerResource:
		if id, err := strconv.ParseInt(r.Name, 10, 32); r.Name != "" && (err != nil || id < 0 || strconv.FormatInt(id, 10) != r.Name) {
			return kerr.Detail(kerr.InvalidRequest, "Node id must be an integer, but it is: %s", r.Name)
		}
	case image.GroupResource:
		if r.Name == "" {
			return kerr.Detail(kerr.InvalidRequest, "Default group resources are not allowed.")
		}
	default:
		return kerr.Detail(kerr.InvalidRequest, "Unknown resource type %d", r.Type)
	}
	return nil
}

// result is what the resource's configs are to be.
func (a alteration) result(was map[string]string) (map[string]string, error) {
	is := make(map[string]string, len(was)+len(a.ops))
	if !a.replace {
		maps.Copy(is, was)
	}
	for _, o := range a.ops {
		switch o.kind {
		case kmsg.IncrementalAlterConfigOpSet:
			is[o.name] = *o.value
		case kmsg.IncrementalAlterConfigOpDelete:
			delete(is, o.name)
		default:
			list, err := o.list(a.resource.Type, was)
			if err != nil {
				return nil, err
			}
			is[o.name] = list
		}
	}
	return is, nil
}

// list appends to or subtracts from a list: the one that is set, or else the default.
func (o op) list(t image.ResourceType, was map[string]string) (string, error) {
	d, ok := defOf(t, o.name)
	if !ok || d.Type != config.List {
		return "", kerr.Detail(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.", o.kind, o.name)
	}
	now, set := was[o.name]
	if !set {
		now = d.Default
	}
	list := config.Split(now)
	for _, entry := range config.Split(*o.value) {
		has := slices.Contains(list, entry)
		if o.kind == kmsg.IncrementalAlterConfigOpAppend && !has {
			list = append(list, entry)
		} else if o.kind == kmsg.IncrementalAlterConfigOpSubtract && has {
			list = slices.DeleteFunc(list, func(s string) bool { return s == entry })
		}
	}
	return strings.Join(list, ","), nil
}

func defOf(t image.ResourceType, name string) (*config.Def, bool) {
	switch t {
	case image.TopicResource:
		return config.TopicDef(name)
	case image.BrokerResource:
		return config.BrokerDef(name)
	}
	return config.GroupDef(name)
}

// checkResult refuses configs that are not valid, also together, and resources that are not there.
func checkResult(img *image.Image, cfg *config.Broker, r image.Resource, is map[string]string) error {
	switch r.Type {
	case image.TopicResource:
		if _, err := cfg.CompileTopic(is); err != nil {
			return err
		}
		if _, ok := img.TopicNamed(r.Name); !ok {
			return kerr.Detail(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", r.Name)
		}
	case image.GroupResource:
		_, err := cfg.CompileGroup(is)
		return err
	case image.BrokerResource:
		return checkBroker(img, cfg, r.Name, is)
	}
	return nil
}

// checkLockout refuses values that are valid in themselves, and are not to be given to brokers that run, as in Kafka: with 0
// connections nobody could take it back, and a default for all would cordon each of them.
func checkLockout(r image.Resource, was, is map[string]string) error {
	if r.Type != image.BrokerResource {
		return nil
	}
	if _, ok := is["cordoned.log.dirs"]; ok && r.Name == "" {
		return kerr.Detail(kerr.InvalidRequest, "Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]")
	}
	for _, name := range []string{"max.connection.creation.rate", "max.connections", "max.connections.per.ip"} {
		value, set := is[name]
		if n, err := strconv.Atoi(strings.TrimSpace(value)); set && value != was[name] && err == nil && n == 0 {
			return kerr.Detail(kerr.InvalidConfig, "Invalid %s 0: no client could connect any more, not even to take it back", name)
		}
	}
	return nil
}

// checkBroker compiles what brokers would run with, and every topic that has configs of its own on top of that: a default
// may not make invalid what stands on it. Groups are held within the bounds that a broker has; see config.Broker.Group.
func checkBroker(img *image.Image, cfg *config.Broker, name string, is map[string]string) error {
	if name != "" {
		id, _ := strconv.ParseInt(name, 10, 32) // see checkResource
		if _, ok := img.Broker(image.BrokerID(id)); !ok {
			return kerr.Detail(kerr.InvalidRequest, "No broker %s is registered.", name)
		}
		return checkAbove(img, cfg, img.Configs(image.Resource{Type: image.BrokerResource}), is)
	}
	for _, r := range img.ConfigResources(image.BrokerResource) {
		if r.Name != "" {
			if err := checkAbove(img, cfg, is, img.Configs(r)); err != nil {
				return err
			}
		}
	}
	return checkAbove(img, cfg, is, nil)
}

func checkAbove(img *image.Image, cfg *config.Broker, dynamicDefault, dynamicBroker map[string]string) error {
	b, err := cfg.With(dynamicDefault, dynamicBroker)
	if err != nil {
		return err
	}
	for _, r := range img.ConfigResources(image.TopicResource) {
		if _, err := b.CompileTopic(img.Configs(r)); err != nil {
			return kerr.Detail(kerr.Of(err), "Topic '%s': %s", r.Name, kerr.Message(err))
		}
	}
	return nil
}

// changes is the records that make one set of configs another, in the order of their names.
func changes(r image.Resource, was, is map[string]string) (recs []image.Record) {
	for _, name := range slices.Sorted(maps.Keys(is)) {
		value := is[name]
		if old, ok := was[name]; !ok || old != value {
			recs = append(recs, image.ConfigRecord{Resource: r, Name: name, Value: &value})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, ok := is[name]; !ok {
			recs = append(recs, image.ConfigRecord{Resource: r, Name: name})
		}
	}
	return recs
}
