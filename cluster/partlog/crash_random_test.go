package partlog

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"chronik/kafka/batch"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/campaign"
	"chronik/wal/vfs"
)

// ordeal does everything to a store by chance, and in every operation that changes the disk looks at what a power cut
// there would leave.
type ordeal struct {
	t    *testing.T
	r    *rand.Rand
	d    *disk
	mem  *vfs.Mem
	s    *Store
	pool *arena.Pool // of survivors

	mu      sync.Mutex // guards what follows; crashes come from the store's goroutines too
	chance  *rand.Rand // of the crashes
	live    []*ledger
	deleted map[wal.StreamID]bool
	newest  wal.StreamID
	ops     int
	counts  campaign.Counts
	broke   error
}

const ordealFile = 32 << 10

func newOrdeal(t *testing.T, seed uint64) *ordeal {
	o := &ordeal{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), chance: rand.New(rand.NewPCG(seed, 2)), d: newDisk(t),
		pool: arena.New(64 << 20), deleted: map[wal.StreamID]bool{}, counts: campaign.Counts{},
	}
	o.mem = o.d.fs.(*vfs.Mem)
	o.d.fileSize = ordealFile
	if o.d.cutters = 1; seed%4 == 0 { // else it is the same each time
		o.d.cutters = 3
	}
	o.d.replicated = seed%2 == 1
	for range 3 {
		o.create()
	}
	o.mem.Watch(o.look)
	return o
}

func (o *ordeal) create() *ledger {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.newest++
	o.d.configs[o.newest] = smallSegments()
	k := &ledger{stream: o.newest}
	o.live = append(o.live, k)
	return k
}

// run does steps, and closes the store.
func (o *ordeal) run(steps int) {
	o.s = o.d.open()
	for range steps {
		o.step()
		o.mu.Lock()
		broke := o.broke
		o.mu.Unlock()
		if broke != nil {
			break
		}
	}
	closeStore(o.t, o.s)
	o.mem.Watch(nil)
}

func (o *ordeal) step() {
	k := o.live[o.r.IntN(len(o.live))]
	if o.d.replicated && o.r.IntN(2) == 0 {
		o.replicate(k)
		return
	}
	switch n := o.r.IntN(24); {
	case n < 13:
		o.produce()
	case n < 16:
		o.cut(o.r.IntN(4) > 0)
	case n < 17:
		o.checked(o.s.checkpoint())
	case n < 19:
		o.deleteRecords(k)
	case n < 20:
		o.expire(k)
	case n < 21:
		o.remove(k)
	case n < 22:
		o.update(k, func() { k.epoch++ })
	default:
		closeStore(o.t, o.s)
		o.s = o.d.open()
	}
}

