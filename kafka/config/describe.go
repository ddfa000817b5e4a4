package config

import "slices"

// Source is where a config's value comes from, numbered as in DescribeConfigs (KIP-226).
type Source int8

const (
	DynamicTopic         Source = 1
	DynamicBroker        Source = 2
	DynamicDefaultBroker Source = 3
	StaticBroker         Source = 4
	Default              Source = 5
	DynamicGroup         Source = 8
)

// Described is one config as DescribeConfigs shows it.
type Described struct {
	*Def
	Value    *string // nil: null, or never shown
	Source   Source
	ReadOnly bool
	Synonyms []DescribedSynonym // every place that has a value, the one that counts first
}

// DescribedSynonym is one place that a config's value may come from.
type DescribedSynonym struct {
	Name   string
	Value  *string
	Source Source
}

// IsDefault says that nobody set the config.
func (d Described) IsDefault() bool { return d.Source == Default }

// DescribeTopic describes every config of a topic that has overrides set, by name.
func (b *Broker) DescribeTopic(overrides map[string]string) []Described {
	return b.describeOver(topics, DynamicTopic, overrides)
}

// DescribeGroup describes every config of a group that has overrides set, by name.
func (b *Broker) DescribeGroup(overrides map[string]string) []Described {
	return b.describeOver(groups, DynamicGroup, overrides)
}

// Describe describes every config of the broker, by name.
func (b *Broker) Describe() []Described {
	all := make([]Described, 0, len(brokers.defs))
	for _, d := range brokers.defs {
		family := families[d.Name]
		if family == nil {
			family = []string{d.Name}
		}
		from := b.sources(family)
		// What only other units say is not this config's value.
		if i := slices.IndexFunc(from, func(s DescribedSynonym) bool { return s.Name == d.Name }); i >= 0 {
			from = from[i:]
		} else {
			from = nil
		}
		v, ok := b.effective(d)
		all = append(all, describe(d, v, ok, !d.Dynamic, from))
	}
	return all
}

// DescribeDynamicDefault describes the configs that are set for all brokers of the cluster, by name: what a client sees
// that asks for the broker without a number.
func (b *Broker) DescribeDynamicDefault() (all []Described) {
	for _, d := range b.Describe() {
		d.Synonyms = slices.DeleteFunc(d.Synonyms, func(s DescribedSynonym) bool { return s.Source != DynamicDefaultBroker })
		if len(d.Synonyms) > 0 {
			d.Source, d.Value = DynamicDefaultBroker, d.Synonyms[0].Value
			all = append(all, d)
		}
	}
	return all
}

func (b *Broker) describeOver(c *catalogue, own Source, overrides map[string]string) []Described {
	all := make([]Described, 0, len(c.defs))
	for _, d := range c.defs {
		v, has := b.inherited(d)
		from := b.sourcesOf(d)
		if raw, ok := overrides[d.Name]; ok {
			if parsed, err := d.parse(raw); err == nil {
				v, has = parsed, true
			}
			from = slices.Insert(from, 0, DescribedSynonym{d.Name, shown(d, v), own})
		}
		all = append(all, describe(d, v, has, false, from))
	}
	return all
}

// sourcesOf is sources of d's synonyms. As in Kafka, the default of a coarser unit alone is not worth mentioning.
func (b *Broker) sourcesOf(d *Def) []DescribedSynonym {
	if len(d.Synonyms) == 0 {
		return nil
	}
	names := make([]string, len(d.Synonyms))
	for i, s := range d.Synonyms {
		names[i] = s.Name
	}
	from := b.sources(names)
	if len(from) > 0 && from[0].Source == Default && from[0].Name != names[0] {
		return nil
	}
	return from
}

// sources lists every place where one of the broker's configs named has a value, in order of precedence.
func (b *Broker) sources(names []string) (from []DescribedSynonym) {
	for _, l := range b.layers {
		for _, n := range names {
			if raw, ok := l.values[n]; ok {
				d := brokers.by[n]
				v, _ := d.parse(raw) // checked by CompileBroker
				from = append(from, DescribedSynonym{n, shown(d, v), l.source})
			}
		}
	}
	for _, n := range names {
		if d := brokers.by[n]; !d.Unset {
			v, _ := d.parse(d.Default)
			from = append(from, DescribedSynonym{n, shown(d, v), Default})
		}
	}
	return from
}

func describe(d *Def, v value, ok, readOnly bool, from []DescribedSynonym) Described {
	out := Described{Def: d, Source: Default, ReadOnly: readOnly, Synonyms: from}
	if ok {
		out.Value = shown(d, v)
	}
	if len(from) > 0 {
		out.Source = from[0].Source
	}
	return out
}

func shown(d *Def, v value) *string {
	if d.Sensitive {
		return nil
	}
	s := v.String()
	return &s
}

// families are the broker configs that say the same thing in different units, by each of their names.
var families = func() map[string][]string {
	f := map[string][]string{}
	for _, d := range topics.defs {
		var names []string
		for _, s := range d.Synonyms {
			names = append(names, s.Name)
		}
		for _, n := range names {
			f[n] = names
		}
	}
	return f
}()
