package sim

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"chronik/cluster"
	"chronik/kafka/batch"
	"chronik/metalog/image"
	"chronik/wal/campaign"
)

// world is a cluster with its clients, and what is known of it.
type world struct {
	t        *testing.T
	r        *rand.Rand // of the goroutine that drives it
	ctx      context.Context
	end      context.CancelFunc
	net      *fabric
	machines []*machine
	lasting  []spot // partitions of the topics that are not deleted
	ledger   *ledger
	topics   *topicLedger
	clients  []*client

	mu        sync.Mutex // guards what follows
	wrong     []string
	counts    campaign.Counts
	producers map[int64]bool
	images    map[image.Index]uint64
	mended    time.Time // when nothing was wrong any more; zero while there is
}

// patience is how long all may take once nothing is wrong any more: reliability goal I16 has 30 seconds for the cluster, and
// then the requests that wait longest have to end.
const patience = 60 * time.Second

func newWorld(t *testing.T, seed uint64, dir string) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{
		t: t, r: r, net: newFabric(seed), ledger: newLedger(), topics: newTopicLedger(), counts: campaign.Counts{},
		producers: map[int64]bool{}, images: map[image.Index]uint64{}, mended: time.Now(),
	}
	w.ctx, w.end = context.WithCancel(context.Background())
	for i := range []int{3, 3, 3, 5}[r.IntN(4)] {
		w.machines = append(w.machines, newMachine(w, image.BrokerID(i+1), dir))
	}
	return w
}

// complain says what must not be; the first such ends the trial.
func (w *world) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < 20 {
		w.wrong = append(w.wrong, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.wrong) > 0
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *world) newProducer(id int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.producers[id]
	w.producers[id] = true
	return !known
}

func (w *world) mend(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mended = at
}

// overdue says that whatever waits has had its time.
func (w *world) overdue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.mended.IsZero() && time.Since(w.mended) > patience
}

func (w *world) voters() (all []cluster.Voter) {
	for i := range w.machines {
		all = append(all, cluster.Voter{Node: image.BrokerID(i + 1), Addr: fmt.Sprintf("%s:%d", nodeAddr(image.BrokerID(i+1)), internalPort)})
	}
	return all
}

func (w *world) static() map[string]string {
	return map[string]string{"default.replication.factor": "3", "min.insync.replicas": "2", "auto.create.topics.enable": "false"}
}

// sees compares every 8th image with what others had of the same entry.
type sees struct {
	w  *world
	id image.BrokerID
}

// Apply is image.Watcher's.
func (s sees) Apply(d *image.Delta) {
	at := d.New.Index()
	if at%8 != 0 {
		return
	}
	h := fnv.New64a()
	if err := d.New.Encode(h); err != nil {
		s.w.complain("image %d: %v", at, err)
	}
	s.w.mu.Lock()
	was, known := s.w.images[at]
	s.w.images[at] = h.Sum64()
	s.w.mu.Unlock()
	if known && was != h.Sum64() {
		s.w.complain("node %d has another image of entry %d than others", s.id, at)
	}
}

// await polls until cond says nothing is missing, for as long as patience goes.
func (w *world) await(cond func() (missing string)) bool {
	missing := ""
	for range int(patience / pollEvery) {
		if missing = cond(); missing == "" || w.failed() {
			return missing == ""
		}
		<-time.After(pollEvery)
	}
	w.complain("%s after everything was mended: %s", patience, missing)
	return false
}

const pollEvery = 100 * time.Millisecond

// whole says what a cluster misses that has nothing wrong with it: every node serves, all have the same image, every
// partition has all its replicas in sync, and is where it was to go.
func (w *world) whole() string {
	var first *image.Image
	for _, m := range w.machines {
		n := m.node()
		if n == nil || !m.serves() {
			return fmt.Sprintf("node %d does not serve", m.id)
		}
		img := n.Meta.Image()
		if first == nil {
			first = img
		}
		if img.Index() != first.Index() {
			return fmt.Sprintf("node %d has image %d, another has %d", m.id, img.Index(), first.Index())
		}
	}
	for t := range first.Topics {
		for _, p := range t.Partitions {
			if p.Leader == image.NoBroker || len(p.ISR) != len(p.Replicas) || p.Reassigning() {
				return fmt.Sprintf("%s/%d: %+v", t.Name, p.Number, *p)
			}
		}
	}
	for _, b := range first.Brokers() {
		if b.Fenced {
			return fmt.Sprintf("broker %d is fenced", b.ID)
		}
	}
	return ""
}

