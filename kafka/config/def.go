package config

import "chronik/kafka/kerr"

// Type is Kafka's type of a config's value, numbered as in DescribeConfigs.
type Type int8

const (
	Boolean Type = iota + 1
	String
	Int
	Short
	Long
	Double
	List
	Class
	Password
)

// String is Kafka's name of the type, "LONG".
func (t Type) String() string {
	return [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}[t]
}

// Importance is how likely an operator is to need a config.
type Importance string

const (
	High   Importance = "high"
	Medium Importance = "medium"
	Low    Importance = "low"
)

// Def defines one config.
type Def struct {
	Name       string
	Type       Type
	Default    string
	Unset      bool  // it has no default: null, not ""
	Valid      Valid // beyond what Type asks for
	Doc        string
	Importance Importance
	Synonyms   []Synonym // of a topic's or a group's config: the broker's configs that give its default, the first that is set
	Dynamic    bool      // a broker's config that may be altered while the broker runs; topics' and groups' always may
	Sensitive  bool      // its value is never shown
}

// Synonym is a broker config that stands for another one, in a unit that is Millis milliseconds long; 0: in the same unit.
type Synonym struct {
	Name   string
	Millis int64
}

// catalogue is a table of configs that can be looked up.
type catalogue struct {
	kind string // in messages: "topic"
	defs []*Def // by name
	by   map[string]*Def
}

// CheckTopic and CheckBroker refuse a name that is not in the catalogue and a value that is not valid, each
// by itself; what values mean together is checked by the Compile functions. The error is a kerr.InvalidConfig.
func CheckTopic(name, value string) error  { return topics.check(name, value) }
func CheckBroker(name, value string) error { return brokers.check(name, value) }

// TopicDef, BrokerDef and GroupDef look a config up.
func TopicDef(name string) (*Def, bool)  { return topics.def(name) }
func BrokerDef(name string) (*Def, bool) { return brokers.def(name) }
func GroupDef(name string) (*Def, bool)  { return groups.def(name) }

func (c *catalogue) def(name string) (*Def, bool) {
	d, ok := c.by[name]
	return d, ok
}

func (c *catalogue) check(name, raw string) error {
	_, err := c.parse(name, raw)
	return err
}

func (c *catalogue) parse(name, raw string) (value, error) {
	d, ok := c.by[name]
	if !ok {
		return value{}, kerr.Detail(kerr.InvalidConfig, "Unknown %s config name: %s", c.kind, name)
	}
	return d.parse(raw)
}
