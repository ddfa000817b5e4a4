package partlog

import (
	"errors"
	"fmt"
	"testing"

	"chronik/kafka/batch"
	"chronik/wal"
	"chronik/wal/campaign"
	"chronik/wal/vfs"
)

// Where the write-ahead log is not synced for every acknowledgement, a power cut may take the newest records, but nothing else: what
// is left starts, can be read, and has the leader epochs that the log knows.
func TestFaultsAPowerCutWithoutSyncsLeavesWholeLogs(t *testing.T) {
	plan := campaign.Plan{Name: "logs that are not synced: power cuts", Unit: "states", Glance: 500, Share: 5000, Soak: 30_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		o := newOrdeal(t, 2*seed+1) // with replicas
		o.d.sync = []wal.SyncMode{wal.SyncNever, wal.SyncInterval}[seed%2]
		o.mem.Watch(o.lookUnsynced)
		o.run(25)
		if o.broke != nil {
			t.Fatal(o.broke)
		}
		return o.counts
	})
}

// lookUnsynced is look for logs whose newest records may go.
func (o *ordeal) lookUnsynced(op vfs.Op) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ops++; o.ops%3 == 0 && o.broke == nil {
		pick := []vfs.Pick{vfs.Oldest, vfs.Random(o.chance.Uint64())}[o.ops/3%2]
		o.note(o.whole(o.mem.Crash(pick)), "crash in operation %d, %s of %s", o.ops, op.Kind, op.Name)
	}
}

// whole opens what a crash left and reads all of it.
func (o *ordeal) whole(left *vfs.Mem) error {
	d := newDisk(o.t)
	d.fs, d.fileSize, d.deleted, d.configs, d.replicated, d.sync = left, ordealFile, o.deleted, o.d.configs, true, o.d.sync
	options := d.options()
	options.Pool = o.pool
	s, err := Open(options)
	if err != nil {
		return err
	}
	for _, k := range o.live {
		l, err := s.Log(testID(k.stream), d.configs[k.stream])
		if err == nil {
			err = hasItsEpochs(l)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("stream %d: %w", k.stream, err), s.Close())
		}
	}
	return s.Close()
}

func hasItsEpochs(l *Log) error {
	o, latest := l.Offsets(), l.LatestEpoch()
	for at := o.LogStart; at < o.LogEnd; {
		b, err := readBatch(l, at)
		if err != nil {
			return fmt.Errorf("read at %d of %+v: %w", at, o, err)
		}
		epoch, end := batch.Batch(b).LeaderEpoch(), batch.Batch(b).NextOffset()
		if known := l.EpochOf(at); known != epoch || end == o.LogEnd && latest != epoch {
			return fmt.Errorf("offset %d is of epoch %d, the log says %d, and %d is the latest", at, epoch, known, latest)
		}
		at = end
	}
	return nil
}