// check compares all replicas of all partitions with each other and with what clients know.
func (w *world) check() {
	img := w.machines[0].node().Meta.Image()
	for _, wrong := range w.topics.check(img) {
		w.complain("%s", wrong)
	}
	for t := range img.Topics {
		for _, p := range t.Partitions {
			s := spot{t.Name, p.Number}
			data, ok := w.same(t, p)
			if !ok {
				return
			}
			var all []written
			err := eachRecord(data, func(offset int64, r written) {
				if offset != int64(len(all)) {
					w.complain("%v: offset %d follows on %d", s, offset, len(all)-1)
				}
				all = append(all, r)
			})
			if err != nil {
				w.complain("%v: %v", s, err)
			}
			for _, wrong := range w.ledger.check(s, all) {
				w.complain("%s", wrong)
			}
		}
	}
}

// same is what the partition's replicas hold, when they hold the same.
func (w *world) same(t *image.Topic, p *image.Partition) (data []byte, ok bool) {
	for i, id := range p.Replicas {
		var got []byte
		ok = w.await(func() (missing string) {
			if got, missing = w.machines[id-1].content(t.ID, p.Number); missing != "" {
				missing += "\n" + w.describe(t, p)
			}
			return missing
		})
		if !ok {
			return nil, false
		}
		if i > 0 && !bytes.Equal(got, data) {
			w.complain("%s/%d: nodes %d and %d hold different bytes (%d, %d)", t.Name, p.Number, p.Replicas[0], id, len(data), len(got))
			return nil, false
		}
		data = got
	}
	return data, true
}

// describe is what the replicas say of themselves.
func (w *world) describe(t *image.Topic, p *image.Partition) string {
	text := fmt.Sprintf("%s/%d: %+v", t.Name, p.Number, *p)
	for _, id := range p.Replicas {
		r, err := w.machines[id-1].node().Replicas.Replica(t.ID, p.Number, -1)
		if err != nil {
			text += fmt.Sprintf("\nnode %d: %v", id, err)
			continue
		}
		text += fmt.Sprintf("\nnode %d: leads %v, %+v, %+v", id, r.Leads(), r.Marks(), r.Log().Offsets())
	}
	return text
}

// content is the bytes of a whole replica, when all of it is committed.
func (m *machine) content(topic image.TopicID, partition int32) (data []byte, missing string) {
	p, err := m.node().Replicas.Replica(topic, partition, -1)
	if err != nil {
		return nil, fmt.Sprintf("node %d: partition %d: %v", m.id, partition, err)
	}
	marks := p.Marks()
	if marks.HighWatermark != marks.LogEnd {
		return nil, fmt.Sprintf("node %d: partition %d is not committed as a whole: %+v", m.id, partition, marks)
	}
	for from := marks.LogStart; from < marks.LogEnd; {
		xs, err := p.Log().Read(nil, from, marks.LogEnd, 1<<20, true)
		if err != nil {
			return nil, fmt.Sprintf("node %d: read partition %d at %d: %v", m.id, partition, from, err)
		}
		piece, err := batch.Copy(nil, xs)
		for i := range xs {
			xs[i].Release()
		}
		if err != nil || len(piece) == 0 {
			return nil, fmt.Sprintf("node %d: read partition %d at %d: %d bytes, %v", m.id, partition, from, len(piece), err)
		}
		for rest := piece; len(rest) > 0; {
			var b batch.Batch
			if b, rest, err = batch.Next(rest); err != nil {
				return nil, fmt.Sprintf("node %d: partition %d: %v", m.id, partition, err)
			}
			from = b.NextOffset()
		}
		data = append(data, piece...)
	}
	return data, ""
}

// close ends all processes and clients.
func (w *world) close() {
	w.end()
	for _, c := range w.clients {
		c.close()
	}
	for _, m := range w.machines {
		m.kill()
	}
	for _, m := range w.machines {
		m.runs.Wait()
	}
}

// report fails the test with all that is wrong.
func (w *world) report() {
	for _, wrong := range w.wrong {
		w.t.Error(wrong)
	}
}

func (w *world) sum() campaign.Counts {
	counts := w.counts
	counts["acknowledged"] += w.ledger.acked
	return counts
}

// topicLedger is which topics must be there.
type topicLedger struct {
	mu    sync.Mutex
	known map[string]existence
}

type existence int

const (
	mayBe existence = iota // nobody knows
	isThere
	isGone
)

func newTopicLedger() *topicLedger { return &topicLedger{known: map[string]existence{}} }

func (l *topicLedger) set(name string, e existence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[name] = e
}

// pick is a topic that is there, of those that do not last.
func (l *topicLedger) pick(r *rand.Rand, lasting []spot) (name string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for n, e := range l.known {
		if e == isThere && !slices.ContainsFunc(lasting, func(s spot) bool { return s.topic == n }) {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return "", false
	}
	slices.Sort(all)
	return all[r.IntN(len(all))], true
}

func (l *topicLedger) check(img *image.Image) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, e := range l.known {
		_, there := img.TopicNamed(name)
		if there && e == isGone || !there && e == isThere {
			wrong = append(wrong, fmt.Sprintf("topic %s is there: %v, which is not what was acknowledged", name, there))
		}
	}
	return wrong
}
