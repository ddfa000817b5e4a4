package member

import (
	"slices"
	"strings"
)

// Unreached is which of the nodes to join could not be reached when they were last tried, and why, for people.
func (m *Members) Unreached() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.failed)
}

func (m *Members) setFailed(failed []string) {
	m.mu.Lock()
	news := !slices.Equal(m.failed, failed)
	m.failed = failed
	m.mu.Unlock()
	if news {
		hint(m.changed)
	}
}

// refusal is what an error of memberlist's Join means to who reads it; memberlist hands on its text alone.
func refusal(err error) string {
	text := err.Error()
	for _, c := range []struct{ sign, meaning string }{
		{"decrypt", "has another cluster-key"},
		{"connection refused", "refuses the connection: nothing listens there"},
		{"EOF", "closes the connection: is it a gossip-port?"},
		{"connection reset", "closes the connection: is it a gossip-port?"},
		{"timeout", "does not answer"},
	} {
		if strings.Contains(text, c.sign) {
			return c.meaning
		}
	}
	return "is not reached (" + strings.TrimSpace(text[strings.LastIndex(text, "* ")+1:]) + ")"
}
