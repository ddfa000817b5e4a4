package partlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"chronik/wal"
)

// checkpointVersion is the first byte of a checkpoint; FORMAT.md describes it. Version 1 had no timestamps of batches,
// version 2 nothing of replication.
const checkpointVersion = 3

// saved is what a checkpoint says of one log: how far segments hold it, and what its batches below asOf have taught.
// Those batches were durable before the checkpoint was written.
type saved struct {
	id         ID
	dying      bool // deleted; its files are still to be removed
	start, cut int64
	asOf       int64
	untimed    int64
	epochs     epochs
	producers  []producer
	aborted    []rolledBack
	truncated  int64 // the states are those after the truncation that lies there in the write-ahead log, and those before it
	stable     int64
	ended      []endedTxn
}

// checkpoint writes down what the write-ahead log's oldest entries would tell, which frees their files.
func (s *Store) checkpoint() error {
	s.facts.mu.Lock()
	facts := s.facts.count
	s.facts.mu.Unlock()
	payload := s.snapshot(facts)
	if err := s.barrier(); err != nil {
		return err
	}
	if err := s.ground(); err != nil {
		return err
	}
	s.wal.Trim(factStream, facts)
	if err := s.wal.Checkpoint(payload); err != nil {
		return s.fail(fmt.Errorf("write the checkpoint: %w", err))
	}
	s.measure()
	return nil
}

// snapshot encodes every log that has something to say. Only what the barrier after it makes durable is in it.
func (s *Store) snapshot(facts int64) []byte {
	s.truncating.Lock()
	defer s.truncating.Unlock()
	b := []byte{checkpointVersion}
	b = binary.AppendUvarint(b, uint64(facts))
	logs, graves := s.everybody()
	for _, l := range logs {
		if v, any := l.save(); any {
			b = v.append(append(b, 1))
		}
	}
	for _, g := range graves {
		v := saved{id: g.id, dying: true}
		b = v.append(append(b, 1))
	}
	return append(b, 0)
}

// everybody lists the logs and the deleted ones as of one moment: none is in both, or in neither.
func (s *Store) everybody() (logs []*Log, graves []grave) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.logs)), slices.Collect(maps.Values(s.dying))
}

func (l *Log) save() (saved, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := saved{
		id: l.id, start: l.starting, cut: l.cut, asOf: l.end, untimed: l.untimed,
		epochs: append(epochs(nil), l.epochs...), aborted: append([]rolledBack(nil), l.txns.aborted...),
		truncated: l.truncated, stable: l.stable.Load(), ended: append([]endedTxn(nil), l.txns.ended...),
	}
	for _, p := range l.producers {
		v.producers = append(v.producers, *p)
	}
	return v, v.asOf > 0 || v.truncated > 0
}

func (v *saved) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(v.id.Stream))
	b = append(b, v.id.Topic[:]...)
	b = binary.AppendVarint(b, int64(v.id.Partition))
	if v.dying {
		return append(b, 1)
	}
	b = append(b, 0)
	for _, n := range []int64{v.start, v.cut, v.asOf, v.untimed, int64(len(v.epochs))} {
		b = binary.AppendVarint(b, n)
	}
	for _, e := range v.epochs {
		b = binary.AppendVarint(binary.AppendVarint(b, int64(e.epoch)), e.start)
	}
	b = binary.AppendVarint(b, int64(len(v.producers)))
	for i := range v.producers {
		b = v.producers[i].append(b)
	}
	b = binary.AppendVarint(b, int64(len(v.aborted)))
	for _, a := range v.aborted {
		b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, a.producer), a.first), a.marker)
	}
	b = binary.AppendVarint(binary.AppendVarint(b, v.truncated), v.stable)
	b = binary.AppendVarint(b, int64(len(v.ended)))
	for _, e := range v.ended {
		for _, n := range []int64{e.first, e.marker, e.producer, int64(e.epoch)} {
			b = binary.AppendVarint(b, n)
		}
	}
	return b
}

