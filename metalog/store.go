package metalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"chronik/metalog/image"
	"chronik/wal/mutant"
	"chronik/wal/vfs"
)

// backend is raft-boltdb, or in tests something that stands before it.
type backend interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// store is a backend whose every value carries a CRC-32C that is verified on every read, and whose first error of a
// write or a sync, or first damaged value, is its last word: it fails the log and refuses all writes from then on. (Left
// alone raft-boltdb carries on after a failed sync, with pages that the kernel has marked clean.)
type store struct {
	path    string
	under   backend
	failure *failure
	watch   *vfs.Watch // may be nil

	mu      sync.Mutex
	closed  bool // what goes wrong after Close is no failure
	damaged bool // bbolt may have panicked
}

// closePatience is how long a store that met damage has to close; the process is about to end, or the start to fail.
const closePatience = 200 * time.Millisecond

// mapped is address space for the file: growing the mapping waits for readers.
const mapped = 64 << 20

// openBolt opens or creates the file. The free list is rebuilt at start instead of being written with every commit.
func openBolt(path string, readOnly bool) (*raftboltdb.BoltStore, error) {
	return raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{
		Timeout:         time.Second,
		ReadOnly:        readOnly,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapped,
	}})
}

// checkBolt refuses a file that bbolt would begin anew (an empty one) or trust although it is damaged.
func checkBolt(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return damage(path + " is empty")
	}
	if err := readAll(path); err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second, InitialMmapSize: mapped})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("%s is in use by another process: %w", path, err)
	}
	if err == nil { // the lock is held: nobody writes
		err = errors.Join(checkPages(path), db.Close())
	} else if damage := checkPages(path); damage != nil {
		err = damage // says where
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readAll looks for what the disk cannot read any more. bbolt, which will look at every page, does so through a mapping
// and in a goroutine of its own: there it would end the process without a word of which file it was.
func readAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	for buf := make([]byte, 1<<20); err == nil; { // io.Copy would take 8 KiB at a time
		_, err = f.Read(buf)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// Close closes the file. bbolt lets go of its locks when it panics, unless it does so again while it rolls back, because
// what it looks at cannot be read: then it waits for itself for ever, and is left to the end of the process.
func (s *store) Close() error {
	s.mu.Lock()
	s.closed = true
	damaged := s.damaged
	s.mu.Unlock()
	if !damaged {
		return s.under.Close()
	}
	closed := make(chan error, 1)
	go func() { closed <- guard(s.under.Close) }()
	select {
	case err := <-closed:
		return err
	case <-time.After(closePatience):
		return nil
	}
}

func (s *store) FirstIndex() (index uint64, err error) {
	err = s.read("first index", func() error { index, err = s.under.FirstIndex(); return err })
	return index, err
}

func (s *store) LastIndex() (index uint64, err error) {
	err = s.read("last index", func() error { index, err = s.under.LastIndex(); return err })
	return index, err
}

func (s *store) GetLog(index uint64, entry *raft.Log) error {
	return s.read(fmt.Sprintf("entry %d", index), func() error {
		*entry = raft.Log{}
		if err := s.under.GetLog(index, entry); err != nil {
			return err
		}
		return unseal(index, entry)
	})
}

func (s *store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

func (s *store) StoreLogs(entries []*raft.Log) error {
	sealed := make([]*raft.Log, len(entries))
	for i, e := range entries {
		sealed[i] = seal(e)
	}
	return s.write("store entries", func() error { return s.under.StoreLogs(sealed) })
}

// deletedAtOnce bounds how long a compaction keeps the next entry waiting.
const deletedAtOnce = 1024

// DeleteRange deletes the beginning of the log in steps, from the front, so that a crash in between leaves a log without
// a gap. Its end (entries that another leader has overruled) goes in one step for the same reason, and so does all of it:
// a snapshot takes its place, and what was left could not be told from what came behind the snapshot.
func (s *store) DeleteRange(min, max uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if max >= last {
		return s.delete(min, max)
	}
	for ; min <= first && max-min >= deletedAtOnce; min += deletedAtOnce {
		if err := s.delete(min, min+deletedAtOnce-1); err != nil {
			return err
		}
		first = min + deletedAtOnce
	}
	return s.delete(min, max)
}

// clear deletes the whole log.
func (s *store) clear() error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	return s.delete(first, last)
}

func (s *store) delete(min, max uint64) error {
	return s.write("delete entries", func() error { return s.under.DeleteRange(min, max) })
}

// Set keeps a value of raft's (terms and votes) with its checksum behind it.
func (s *store) Set(key, value []byte) error {
	sealed := binary.BigEndian.AppendUint32(append([]byte(nil), value...), sumValue(key, value))
	return s.write("set "+string(key), func() error { return s.under.Set(key, sealed) })
}

// Get says "not found" in raft's words for a key that was never set.
func (s *store) Get(key []byte) (value []byte, err error) {
	err = s.read(string(key), func() error {
		sealed, err := s.under.Get(key)
		if err != nil {
			return err
		}
		if n := len(sealed) - 4; n >= 0 && binary.BigEndian.Uint32(sealed[n:]) == sumValue(key, sealed[:n]) {
			value = sealed[:n]
			return nil
		}
		return wrongSum
	})
	return value, err
}

// keySent is which snapshots a leader sent: index and term of each that is there, and of the one that comes.
var keySent = []byte("ChronikSent")

const sentSize = 16

// noteSent notes that a leader sends the snapshot of that entry. Of those before only the ones that are there are
// remembered: attempts may fail as often as they like.
func (s *store) noteSent(index, term uint64, there []*raft.SnapshotMeta) error {
	var b []byte
	for _, m := range there {
		sent, err := s.wasSent(m.Index, m.Term)
		if err != nil {
			return err
		}
		if sent {
			b = appendSent(b, m.Index, m.Term)
		}
	}
	return s.Set(keySent, appendSent(b, index, term))
}

func appendSent(b []byte, index, term uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, index), term)
}

