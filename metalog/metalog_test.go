package metalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

func mustOpen(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(Options{Dir: dir, NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustPropose(t testing.TB, l *Log, recs ...image.Record) image.Index {
	t.Helper()
	index, err := l.Propose(t.Context(), recs...)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// proposeLow is Propose behind all others.
func proposeLow(l *Log) func(context.Context, ...image.Record) (image.Index, error) {
	return func(ctx context.Context, recs ...image.Record) (image.Index, error) {
		a := l.batcher.proposeEach(ctx, l.batcher.second, [][]image.Record{recs})[0]
		return a.index, a.err
	}
}

func topic(name string) image.TopicRecord {
	return image.TopicRecord{ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)), Name: name}
}

func hash(t testing.TB, m *image.Image) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// T32 of the lessons: topics, ids, configs and offsets are there after a restart, with more than a thousand entries and
// several snapshots between them.
func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	incarnation, server := l.Incarnation(), l.identity.server
	mustPropose(t, l, image.ClusterRecord{ID: uuid.UUID{9}}, image.FeatureRecord{Name: "metadata.version", Level: 1})
	for i := range 1200 {
		name, value := fmt.Sprintf("t%04d", i), "1"
		r := topic(name)
		mustPropose(t, l, r,
			image.PartitionRecord{Topic: r.ID, Partition: image.Partition{Stream: l.Image().NextStream(), Leader: 1, Replicas: []image.BrokerID{1}}},
			image.ConfigRecord{Resource: image.Resource{Type: image.TopicResource, Name: name}, Name: "retention.ms", Value: &value},
			image.OffsetsRecord{Group: "g", Offsets: []image.PartitionOffset{{TopicPartition: image.TopicPartition{Topic: r.ID}, Offset: image.Offset{Offset: int64(i)}}}},
		)
		if i%400 == 399 {
			if err := l.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		if i%500 == 250 {
			want := hash(t, l.Image())
			mustClose(t, l)
			l = mustOpen(t, dir)
			if hash(t, l.Image()) != want {
				t.Fatal("another image after the restart")
			}
		}
	}
	want := hash(t, l.Image())
	mustClose(t, l)
	l = mustOpen(t, dir)
	if hash(t, l.Image()) != want || l.Incarnation() != incarnation || l.identity.server != server {
		t.Fatal("another image or identity after the restart")
	}
	if l.Image().TopicCount() != 1200 || l.Leader() != 1 {
		t.Fatal(l.Image().TopicCount(), l.Leader())
	}
}

func TestRefusedProposalChangesNothing(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	mustPropose(t, l, topic("a"))
	before := l.Image()
	_, err := l.Propose(t.Context(), topic("b"), topic("a"))
	if kerr.Of(err) != kerr.TopicAlreadyExists || l.Image() != before {
		t.Fatal(err)
	}
	_, err = l.Propose(t.Context(), image.GroupRecord{Group: image.Group{ID: strings.Repeat("g", maxEntry)}})
	if kerr.Of(err) != kerr.RecordListTooLarge {
		t.Fatal(err)
	}
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
}

// Proposals that share an entry have each their own outcome, and large ones still all get through.
func TestConcurrentProposals(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	const callers, each = 64, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%02d-%02d", c, i)
				index, err := l.Propose(t.Context(), topic(name))
				if err != nil {
					t.Error(err)
				} else if _, ok := l.Image().TopicNamed(name); !ok || l.Image().Index() < index {
					t.Errorf("%s is not in the image", name)
				}
				_, err = proposeLow(l)(t.Context(), topic("same"), image.GroupRecord{Group: image.Group{ID: name, Leader: strings.Repeat("x", 50_000)}})
				if kerr.Of(err) != kerr.TopicAlreadyExists && err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := l.Image().TopicCount(); n != callers*each+1 {
		t.Fatalf("%d topics", n)
	}
}

type watcher struct {
	t    *testing.T
	last *image.Image
	seen map[image.TopicID]bool
}

func (w *watcher) Apply(d *image.Delta) {
	if d.Old != w.last {
		w.t.Errorf("delta from %d after %d", d.Old.Index(), w.last.Index())
	}
	w.last = d.New
	for _, id := range d.Topics {
		w.seen[id] = true
	}
}

func TestWatchSeesEveryDelta(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	mustPropose(t, l, topic("before"))
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := range 20 {
				mustPropose(t, l, topic(fmt.Sprint(c, "-", i)))
			}
		})
	}
	w := &watcher{t, image.Empty(), map[image.TopicID]bool{}}
	l.Watch(w)
	wg.Wait()
	if w.last != l.Image() || len(w.seen) != 161 {
		t.Fatalf("%d topics seen", len(w.seen))
	}
}

