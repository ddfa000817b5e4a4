package config

import (
	"strings"
	"testing"

	"chronik/kafka/kerr"
)

func TestCheckTopicName(t *testing.T) {
	for name, problem := range map[string]string{
		"a":                      "",
		"A.b_c-9":                "",
		"...":                    "",
		"__consumer_offsets":     "",
		strings.Repeat("x", 249): "",
		"":                       "the empty string is not allowed",
		".":                      "'.' is not allowed",
		"..":                     "'..' is not allowed",
		"x/y":                    "'x/y' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"é":                      "'é' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"a\x00":                  "'a\x00' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		strings.Repeat("x", 250): "the length of '" + strings.Repeat("x", 250) + "' is longer than the max allowed length 249",
	} {
		err := CheckTopicName(name)
		if problem == "" && err == nil {
			continue
		}
		if kerr.Of(err) != kerr.InvalidTopicException || kerr.Message(err) != "Topic name is invalid: "+problem {
			t.Errorf("%q: %v, want %s", name, err, problem)
		}
	}
}