// wasSent says whether a leader sent the snapshot of that entry.
func (s *store) wasSent(index, term uint64) (bool, error) {
	b, err := s.get(keySent)
	for ; err == nil && len(b) >= sentSize; b = b[sentSize:] {
		if binary.BigEndian.Uint64(b) == index && binary.BigEndian.Uint64(b[8:]) == term {
			return true, nil
		}
	}
	return false, err
}

// identity is who the store belongs to.
func (s *store) identity() (identity, error) {
	b, err := s.Get(keyIdentity)
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return identity{}, fmt.Errorf("%s: the identity is missing: %w", s.path, err)
	}
	if err != nil {
		return identity{}, err
	}
	i, err := parseIdentity(b)
	if err != nil {
		return i, fmt.Errorf("%s: identity: %w", s.path, err)
	}
	return i, nil
}

func (s *store) SetUint64(key []byte, v uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, v))
}

func (s *store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, s.failed(string(key), damage(fmt.Sprintf("%d bytes instead of 8", len(value))))
	}
	return binary.BigEndian.Uint64(value), nil
}

func (s *store) read(what string, op func() error) error {
	err := guard(op)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return err
	}
	return s.failed(what, err)
}

func (s *store) write(what string, op func() error) error {
	if err := s.failure.err(); err != nil {
		return err
	}
	watched := s.watch.Begin(what, "metalog", storeFile)
	err := guard(op)
	s.watch.End(watched)
	if err != nil {
		return s.failed(what, err)
	}
	return nil
}

func (s *store) failed(what string, err error) error {
	err = fmt.Errorf("%s: %s: %w", s.path, what, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = s.damaged || errors.Is(err, image.ErrCorrupt)
	if !s.closed {
		s.failure.set(err)
	}
	return err
}

// guard makes errors of the panics, and of the faults of the memory mapping, with which bbolt meets damaged pages.
func guard(op func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v: %w", p, image.ErrCorrupt)
		}
	}()
	return op()
}

// seal is a copy of the entry whose extensions end with a checksum of it. AppendedAt is left out: raft reports it, and
// relies on it for nothing.
func seal(entry *raft.Log) *raft.Log {
	sealed := *entry
	sealed.Extensions = binary.BigEndian.AppendUint32(append([]byte(nil), entry.Extensions...), sumEntry(entry))
	return &sealed
}

func unseal(index uint64, entry *raft.Log) error {
	n := len(entry.Extensions) - 4
	if n < 0 {
		return damage("its checksum is missing")
	}
	if entry.Index != index {
		return damage(fmt.Sprintf("it is entry %d", entry.Index))
	}
	want := binary.BigEndian.Uint32(entry.Extensions[n:])
	if entry.Extensions = entry.Extensions[:n]; n == 0 {
		entry.Extensions = nil
	}
	if sumEntry(entry) != want && !mutant.On(mutant.TrustRaftEntries) {
		return wrongSum
	}
	return nil
}

func sumEntry(entry *raft.Log) uint32 {
	head := make([]byte, 0, 25)
	head = binary.BigEndian.AppendUint64(head, entry.Index)
	head = binary.BigEndian.AppendUint64(head, entry.Term)
	head = append(head, byte(entry.Type))
	head = binary.BigEndian.AppendUint64(head, uint64(len(entry.Extensions)))
	sum := crc32.Checksum(head, castagnoli)
	return crc32.Update(crc32.Update(sum, castagnoli, entry.Extensions), castagnoli, entry.Data)
}

func sumValue(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// raftStore is the store as raft gets it. Raft takes an error of its store for a reason to step down and stand for the
// next election, or to panic; after a failure it must do neither. So the goroutine of raft's that meets one ends. Its
// deferred calls answer what is in flight, and this node falls silent.
type raftStore struct{ *store }

func (s raftStore) GetLog(index uint64, entry *raft.Log) error {
	return s.orEnd(s.store.GetLog(index, entry))
}
func (s raftStore) StoreLog(entry *raft.Log) error       { return s.orEnd(s.store.StoreLog(entry)) }
func (s raftStore) StoreLogs(entries []*raft.Log) error  { return s.orEnd(s.store.StoreLogs(entries)) }
func (s raftStore) DeleteRange(min, max uint64) error    { return s.orEnd(s.store.DeleteRange(min, max)) }
func (s raftStore) Set(key, value []byte) error          { return s.orEnd(s.store.Set(key, value)) }
func (s raftStore) SetUint64(key []byte, v uint64) error { return s.orEnd(s.store.SetUint64(key, v)) }

func (s raftStore) noteSent(index, term uint64, there []*raft.SnapshotMeta) error {
	return s.orEnd(s.store.noteSent(index, term, there))
}

// IsMonotonic has raft delete the whole log when it installs a snapshot that a leader sent: entries would be missing
// between the log and what comes behind the snapshot.
func (raftStore) IsMonotonic() bool { return true }

func (s raftStore) orEnd(err error) error {
	if err != nil && s.failure.err() != nil {
		runtime.Goexit()
	}
	return err
}
