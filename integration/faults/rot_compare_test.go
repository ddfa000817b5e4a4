package faults

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"testing"

	"chronik/cluster/partlog"
	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/metalog"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// compare wants the same bytes on the disks of all nodes, which it ends.
func (r *rot) compare() {
	r.t.Helper()
	var first map[string]replicaSum
	for i, b := range r.cluster.Nodes {
		b.Kill()
		sums := replicaSums(r.t, b.Dir)
		if i == 0 {
			first = sums
		} else if !maps.Equal(first, sums) {
			r.t.Errorf("node 1 has %v\nnode %d has %v", first, i+1, sums)
		}
	}
	r.counts["partitions compared"] += int64(len(first))
}

// replicaSum is what a replica has of a partition.
type replicaSum struct {
	start, end int64
	sum        [sha256.Size]byte
}

func (s replicaSum) String() string { return fmt.Sprintf("[%d, %d) %x", s.start, s.end, s.sum[:4]) }

// replicaSums reads all partitions in the directory of a node that has ended.
func replicaSums(t *testing.T, dir string) map[string]replicaSum {
	t.Helper()
	meta, err := metalog.Load(filepath.Join(dir, "metalog"))
	ok(t, err)
	fs, err := vfs.OS(dir)
	ok(t, err)
	defer fs.(io.Closer).Close()
	cfg, err := config.CompileBroker(nil, nil, nil)
	ok(t, err)
	topic, err := cfg.CompileTopic(nil)
	ok(t, err)
	ids := map[wal.StreamID]partlog.ID{}
	for t := range meta.Image.Topics {
		for _, p := range t.Partitions {
			ids[wal.StreamID(p.Stream)] = partlog.ID{Stream: wal.StreamID(p.Stream), Topic: t.ID, Partition: p.Number}
		}
	}
	s, err := partlog.Open(partlog.Options{
		FS: fs, Pool: arena.New(64 << 20), Incarnation: meta.Incarnation, Unreplicated: true, Logger: slog.New(slog.DiscardHandler),
		Known: func(s wal.StreamID) (partlog.ID, *config.Topic, error) {
			if id, ok := ids[s]; ok {
				return id, topic, nil
			}
			return partlog.ID{}, nil, partlog.ErrDeleted
		},
	})
	ok(t, err)
	sums := map[string]replicaSum{}
	for _, id := range ids {
		l, err := s.Log(id, topic)
		ok(t, err)
		sums[name(meta.Image, id)] = sumOf(t, l)
	}
	if err := s.Close(); err != nil && !errors.Is(err, wal.ErrClosed) {
		t.Error(err)
	}
	return sums
}

func name(img *image.Image, id partlog.ID) string {
	t, _ := img.Topic(id.Topic)
	return fmt.Sprintf("%s-%d", t.Name, id.Partition)
}

func sumOf(t *testing.T, l *partlog.Log) replicaSum {
	t.Helper()
	o := l.Offsets()
	s, sum := replicaSum{start: o.LogStart, end: o.LogEnd}, sha256.New()
	for at := o.LogStart; at < o.LogEnd; {
		extents, err := l.Read(nil, at, o.LogEnd, 8<<20, true)
		ok(t, err)
		for _, x := range extents {
			data := x.Mem
			if data == nil {
				data = make([]byte, x.Len)
				_, err := x.File.ReadAt(data, x.Off)
				ok(t, err)
			}
			for rest := data; len(rest) > 0; {
				b, after, err := batch.Next(rest)
				if err == nil {
					err = b.CheckCRC()
				}
				ok(t, err)
				sum.Write(b)
				rest, at = after, b.NextOffset()
			}
			x.Release()
		}
	}
	copy(s.sum[:], sum.Sum(nil))
	return s
}
