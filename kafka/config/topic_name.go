package config

import (
	"slices"
	"strings"

	"chronik/kafka/kerr"
)

const maxTopicName = 249

// internalTopics are names that Kafka keeps for itself; clients treat topics of these names apart. Nothing is kept in such a topic
// here: offsets and the states of share groups are in the metadata log. Who asks for one gets it with the partitions and
// replicas of any other, since there is no offsets.topic.num.partitions or the like that would say otherwise; it stays empty, and
// more partitions would cost something and help nobody.
var internalTopics = []string{"__consumer_offsets", "__transaction_state", "__share_group_state"}

// IsInternalTopic says whether a topic of that name is marked as internal.
func IsInternalTopic(name string) bool { return slices.Contains(internalTopics, name) }

// CheckTopicName refuses, with kerr.InvalidTopicException, what Kafka does not allow as a topic's name: anything but 1 to
// 249 ASCII letters, digits, '.', '_' and '-', and "." and "..".
func CheckTopicName(name string) error {
	problem := ""
	switch {
	case name == "":
		problem = "the empty string is not allowed"
	case name == "." || name == "..":
		problem = "'" + name + "' is not allowed"
	case len(name) > maxTopicName:
		problem = "the length of '" + name + "' is longer than the max allowed length 249"
	case strings.ContainsFunc(name, outsideTopicName):
		problem = "'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
	default:
		return nil
	}
	return kerr.Detail(kerr.InvalidTopicException, "Topic name is invalid: %s", problem)
}

func outsideTopicName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
}