func (p *producer) append(b []byte) []byte {
	for _, n := range []int64{p.id, int64(p.epoch), p.lastTime, p.txnFirst, int64(p.count)} {
		b = binary.AppendVarint(b, n)
	}
	for i := p.count; i > 0; i-- { // oldest first
		m := p.batches[(p.newest+remembered+1-i)%remembered]
		b = binary.AppendVarint(b, m.lastOffset)
		b = binary.AppendVarint(b, int64(m.lastSeq))
		b = binary.AppendVarint(b, int64(m.delta))
		b = binary.AppendVarint(b, m.time)
	}
	return b
}

var errCheckpoint = errors.New("partlog: the checkpoint does not hold together")

// decodeCheckpoint calls fn for each log in it.
func decodeCheckpoint(payload []byte, fn func(*saved) error) (facts int64, err error) {
	d := decoder{left: payload}
	if d.version = d.byte(); d.version < 1 || d.version > checkpointVersion {
		return 0, fmt.Errorf("partlog: checkpoint of version %d, this program reads versions up to %d", d.version, checkpointVersion)
	}
	facts = int64(d.uvarint())
	for d.byte() == 1 && !d.bad {
		v := d.saved()
		if d.bad {
			break
		}
		if err := fn(v); err != nil {
			return 0, err
		}
	}
	if d.bad || len(d.left) > 0 {
		return 0, errCheckpoint
	}
	return facts, nil
}

// decoder reads a checkpoint; bad says that it ran out of bytes or met a number that makes no sense.
type decoder struct {
	left    []byte
	bad     bool
	version byte
}

func (d *decoder) saved() *saved {
	v := &saved{id: ID{Stream: wal.StreamID(d.uvarint())}}
	copy(v.id.Topic[:], d.bytes(len(uuid.UUID{})))
	v.id.Partition = int32(d.varint())
	if v.dying = d.byte() == 1; v.dying {
		return v
	}
	v.start, v.cut, v.asOf, v.untimed = d.varint(), d.varint(), d.varint(), d.varint()
	for range d.count() {
		v.epochs = append(v.epochs, epochStart{int32(d.varint()), d.varint()})
	}
	for range d.count() {
		v.producers = append(v.producers, d.producer())
	}
	for range d.count() {
		v.aborted = append(v.aborted, rolledBack{d.varint(), d.varint(), d.varint()})
	}
	if d.version < 3 {
		v.stable = v.asOf // there were no other replicas
		return v
	}
	v.truncated, v.stable = d.varint(), d.varint()
	for range d.count() {
		v.ended = append(v.ended, endedTxn{d.varint(), d.varint(), d.varint(), int16(d.varint())})
	}
	return v
}

func (d *decoder) producer() producer {
	p := producer{id: d.varint(), epoch: int16(d.varint()), lastTime: d.varint(), txnFirst: d.varint()}
	n := d.varint()
	if n < 0 || n > remembered {
		d.bad = true
		return p
	}
	for range n {
		p.newest = (p.newest + 1) % remembered
		p.count++
		m := batchMark{lastOffset: d.varint(), lastSeq: int32(d.varint()), delta: int32(d.varint()), time: p.lastTime}
		if d.version >= 2 {
			m.time = d.varint()
		}
		p.batches[p.newest] = m
	}
	return p
}

// count reads a length, which cannot be more than the bytes that are left.
func (d *decoder) count() int64 {
	n := d.varint()
	if n < 0 || n > int64(len(d.left)) {
		d.bad = true
		return 0
	}
	return n
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.left)
	d.skip(n)
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.left)
	d.skip(n)
	return v
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.left) {
		d.skip(0)
		return nil
	}
	b := d.left[:n]
	d.left = d.left[n:]
	return b
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, d.left = true, nil
		return
	}
	d.left = d.left[n:]
}
