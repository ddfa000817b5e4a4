package group

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// groupIDNotFoundVersion of OffsetCommit is the first that says that there is no such group.
const groupIDNotFoundVersion = 9

func (m *classicGroup) checkCommit(c commitRequest) kerr.Code {
	switch {
	case c.generation < 0 && m.state == empty:
		return kerr.None
	case m.state == empty && !m.exists():
		if c.version >= groupIDNotFoundVersion {
			return kerr.GroupIDNotFound
		}
		return kerr.IllegalGeneration
	case c.generation < 0 && c.memberID == "" && c.instance == "":
		return kerr.UnknownMemberID // members own the partitions
	}
	if code := m.checkMember(c.memberID, c.instance); code != kerr.None {
		return code
	}
	if c.generation != m.generation {
		return kerr.IllegalGeneration
	}
	if m.state == completingRebalance {
		return kerr.RebalanceInProgress
	}
	return kerr.None
}

// checkOffsetDeletion refuses for members that don't say what they read.
func (m *classicGroup) checkOffsetDeletion() kerr.Code {
	if m.state != empty && m.protocolType != consumerProtocol {
		return kerr.NonEmptyGroup
	}
	return kerr.None
}

// offsetsExpire is so in an empty group from when the last member left, for topics that the members of a stable group do not
// read from the commit. While members of other kinds exist, or a rebalance goes on, nothing expires.
func (m *classicGroup) offsetsExpire() (since int64, expire bool) {
	if m.state == empty && m.protocolType != "" {
		// An offset that was set for an empty group would be gone at once if only the group's age counted.
		since = m.stateSince
	}
	return since, m.state == empty || m.state == stable && m.protocolType == consumerProtocol
}

// subscribes says whether members read topic. Those whose metadata cannot be read may.
func (m *classicGroup) subscribes(topic string) bool {
	if m.protocolType != consumerProtocol {
		return false
	}
	for _, mem := range m.members {
		for _, p := range mem.protocols {
			if m.protocol != "" && p.name != m.protocol {
				continue
			}
			if topics, ok := subscription(p.metadata); !ok || slices.Contains(topics, topic) {
				return true
			}
		}
	}
	return false
}

// subscription reads the topics from a member's metadata. They come first in every version of the format, so it is read
// as its version 0, which later versions continue (ConsumerProtocolSubscription.json).
func subscription(metadata []byte) (topics []string, ok bool) {
	if len(metadata) < 2 {
		return nil, false
	}
	v0 := slices.Clone(metadata)
	binary.BigEndian.PutUint16(v0, 0)
	s := kmsg.NewConsumerMemberMetadata()
	if err := s.ReadFrom(v0); err != nil {
		return nil, false
	}
	return s.Topics, true
}
