package image

import (
	"fmt"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"chronik/kafka/kerr"
)

// GroupKind is the protocol by which a group's members share the work. A group id has one kind at a time.
type GroupKind int8

const (
	ClassicGroup  GroupKind = iota // JoinGroup and SyncGroup: a member assigns
	ConsumerGroup                  // KIP-848
	ShareGroup                     // KIP-932
	StreamsGroup                   // KIP-1071
)

// String is Kafka's name of the kind, as ListGroups shows it.
func (k GroupKind) String() string {
	if k < ClassicGroup || k > StreamsGroup {
		return "Unknown"
	}
	return [...]string{"Classic", "Consumer", "Share", "Streams"}[k]
}

// GroupState is what a group of a newer kind keeps: values by keys that only its coordinator understands. The zero value is
// empty. It never changes.
type GroupState struct{ tree *iradix.Tree[[]byte] }

// GroupEntry is a key with its value; a nil Value removes it.
type GroupEntry struct{ Key, Value []byte }

// Get is the value of key; the caller must not change it.
func (s GroupState) Get(key []byte) ([]byte, bool) {
	if s.tree == nil {
		return nil, false
	}
	return s.tree.Get(key)
}

// Len is how many keys there are.
func (s GroupState) Len() int {
	if s.tree == nil {
		return 0
	}
	return s.tree.Len()
}

// Walk goes through the entries whose key begins with prefix, sorted by key, until fn returns false.
func (s GroupState) Walk(prefix []byte, fn func(GroupEntry) bool) {
	if s.tree != nil {
		s.tree.Root().WalkPrefix(prefix, func(key, value []byte) bool { return !fn(GroupEntry{key, value}) })
	}
}

// With is s with the entries set and removed, in turn.
func (s GroupState) With(entries ...GroupEntry) GroupState {
	if s.tree == nil {
		s.tree = iradix.New[[]byte]()
	}
	txn := s.tree.Txn()
	for _, e := range entries {
		if e.Value == nil {
			txn.Delete(e.Key)
		} else {
			txn.Insert(e.Key, e.Value)
		}
	}
	if s.tree = txn.CommitOnly(); s.tree.Len() == 0 {
		s.tree = nil
	}
	return s
}

// String is for people who look for a difference.
func (s GroupState) String() string {
	var b strings.Builder
	s.Walk(nil, func(e GroupEntry) bool { fmt.Fprintf(&b, "%x=%x ", e.Key, e.Value); return true })
	return b.String()
}

func (c *change) groupState(r GroupStateRecord) error {
	if err := c.owned(r.Group, r.Owner, r.OwnerEpoch, r.OwnerSince); err != nil {
		return err
	}
	if r.GroupKind <= ClassicGroup || r.GroupKind > StreamsGroup {
		return kerr.Detail(kerr.InvalidRequest, "no group of kind %d keeps entries", r.GroupKind)
	}
	c.noteTurns(r.OwnerEpoch, r.OwnerSince)
	g := &Group{ID: r.Group, Kind: r.GroupKind}
	if was, ok := c.groups.get([]byte(r.Group)); ok && was.Kind == r.GroupKind {
		g.State = was.State
	}
	g.State = g.State.With(r.Entries...)
	c.groups.put([]byte(r.Group), g)
	c.touchedGroups.add(r.Group)
	return nil
}

func writeGroupState(dst []byte, r GroupStateRecord) []byte {
	return appendOwner(writeGroupEntries(dst, r), r.Owner, r.OwnerEpoch, r.OwnerSince)
}

// writeGroupEntries is how a snapshot has them.
func writeGroupEntries(dst []byte, r GroupStateRecord) []byte {
	return appendList(appendInt(appendString(dst, r.Group), r.GroupKind), r.Entries, appendGroupEntry)
}

func readGroupState(f *fields) GroupStateRecord {
	r := readGroupEntries(f)
	r.Owner, r.OwnerEpoch = readOwner(f)
	r.OwnerSince = number[int64](f)
	return r
}

func readGroupEntries(f *fields) GroupStateRecord {
	return GroupStateRecord{Group: f.string(), GroupKind: number[GroupKind](f), Entries: list(f, readGroupEntry)}
}

// appendGroupEntry tells a value that is empty from one that goes.
func appendGroupEntry(dst []byte, e GroupEntry) []byte {
	dst = appendBool(appendString(dst, e.Key), e.Value != nil)
	if e.Value != nil {
		dst = appendString(dst, e.Value)
	}
	return dst
}

func readGroupEntry(f *fields) GroupEntry {
	e := GroupEntry{Key: f.bytes()}
	if f.bool() {
		e.Value = append([]byte{}, f.take(f.uint())...)
	}
	return e
}