func (o *ordeal) checked(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// update changes a ledger; crashes see it from then on.
func (o *ordeal) update(k *ledger, fn func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fn()
}

// produce appends to several streams, several batches at once, and waits for all of them.
func (o *ordeal) produce() {
	var ends []func()
	for range 1 + o.r.IntN(3) {
		k := o.live[o.r.IntN(len(o.live))]
		l := o.d.log(o.s, k.stream)
		for range 1 + o.r.IntN(2) {
			o.begin(k, l)
		}
		n := len(k.batches)
		ends = append(ends, func() {
			settle(o.t, l, k.end(n))
			o.update(k, func() { k.acked = max(k.acked, n); k.cutting = k.acked })
		})
	}
	o.s.Commit()
	for _, end := range ends {
		end()
	}
}

// begin appends one batch: plain, a producer's, in a transaction, or the transaction's end.
func (o *ordeal) begin(k *ledger, l *Log) {
	b := o.draw(k)
	if b.IsControl() {
		o.update(k, func() { o.checked(k.mark(l, b)) })
		return
	}
	a := Append{Data: b, Version: 9}
	if o.r.IntN(2) == 0 {
		var buf *arena.Buf
		a, buf = inBuffer(o.s.options.Pool, b)
		defer buf.Release()
	}
	o.update(k, func() {
		a.LeaderEpoch = k.epoch
		o.checked(k.take(l, a))
	})
}

// replicate has the log follow: it gets several batches at once, loses some, and hears what is stable.
func (o *ordeal) replicate(k *ledger) {
	l := o.d.log(o.s, k.stream)
	switch o.r.IntN(8) {
	case 0:
		o.lead(k, l)
	case 1:
		o.update(k, func() { k.stable = k.end(k.acked) })
		l.SetStable(k.stable)
	case 2:
		o.truncate(k, l)
	case 3:
		o.unclean(k, l)
	case 4:
		if o.r.IntN(2) == 0 {
			o.reset(k, l)
		}
	default:
		o.follow(k, l)
	}
}

// lead has the log led in the next epoch, in which it gets nothing, and then cut where it ends, because another one leads.
func (o *ordeal) lead(k *ledger, l *Log) {
	l.Lead(k.epoch + 1)
	if o.r.IntN(2) == 0 {
		o.checked(o.s.checkpoint())
	}
	if end, err := l.Truncate(k.end(k.acked), math.MaxInt32); err != nil || end != k.end(k.acked) {
		o.t.Fatal(end, err)
	}
}

func (o *ordeal) follow(k *ledger, l *Log) {
	o.update(k, func() {
		var data batch.Batch
		for range 1 + o.r.IntN(4) {
			b := o.draw(k)
			b.Assign(k.end(len(k.batches)), k.epoch)
			k.batches, data = append(k.batches, slices.Clone(b)), append(data, b...)
		}
		a := Append{Data: data}
		if o.r.IntN(2) == 0 {
			var buf *arena.Buf
			a, buf = inBuffer(o.s.options.Pool, data)
			defer buf.Release()
			a.Buf = buf
		}
		end, err := l.AppendAsFollower(a.Data, a.Buf, k.epoch)
		o.checked(err)
		if end != k.end(len(k.batches)) {
			o.t.Fatal(end, k.end(len(k.batches)))
		}
	})
	n := len(k.batches)
	o.s.CommitFollowed(0)
	settle(o.t, l, k.end(n))
	o.update(k, func() { k.acked = n; k.cutting = n })
}

// truncate cuts off some of what is not stable, to an offset within a batch too.
func (o *ordeal) truncate(k *ledger, l *Log) {
	low := 0
	for low < len(k.batches) && (k.end(low) < k.stable || k.end(low) < k.start) {
		low++
	}
	n := low + o.r.IntN(len(k.batches)-low+1)
	to := k.end(n)
	if n < len(k.batches) {
		to += o.r.Int64N(k.end(n+1) - to)
	}
	o.update(k, func() { k.cutting = n })
	end, err := l.Truncate(to, math.MaxInt32)
	o.checked(err)
	if end != k.end(n) {
		o.t.Fatalf("truncated at %d to %d, not %d", to, end, k.end(n))
	}
	o.update(k, func() {
		if n < len(k.batches) {
			o.counts["truncations"]++
		}
		k.truncated(n)
	})
}

// draw makes the log's next batch: plain, a producer's, in a transaction, or the transaction's end.
func (o *ordeal) draw(k *ledger) batch.Batch {
	id := 1 + o.r.Int64N(producersEach)
	_, open := k.txnsOf()
	_, inTxn := open[id]
	var b batch.Batch
	switch n := o.r.IntN(8); {
	case inTxn && n < 2:
		m := batch.Marker{ProducerID: id, ProducerEpoch: k.own(id)[0].ProducerEpoch(), Commit: n == 0}
		return batch.AppendMarker(nil, m, k.clock())
	case n < 3:
		b = o.plain(k)
	case n == 3 && !inTxn && len(k.own(id)) > 0: // the producer begins anew, in another epoch
		w := batch.Builder{Producer: &batch.Producer{ID: id, Epoch: k.own(id)[0].ProducerEpoch() + 1}}
		w.Add(&batch.Record{Timestamp: k.clock(), Value: content(k.stream, k.nth(), o.size())})
		b = build(&w)
	default:
		b = k.next(id, o.size(), inTxn || n == 4, 0)
	}
	return b
}

func (o *ordeal) plain(k *ledger) batch.Batch {
	w := batch.Builder{Compression: batch.Compression{Codec: batch.Codec(o.r.IntN(5))}}
	for i := range 1 + o.r.IntN(5) {
		w.Add(&batch.Record{Timestamp: k.clock() + int64(i), Value: content(k.stream, 100*k.nth()+i, o.size()/4)})
	}
	return build(&w)
}

// size is mostly small; what is large goes to disk from the buffer that it is in, or has a file of its own.
func (o *ordeal) size() int {
	sizes := []int{1, 30, 100, 400, 512, 1500, 4000, 6000}
	if o.r.IntN(12) == 0 {
		sizes = []int{20_000, 40_000, 70_000}
	}
	return sizes[o.r.IntN(len(sizes))]
}

// cut copies some of the oldest files into segments, from memory or from the files.
func (o *ordeal) cut(checkpoint bool) {
	if o.r.IntN(2) == 0 {
		forget(o.s)
	}
	o.s.tending.Lock()
	defer o.s.tending.Unlock()
	files := o.s.wal.Files()
	f := files[o.r.IntN(len(files))]
	o.checked(o.s.cutTo(f.Pos + f.Size))
	if checkpoint {
		o.checked(o.s.checkpoint())
	}
}

func (o *ordeal) deleteRecords(k *ledger) {
	end := k.end(k.acked)
	if o.d.replicated {
		end = max(k.start, k.stable)
	}
	to := k.start + o.r.Int64N(end-k.start+1)
	o.update(k, func() { k.raising = to })
	o.checked(o.d.log(o.s, k.stream).SetLogStart(to))
	o.update(k, func() { k.start = to })
}

// expire has retention take what is older than one of the batches.
func (o *ordeal) expire(k *ledger) {
	if len(k.batches) == 0 {
		return
	}
	o.update(k, func() { k.raising, k.byTime = k.end(k.acked), true })
	config := *o.d.config(k.stream)
	config.RetentionMs = o.d.clock.Load() - 10*o.r.Int64N(int64(len(k.batches)+2))
	l := o.d.log(o.s, k.stream)
	l.SetConfig(&config)
	tend(o.t, o.s, true)
	l.SetConfig(o.d.config(k.stream))
	o.update(k, func() { k.start = l.Offsets().LogStart; k.raising, k.byTime = k.start, false })
}

// remove deletes a stream; its topic comes back as another one.
func (o *ordeal) remove(k *ledger) {
	o.update(k, func() {
		o.live = slices.DeleteFunc(o.live, func(other *ledger) bool { return other == k })
		o.deleted[k.stream] = true
		o.d.deleted[k.stream] = true
	})
	o.checked(o.s.Delete(k.stream))
	if o.r.IntN(3) > 0 {
		tend(o.t, o.s, false)
	}
	o.create()
}

// look is called in every operation.
func (o *ordeal) look(op vfs.Op) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ops++
	picks := []vfs.Pick{vfs.Oldest, vfs.Random(o.chance.Uint64()), vfs.Newest}
	for i, pick := range picks[:2+o.ops%4/3] {
		if o.broke == nil {
			o.note(o.survives(o.mem.Crash(pick), o.ops%5 == 0), "crash %d in operation %d, %s of %s", i, o.ops, op.Kind, op.Name)
		}
	}
}

