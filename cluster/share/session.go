package share

import (
	"context"
	"math"
	"slices"
	"sync"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Share sessions: a member names to each broker the partitions that it fetches there, once, and then only what changed. A
// session belongs to a connection: when that ends, what the member had acquired by it is free again.

// The session epochs that are no numbers of requests.
const (
	OpenEpoch  = 0
	CloseEpoch = -1
)

type sessionKey struct{ group, member string }

type session struct {
	epoch      int32 // that the next request must carry
	partitions []image.TopicPartition
	detach     func() bool // from its connection
}

// sessions are this node's; the zero value is ready.
type sessions struct {
	mu  sync.Mutex
	all map[sessionKey]*session
}

// Session is what a request of a member is about.
type Session struct {
	Group, Member string
	Epoch         int32
}

// Fetch takes a ShareFetch into its session, and returns the session's partitions in the order in which they are to be
// served, each first in turn. conn ends with the connection. acknowledges says that the request acknowledges something,
// which no first request can. SHARE_SESSION_NOT_FOUND, INVALID_SHARE_SESSION_EPOCH, SHARE_SESSION_LIMIT_REACHED,
// INVALID_REQUEST.
func (m *Manager) Fetch(conn context.Context, s Session, add, forget []image.TopicPartition, acknowledges bool) ([]image.TopicPartition, error) {
	if s.Epoch == CloseEpoch {
		return nil, m.sessions.advance(s)
	}
	if s.Epoch == OpenEpoch {
		if acknowledges {
			return nil, kerr.Detail(kerr.InvalidRequest, "a session begins without acknowledgements")
		}
		return m.open(conn, s, add)
	}
	if err := m.sessions.advance(s); err != nil {
		return nil, err
	}
	return m.sessions.update(s, add, forget), nil
}

// Acknowledging takes a ShareAcknowledge into its session, which must be there.
func (m *Manager) Acknowledging(s Session) error {
	if s.Epoch == OpenEpoch {
		return kerr.InvalidShareSessionEpoch
	}
	return m.sessions.advance(s)
}

// End closes the session, and gives back what its member has: the answers by partition come when that is agreed on.
func (m *Manager) End(s Session) map[image.TopicPartition]*Waits {
	was := m.sessions.remove(s.key(), nil)
	if was == nil {
		return nil
	}
	was.detach()
	released := map[image.TopicPartition]*Waits{}
	for _, p := range was.partitions {
		released[p] = m.Release(Key{s.Group, p}, s.Member)
	}
	return released
}

func (s Session) key() sessionKey { return sessionKey{s.Group, s.Member} }

// open begins a session in the place of the member's last one. What that had acquired stays so until it is acknowledged, or
// for too long.
func (m *Manager) open(conn context.Context, s Session, partitions []image.TopicPartition) ([]image.TopicPartition, error) {
	is := &session{epoch: 1}
	is.change(partitions, nil)
	partitions = slices.Clone(is.partitions)
	is.detach = context.AfterFunc(conn, func() { m.lost(s, is) })
	was, err := m.sessions.put(s.key(), is, m.options.MaxSessions())
	if err != nil {
		is.detach()
		return nil, err
	}
	if was != nil {
		was.detach()
	}
	if conn.Err() != nil { // before the session was there to be lost
		m.lost(s, is)
	}
	return partitions, nil
}

// lost ends a session whose connection has ended. Nobody waits.
func (m *Manager) lost(s Session, is *session) {
	if m.sessions.remove(s.key(), is) == nil {
		return
	}
	for _, p := range is.partitions {
		m.give(Key{s.Group, p}, s.Member)
	}
}

// Keep is for who has acquired something in a session: when that has ended meanwhile, the partitions' records are given back, as
// they were when it ended.
func (m *Manager) Keep(s Session, partitions []image.TopicPartition) {
	m.sessions.mu.Lock()
	lives := m.sessions.all[s.key()] != nil
	m.sessions.mu.Unlock()
	if lives {
		return
	}
	for _, p := range partitions {
		m.give(Key{s.Group, p}, s.Member)
	}
}

func (ss *sessions) put(k sessionKey, is *session, most int) (was *session, err error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.all == nil {
		ss.all = map[sessionKey]*session{}
	}
	if was = ss.all[k]; was == nil && len(ss.all) >= most {
		return nil, kerr.ShareSessionLimitReached
	}
	ss.all[k] = is
	return was, nil
}

// remove forgets the session of k, if it is this one; nil for any.
func (ss *sessions) remove(k sessionKey, this *session) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	was := ss.all[k]
	if was == nil || this != nil && was != this {
		return nil
	}
	delete(ss.all, k)
	return was
}

// advance checks a request's epoch. One that closes the session may come at any time.
func (ss *sessions) advance(s Session) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	is := ss.all[s.key()]
	switch {
	case is == nil:
		return kerr.ShareSessionNotFound
	case s.Epoch == CloseEpoch:
		return nil
	case s.Epoch != is.epoch:
		return kerr.Detail(kerr.InvalidShareSessionEpoch, "the request has epoch %d, the session %d", s.Epoch, is.epoch)
	case is.epoch == math.MaxInt32:
		is.epoch = 1
	default:
		is.epoch++
	}
	return nil
}

// change takes partitions out of the session and others into it, in their order. There may be very many: every session of
// this node waits meanwhile.
func (is *session) change(add, forget []image.TopicPartition) {
	if len(add)+len(forget) == 0 {
		return
	}
	gone, has := map[image.TopicPartition]bool{}, map[image.TopicPartition]bool{}
	for _, p := range forget {
		gone[p] = true
	}
	is.partitions = slices.DeleteFunc(is.partitions, func(p image.TopicPartition) bool { return gone[p] })
	for _, p := range is.partitions {
		has[p] = true
	}
	for _, p := range add {
		if !has[p] {
			has[p], is.partitions = true, append(is.partitions, p)
		}
	}
}

func (ss *sessions) update(s Session, add, forget []image.TopicPartition) []image.TopicPartition {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	is := ss.all[s.key()]
	if is == nil {
		return nil // closed meanwhile
	}
	is.change(add, forget)
	if n := len(is.partitions); n > 0 {
		turn := int(s.Epoch) % n
		return slices.Concat(is.partitions[turn:], is.partitions[:turn])
	}
	return nil
}
