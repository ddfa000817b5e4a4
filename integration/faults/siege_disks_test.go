package faults

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"syscall"

	"chronik/cluster/partlog"
	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/metalog"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// A disk is what a node has kept when it is stopped.
type disk struct {
	dir   string
	node  image.BrokerID
	index image.Index // of the metadata
	hash  [sha256.Size]byte
	logs  map[partitionKey][]seenBatch
}

// end stops all nodes where they are, and compares their disks: all have the same metadata, and each replica is, byte for
// byte, what the others are and what clients have seen.
func (r *siege) end() {
	r.t.Helper()
	for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} { // nobody writes on because another one has gone
		for _, n := range r.cluster.Nodes {
			n.Signal(s)
		}
	}
	var disks []*disk
	for _, n := range r.cluster.Nodes {
		n.Wait()
		n.VerifyDump(r.rotten[n.Dir]...)
		d, err := readDisk(n.Dir)
		if err != nil {
			r.t.Fatalf("%s: %v", n.Dir, err)
		}
		disks = append(disks, d)
	}
	if err := sameIndex(disks); err != nil {
		r.t.Fatal(err)
	}
	r.report(compareDisks(disks, r.history.seenLogs()))
	for _, log := range disks[0].logs {
		r.count("batches compared on all disks", int64(len(log)))
	}
}

// sameIndex takes from each disk the metadata as of what the last of them has: the nodes did not all stop at once, and one may have
// been told of an entry that another one was not.
func sameIndex(disks []*disk) error {
	least := slices.MinFunc(disks, func(a, b *disk) int { return cmp.Compare(a.index, b.index) }).index
	for _, d := range disks {
		if d.index == least {
			continue
		}
		meta, err := metalog.LoadAt(filepath.Join(d.dir, "metalog"), least)
		if err != nil {
			return err
		}
		if d.index, d.hash, err = summarize(meta.Image); err != nil {
			return err
		}
	}
	return nil
}

// summarize is the image's index and a hash of all that it holds.
func summarize(img *image.Image) (image.Index, [sha256.Size]byte, error) {
	var encoded bytes.Buffer
	err := img.Encode(&encoded)
	return img.Index(), sha256.Sum256(encoded.Bytes()), err
}

// compareDisks says how disks differ from the first, and from what clients were shown.
func compareDisks(disks []*disk, shown map[partitionKey][]seenBatch) (wrong []string) {
	first := disks[0]
	for _, d := range disks {
		if d.index != first.index || d.hash != first.hash {
			wrong = append(wrong, fmt.Sprintf("I9: the metadata of nodes %d and %d differs, at index %d and %d", first.node, d.node, first.index, d.index))
		}
		for k, log := range shown {
			has := d.logs[k]
			for n, b := range log {
				if n >= len(has) {
					wrong = append(wrong, fmt.Sprintf("I9: %v on node %d has %d batches, clients were shown %d", k, d.node, len(has), len(log)))
					break
				}
				if has[n] != b {
					wrong = append(wrong, fmt.Sprintf("I9: %v on node %d holds %+v where clients were shown %+v", k, d.node, has[n], b))
					break
				}
			}
		}
		for k, log := range d.logs {
			for n, b := range log[:min(len(log), len(first.logs[k]))] {
				if was := first.logs[k][n]; was != b {
					wrong = append(wrong, fmt.Sprintf("I9: %v holds %+v on node %d and %+v on node %d", k, was, first.node, b, d.node))
					break
				}
			}
		}
	}
	return wrong
}

// readDisk reads the data directory of a stopped node as its start would.
func readDisk(dir string) (*disk, error) {
	meta, err := metalog.Load(filepath.Join(dir, "metalog"))
	if err != nil {
		return nil, err
	}
	d := &disk{dir: dir, node: meta.NodeID, logs: map[partitionKey][]seenBatch{}}
	if d.index, d.hash, err = summarize(meta.Image); err != nil {
		return nil, err
	}
	broker, err := config.CompileBroker(nil, nil, nil)
	if err != nil {
		return nil, err
	}
	topic, err := broker.CompileTopic(nil)
	if err != nil {
		return nil, err
	}
	fs, err := vfs.OS(dir)
	if err != nil {
		return nil, err
	}
	defer fs.(io.Closer).Close()
	ids := map[wal.StreamID]partlog.ID{}
	names := map[wal.StreamID]partitionKey{}
	for t := range meta.Image.Topics {
		for _, p := range t.Partitions {
			s := wal.StreamID(p.Stream)
			ids[s], names[s] = partlog.ID{Stream: s, Topic: t.ID, Partition: p.Number}, partitionKey{t.Name, p.Number}
		}
	}
	store, err := partlog.Open(partlog.Options{
		FS: fs, Pool: arena.New(64 << 20), WALFileSize: 4 << 20, Incarnation: meta.Incarnation, Logger: slog.New(slog.DiscardHandler),
		Known: func(s wal.StreamID) (partlog.ID, *config.Topic, error) {
			if id, ok := ids[s]; ok {
				return id, topic, nil
			}
			return partlog.ID{}, nil, partlog.ErrDeleted
		},
	})
	if err != nil {
		return nil, err
	}
	for s, id := range ids {
		log, err := store.Log(id, topic)
		if err == nil {
			d.logs[names[s]], err = readLog(log)
		}
		if err != nil {
			return nil, err
		}
	}
	return d, store.Close()
}

func readLog(log *partlog.Log) (all []seenBatch, err error) {
	o := log.Offsets()
	for at := o.LogStart; at < o.LogEnd; {
		extents, err := log.Read(nil, at, o.LogEnd, 4<<20, true)
		if err != nil {
			return nil, err
		}
		data, err := batch.Copy(nil, extents)
		for i := range extents {
			extents[i].Release()
		}
		if err != nil {
			return nil, err
		}
		for len(data) > 0 {
			b, rest, err := batch.Next(data)
			if err != nil {
				return nil, err
			}
			all, data, at = append(all, newSeenBatch(b)), rest, b.NextOffset()
		}
	}
	return all, nil
}
