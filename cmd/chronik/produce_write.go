package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// source is where produce has its records from: values, a file, or standard input.
type source struct {
	p      *produceFlags
	values []string
	file   *os.File
	in     *bufio.Reader
	size   int64 // of the file; 0: unknown
	typed  bool  // somebody types it
	line   int64
	read   int64 // bytes
}

func (p *produceFlags) source(cmd *cobra.Command, values []string) (*source, error) {
	s := &source{p: p, values: values}
	if len(values) > 0 || p.null {
		return s, nil
	}
	in := cmd.InOrStdin()
	if p.file != "" {
		file, err := os.Open(p.file)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		s.file, in = file, file
	}
	if file, ok := in.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			s.size = info.Size()
		}
		s.typed = isTerminal(file)
	}
	if s.typed {
		fmt.Fprintln(cmd.ErrOrStderr(), "write a record on each line; Ctrl-D ends")
	}
	s.in = bufio.NewReaderSize(in, 256<<10)
	return s, nil
}

func (s *source) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only read
	}
}

// next is the next record; io.EOF is the end.
func (s *source) next() (*kgo.Record, error) {
	r, err := s.record()
	if err != nil {
		return nil, err
	}
	if r.Key == nil && s.p.key != "" {
		r.Key = []byte(s.p.key)
	}
	if s.p.partition >= 0 {
		r.Partition = s.p.partition
	} else if s.p.repartition {
		r.Partition = -1
	}
	names, values, err := settings("--header", s.p.headers)
	for _, name := range names {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(*values[name])})
	}
	if s.p.timestamp != "" {
		ms, _ := millisOf(s.p.timestamp) // check has read it
		r.Timestamp = time.UnixMilli(ms)
	}
	return r, err
}

// record is the next one as it is read.
func (s *source) record() (*kgo.Record, error) {
	s.line++
	if s.in == nil {
		return s.value()
	}
	if s.p.input == inputRaw {
		if s.line > 1 {
			return nil, io.EOF
		}
		all, err := io.ReadAll(s.in)
		s.read += int64(len(all))
		return &kgo.Record{Partition: -1, Value: all}, err
	}
	line, err := s.in.ReadBytes('\n')
	s.read += int64(len(line))
	if len(line) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	if s.p.input == inputLines {
		return s.split(line), nil
	}
	r, err := readRecord(line)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", s.line, err)
	}
	return r, nil
}

func (s *source) value() (*kgo.Record, error) {
	if s.p.null && s.line == 1 {
		return &kgo.Record{Partition: -1}, nil
	}
	if s.line > int64(len(s.values)) {
		return nil, io.EOF
	}
	return &kgo.Record{Partition: -1, Value: []byte(s.values[s.line-1])}, nil
}

// split is a line with its key before the separator.
func (s *source) split(line []byte) *kgo.Record {
	r := &kgo.Record{Partition: -1, Value: line}
	if s.p.keySplit != "" {
		if key, value, found := bytes.Cut(line, []byte(s.p.keySplit)); found {
			r.Key, r.Value = key, value
		}
	}
	if s.p.nullEmpty && len(r.Key) == 0 {
		r.Key = nil
	}
	if s.p.nullEmpty && len(r.Value) == 0 {
		r.Value = nil
	}
	return r
}

// writer sends records, and counts what is acknowledged.
type writer struct {
	client  *kgo.Client
	unheard bool // nothing is acknowledged
	bar     *bar

	mu     sync.Mutex
	sent   int64
	stall  *time.Timer
	wait   time.Duration
	done   map[int32]*writtenTo
	total  produced
	failed error // the first
}

var errStalled = errors.New("no acknowledgement came in time")

// run sends all of them and waits, as long as something is acknowledged now and then. It stops at the first that is not
// taken. (The client's own timeout of a record counts from the record's timestamp, which may be of long ago.)
func (w *writer) run(ctx context.Context, from *source, wait time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.wait, w.stall = wait, time.AfterFunc(wait, func() {
		if w.client.BufferedProduceRecords() > 0 {
			cancel(errStalled)
		}
	})
	defer w.stall.Stop()
	err := w.sendAll(ctx, from)
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

func (w *writer) sendAll(ctx context.Context, from *source) error {
	for w.failure() == nil {
		r, err := from.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, w.client.Flush(ctx))
		}
		if w.client.BufferedProduceRecords() == 0 {
			w.stall.Reset(w.wait)
		}
		w.sent++
		w.client.Produce(ctx, r, w.heard)
		w.bar.set(from.read, from.size)
	}
	return errors.Join(w.client.Flush(ctx), w.failure())
}

func (w *writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// heard is what became of a record.
func (w *writer) heard(r *kgo.Record, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stall.Reset(w.wait)
	if err != nil {
		if w.failed == nil {
			w.failed = err
		}
		return
	}
	w.total.Records++
	w.total.Bytes += int64(len(r.Key) + len(r.Value))
	at := r.Offset
	if w.unheard {
		at = -1
	}
	p := w.done[r.Partition]
	if p == nil {
		p = &writtenTo{Partition: r.Partition, First: at}
		w.done[r.Partition] = p
	}
	p.Records++
	p.Last = at
}

func (w *writer) result(topic string) produced {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total.Topic, w.total.Partitions, w.total.Failed = topic, []writtenTo{}, w.sent-w.total.Records
	for _, n := range slices.Sorted(maps.Keys(w.done)) {
		w.total.Partitions = append(w.total.Partitions, *w.done[n])
	}
	return w.total
}

// chooser lets a record go to the partition that it names, and the key, as Kafka's clients do, decide otherwise.
type chooser struct{ byKey kgo.Partitioner }

func newChooser() kgo.Partitioner { return chooser{kgo.StickyKeyPartitioner(nil)} }

func (c chooser) ForTopic(topic string) kgo.TopicPartitioner {
	return topicChooser{c.byKey.ForTopic(topic)}
}

type topicChooser struct{ kgo.TopicPartitioner }

func (c topicChooser) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || c.TopicPartitioner.RequiresConsistency(r)
}

func (c topicChooser) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return c.TopicPartitioner.Partition(r, n)
}

// OnNewBatch has records without keys go to another partition now and then.
func (c topicChooser) OnNewBatch() {
	if sticky, ok := c.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		sticky.OnNewBatch()
	}
}