func TestWaitForAnIndexToCome(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	index := mustPropose(t, l, topic("a"))
	if err := l.Wait(t.Context(), index); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error)
	go func() { waited <- l.Wait(t.Context(), index+1) }()
	mustPropose(t, l, topic("b"))
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, index+1000); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(l.fsm.views.waiters) != 0 {
		t.Fatal("a waiter that left is still there")
	}
}

func TestLeadRunsWhileLeading(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	terms := make(chan uint64)
	ended := make(chan struct{})
	l.Lead(func(ctx context.Context, term uint64) error {
		if _, err := l.Propose(ctx, topic("by the leader")); err != nil {
			return err
		}
		terms <- term
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	})
	first := <-terms
	mustClose(t, l)
	<-ended
	l = mustOpen(t, dir)
	l.Lead(func(_ context.Context, term uint64) error { terms <- term; return nil })
	if second := <-terms; second <= first {
		t.Fatalf("term %d after %d", second, first)
	}
}

func TestLeadErrorFailsTheLog(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	broken := errors.New("broken")
	l.Lead(func(context.Context, uint64) error { return broken })
	<-l.Failed()
	if !errors.Is(l.Err(), broken) {
		t.Fatal(l.Err())
	}
	if _, err := l.Propose(t.Context(), topic("a")); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestClosedLogRefuses(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	mustClose(t, l)
	if _, err := l.Propose(t.Context(), topic("a")); err == nil {
		t.Fatal("proposed to a closed log")
	}
	mustClose(t, l)
}

// The directories that a first start makes, and what cannot be one.
func TestDirectoryIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "metalog")
	mustClose(t, mustOpen(t, dir))
	mustClose(t, mustOpen(t, dir+string(filepath.Separator)))
	file := filepath.Join(dir, lockFile)
	if _, err := Open(Options{Dir: filepath.Join(file, "c"), NodeID: 1}); err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
}

func TestAnotherNodeOrProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	if _, err := Open(Options{Dir: dir, NodeID: 1}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatal(err)
	}
	mustClose(t, l)
	_, err := Open(Options{Dir: dir, NodeID: 2})
	if err == nil || !strings.Contains(err.Error(), "belongs to node 1, not to node 2") {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, dir))
}

// What is lost or damaged is named, and nothing is begun anew over it.
func TestDamagedDirectoryIsRefused(t *testing.T) {
	change := func(name string, with func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, with(b), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(what string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(what), []byte(strings.ToUpper(what))) }
	}
	for name, c := range map[string]struct {
		damage func(*testing.T, string)
		says   string
	}{
		"no store":         {remove(storeFile), storeFile},
		"no identity":      {remove(identityFile), identityFile},
		"empty store":      {change(storeFile, func([]byte) []byte { return nil }), storeFile},
		"cut store":        {change(storeFile, func(b []byte) []byte { return b[:3*os.Getpagesize()] }), storeFile},
		"garbage store":    {change(storeFile, func(b []byte) []byte { return bytes.Repeat([]byte{7}, len(b)) }), storeFile},
		"flipped entry":    {change(storeFile, flip("topic-of-the-test")), storeFile},
		"flipped identity": {change(identityFile, flip("node.id=1")), identityFile},
		"cut identity":     {change(identityFile, func(b []byte) []byte { return b[:len(b)-1] }), identityFile},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpen(t, dir)
			for i := range 20 {
				mustPropose(t, l, topic(fmt.Sprint("topic-of-the-test", i)))
			}
			mustClose(t, l)
			c.damage(t, dir)
			l, err := Open(Options{Dir: dir, NodeID: 1})
			if err == nil {
				l.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), filepath.Join(dir, c.says)) && !strings.Contains(err.Error(), c.says) {
				t.Fatal(err)
			}
			t.Log(err)
		})
	}
}
