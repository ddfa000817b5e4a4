package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"chronik/cluster"
	"chronik/cluster/replica"
	"chronik/kafka/batch"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
)

// shown is all that a node shows: what it says that there is, and every batch.
type shown struct {
	said       map[string]string // topics, groups and what they have committed, by name
	partitions map[string]*shownPartition
	streams    map[uint64]string // in the write-ahead log -> partition
}

type shownPartition struct {
	start, stable, end int64
	batches            []batch.Batch
	failures           []readFailure
}

// readFailure is what was not served: offsets [from, to), and why.
type readFailure struct {
	from, to int64
	err      error
}

// find returns the batch that begins at offset.
func (p *shownPartition) find(offset int64) batch.Batch {
	i, found := slices.BinarySearchFunc(p.batches, offset, func(b batch.Batch, o int64) int { return int(b.BaseOffset() - o) })
	if !found {
		return nil
	}
	return p.batches[i]
}

// after returns the offset behind the batch that holds offset, so that a reader can go on behind what cannot be read.
func (p *shownPartition) after(offset int64) int64 {
	if p != nil {
		for _, b := range p.batches {
			if b.NextOffset() > offset {
				return b.NextOffset()
			}
		}
	}
	return offset + 1
}

// corruptRun is what came of starting a node in this process.
type corruptRun struct {
	refused error  // why it did not start
	shown   *shown // else
	log     string // its lines
	closing error
}

// corruptOptions are those that the bases were written with.
func corruptOptions(dir string, log *slog.Logger) cluster.Options {
	return cluster.Options{
		Dir: dir, ID: 1, Endpoints: []image.Endpoint{{Name: "PLAINTEXT"}},
		Static: map[string]string{"log.segment.bytes": "1048576"},
		Pool:   arena.New(16 << 20), WALFileSize: 1 << 20, WALBudget: 2 << 20, Sync: wal.SyncAlways,
		Logger: log,
	}
}

// corruptPatience bounds a start and all reads; on an idle machine they take a tenth of a second.
const corruptPatience = 2 * time.Minute

// runNode starts a node on dir, reads everything, and stops it. want says where to go on behind what cannot be read.
func runNode(ctx context.Context, dir string, want *shown) corruptRun {
	ended := make(chan corruptRun, 1)
	go func() { ended <- tryNode(ctx, dir, want) }()
	select {
	case r := <-ended:
		return r
	case <-time.After(corruptPatience):
		panic("a node neither starts nor gives up; it is in the goroutines below")
	}
}

func tryNode(ctx context.Context, dir string, want *shown) corruptRun {
	lines := &logLines{}
	options := corruptOptions(dir, slog.New(slog.NewTextHandler(lines, nil)))
	n, err := cluster.Start(ctx, options)
	for errors.Is(err, syscall.EWOULDBLOCK) { // a process between fork and exec has what was open here, and so the locks of a node that was closed
		<-time.After(time.Millisecond) // nothing tells of it
		n, err = cluster.Start(ctx, options)
	}
	if err != nil {
		return corruptRun{refused: err, log: lines.String()}
	}
	r := corruptRun{shown: showNode(n, want)}
	select {
	case <-n.Failed():
		r.closing = n.Err()
	default:
	}
	r.closing = errors.Join(r.closing, n.Close())
	r.log = lines.String()
	return r
}

// logLines is the lines of a log, written by many goroutines.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func showNode(n *cluster.Node, want *shown) *shown {
	img := n.Meta.Image()
	s := &shown{said: saidBy(img), partitions: map[string]*shownPartition{}, streams: map[uint64]string{}}
	for t := range img.Topics {
		for number, part := range t.Partitions {
			name := fmt.Sprintf("%s/%d", t.Name, number)
			s.streams[part.Stream] = name
			var expected *shownPartition
			if want != nil {
				expected = want.partitions[name]
			}
			p, err := n.Replicas.Leader(t.ID, int32(number), -1)
			if err != nil {
				s.partitions[name] = &shownPartition{failures: []readFailure{{0, 0, err}}}
				continue
			}
			s.partitions[name] = showPartition(p, expected)
		}
	}
	return s
}

// saidBy is the metadata but for what each start changes.
func saidBy(img *image.Image) map[string]string {
	said := map[string]string{"cluster": img.ClusterID().String(), "next stream": fmt.Sprint(img.NextStream())}
	topics := map[image.TopicID]string{}
	for t := range img.Topics {
		topics[t.ID] = t.Name
		said["topic "+t.Name] = fmt.Sprint(t.ID, t.Internal)
		for _, p := range t.Partitions {
			said[fmt.Sprintf("partition %s/%d", t.Name, p.Number)] = fmt.Sprintf("%+v", *p)
		}
	}
	for _, kind := range []image.ResourceType{image.TopicResource, image.BrokerResource} {
		for _, r := range img.ConfigResources(kind) {
			said[fmt.Sprintf("configs %d %s", kind, r.Name)] = fmt.Sprint(img.Configs(r))
		}
	}
	for id := range img.Groups {
		if g, ok := img.Group(id); ok {
			said["group "+id] = fmt.Sprintf("%+v", *g)
		}
		img.Offsets(id, func(t image.TopicID, partition int32, o image.Offset) bool {
			said[fmt.Sprintf("commit of %s for %s/%d", id, topics[t], partition)] = fmt.Sprintf("%+v", o)
			return true
		})
	}
	return said
}

// showPartition reads a partition from its start to its end, and goes on behind what it does not get.
func showPartition(p *replica.Partition, want *shownPartition) *shownPartition {
	marks := p.Marks()
	s := &shownPartition{start: marks.LogStart, stable: marks.LastStable, end: marks.LogEnd}
	for at := s.start; at < marks.HighWatermark; {
		data, err := readPartition(p, at)
		if err == nil && len(data) == 0 {
			err = errors.New("nothing, and no error")
		}
		if err != nil {
			next := min(want.after(at), marks.HighWatermark)
			s.failures = append(s.failures, readFailure{at, next, err})
			at = next
			continue
		}
		for len(data) > 0 {
			b, rest, err := batch.Next(data)
			if err != nil {
				s.failures = append(s.failures, readFailure{at, at + 1, fmt.Errorf("served, but no batch: %w", err)})
				at++
				break
			}
			s.batches = append(s.batches, b)
			at, data = max(at+1, b.NextOffset()), rest
		}
	}
	return s
}

func readPartition(p *replica.Partition, at int64) ([]byte, error) {
	extents, err := p.Read(nil, at, 256<<10, true, false)
	defer func() {
		for i := range extents {
			extents[i].Release()
		}
	}()
	if err != nil {
		return nil, err
	}
	return copyExtents(extents)
}

func copyExtents(extents []batch.Extent) (data []byte, err error) {
	for _, e := range extents {
		if e.File == nil {
			data = append(data, e.Mem...)
			continue
		}
		part, err := io.ReadAll(io.NewSectionReader(e.File, e.Off, e.Len))
		if err != nil {
			return nil, err
		}
		data = append(data, part...)
	}
	return data, nil
}

// differs says what of the metadata is not as in want.
func (s *shown) differs(want *shown) (wrong []string) {
	names := slices.Sorted(maps.Keys(want.said))
	for name := range s.said {
		if _, known := want.said[name]; !known {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if is, was := s.said[name], want.said[name]; is != was {
			wrong = append(wrong, fmt.Sprintf("%s: it is %q, it was %q", name, is, was))
		}
	}
	return wrong
}

// inMemory is a folder where writing costs little.
func inMemory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}