func (o *ordeal) note(err error, where string, args ...any) {
	o.counts["states"]++
	if err != nil && o.broke == nil {
		o.broke = fmt.Errorf(where+": %w", append(args, err)...)
	}
}

// survives recovers what a crash left and holds it against the ledgers; so it does, when deep, with what a crash in the
// recovery leaves. Then clients go on, and a second crash must not take what they did.
func (o *ordeal) survives(left *vfs.Mem, deep bool) error {
	if deep {
		o.recoverUnderCrashes(left.Crash(vfs.Newest))
	}
	ledgers, unanswered := o.ledgers()
	s, err := o.recovered(left, ledgers)
	if err != nil {
		return err
	}
	for i, k := range ledgers {
		l, err := s.Log(testID(k.stream), o.d.configs[k.stream])
		if err == nil {
			err = k.goesOn(l, o.chance, unanswered[i][min(len(k.batches), len(unanswered[i])):])
		}
		if err != nil {
			return errors.Join(err, s.Close())
		}
	}
	if err := s.barrier(); err != nil {
		return errors.Join(err, s.Close())
	}
	if o.chance.IntN(3) == 0 {
		if err := cutEverything(s); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	again := left.Crash(vfs.Oldest)
	if err := s.Close(); err != nil {
		return err
	}
	for _, k := range ledgers {
		k.acked = len(k.batches)
	}
	s, err = o.recovered(again, ledgers)
	if err != nil {
		return fmt.Errorf("and again, when clients had gone on: %w", err)
	}
	return s.Close()
}

// ledgers is copies of the ledgers, and all batches of each.
func (o *ordeal) ledgers() (all []*ledger, batches [][]batch.Batch) {
	for _, k := range o.live {
		all, batches = append(all, k.clone()), append(batches, k.batches)
	}
	return all, batches
}

// recovered opens what a crash left.
func (o *ordeal) recovered(left *vfs.Mem, ledgers []*ledger) (*Store, error) {
	d := newDisk(o.t)
	d.fs, d.fileSize, d.deleted, d.configs, d.replicated = left, ordealFile, o.deleted, o.d.configs, o.d.replicated
	options := d.options()
	options.Pool = o.pool
	s, err := Open(options)
	if err != nil {
		return nil, err
	}
	if err = s.tend(false); err == nil {
		err = holds(s, d, ledgers)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// holds checks the logs, and that nothing is left of others.
func holds(s *Store, d *disk, ledgers []*ledger) error {
	owned := map[string]bool{}
	for _, k := range ledgers {
		owned[testID(k.stream).name()] = true
		l, err := s.Log(testID(k.stream), d.configs[k.stream])
		if err != nil {
			return err
		}
		l.SetStable(l.Offsets().Durable) // it leads, alone
		if err := k.survived(l); err != nil {
			return err
		}
	}
	if names, err := d.fs.List(quarantineDir); err == nil && len(names) > 0 {
		return fmt.Errorf("set aside: %v", names)
	}
	names, err := d.fs.List(segmentsDir)
	for _, name := range names {
		if !owned[name] {
			err = fmt.Errorf("the directory of a deleted partition, %s, is still there", name)
		}
	}
	return err
}

// recoverUnderCrashes crashes in operations of a recovery, and recovers again.
func (o *ordeal) recoverUnderCrashes(left *vfs.Mem) {
	k, skip := 0, o.chance.IntN(3)
	pick := []vfs.Pick{vfs.Oldest, vfs.Random(o.chance.Uint64())}
	var mu sync.Mutex
	var images []*vfs.Mem
	left.Watch(func(vfs.Op) {
		mu.Lock()
		defer mu.Unlock()
		if k++; k%3 == skip {
			images = append(images, left.Crash(pick[len(images)%2]))
		}
	})
	ledgers, _ := o.ledgers()
	s, err := o.recovered(left, ledgers)
	if err == nil {
		left.Watch(nil)
		err = s.Close()
	}
	if err != nil && o.broke == nil {
		o.broke = fmt.Errorf("under crashes: %w", err)
	}
	for i, image := range images {
		ledgers, _ := o.ledgers()
		s, err := o.recovered(image, ledgers)
		if err == nil {
			err = s.Close()
		}
		o.note(err, "crash %d in the recovery", i)
	}
}

func TestFaultsNoPowerCutLosesOrInventsARecord(t *testing.T) {
	plan := campaign.Plan{Name: "logs, segments, checkpoints: power cuts", Unit: "states", Glance: 500, Share: 5000, Soak: 30_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		o := newOrdeal(t, seed)
		o.run(25)
		if o.broke != nil {
			t.Fatal(o.broke)
		}
		return o.counts
	})
}
