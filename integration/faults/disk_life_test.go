package faults

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chronik/integration/broker"
	"chronik/integration/faults/baddisk"
)

// diskClasses are the broker's files.
var diskClasses = []baddisk.Class{
	{Name: "wal file", Pattern: `^data/wal/\d{20}\.wal$`},
	{Name: "wal file ahead", Pattern: `^data/wal/\d+\.(tmp|spare)$`},
	{Name: "checkpoint", Pattern: `^data/wal/checkpoint(\.tmp)?$`},
	{Name: "closed mark", Pattern: `^data/wal/closed(\.tmp)?$`},
	{Name: "wal folder", Pattern: `^data/wal$`},
	{Name: "segment", Pattern: `^data/partitions/.*\.seg$`},
	{Name: "segment index", Pattern: `^data/partitions/.*\.idx$`},
	{Name: "partition folder", Pattern: `^data/partitions/[^/]+$`},
	{Name: "partitions folder", Pattern: `^data/partitions$`},
	{Name: "raft.db", Pattern: `^data/metalog/raft\.db(\.tmp)?$`},
	{Name: "log.end", Pattern: `^data/metalog/log\.end(\.tmp)?$`},
	{Name: "node.id", Pattern: `^data/metalog/node\.id(\.tmp)?$`},
	{Name: "snapshots probe", Pattern: `^data/metalog/snapshots/permTest$`},
	{Name: "snapshot", Pattern: `^data/metalog/snapshots/.+`},
	{Name: "snapshots folder", Pattern: `^data/metalog/snapshots$`},
	{Name: "metalog folder", Pattern: `^data/metalog$`},
	{Name: "lock", Pattern: `^data/.*lock$`},
	{Name: "data folder", Pattern: `^data$`},
	{Name: "folder above", Pattern: `^$`},
}

// tinyLog has files turn, segments be cut and files be recycled every few records.
var tinyLog = []string{"--wal-size", "2MiB", "--wal-file-size", "1MiB", "--memory-limit", "16MiB", "--max-request-size", "4MiB",
	"--set", "log.segment.bytes=1048576"}

// life is a broker on a bad disk.
type life struct {
	t    *testing.T
	disk *baddisk.Disk // nil: on another one
	*broker.Broker
	load   *diskLoad
	ended  chan time.Time // when the process did
	before string         // what the processes before it said
}

func newLife(t *testing.T, seed uint64) *life {
	t.Helper()
	d := mountBad(t, diskClasses, false)
	return &life{t: t, disk: d, Broker: broker.At(t, filepath.Join(d.Dir, "data"), tinyLog...), load: newDiskLoad(t, seed)}
}

// began says whether the broker got ready; otherwise it has ended.
func (l *life) began() bool {
	l.t.Helper()
	if l.disk != nil {
		ok(l.t, l.disk.Forget())
	}
	if l.Process != nil {
		l.before += l.Said()
	}
	p := broker.Start(l.t, broker.Command(l.t, "chronik-server"), l.Args()...)
	ended := make(chan time.Time, 1)
	go func() {
		<-p.Done
		ended <- time.Now()
	}()
	l.Process, l.ended = p, ended
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	patience := time.After(broker.Patience)
	for !strings.Contains(l.Said(), `"msg":"ready"`) {
		select {
		case <-l.Done:
			return false
		case <-patience:
			l.t.Fatalf("neither ready nor ended:\n%s", l.Said())
		case <-look.C:
		}
	}
	return true
}

// work has clients use the broker; it says whether the broker lived through it.
func (l *life) work(records int) bool {
	ctx, cancel := context.WithTimeout(l.t.Context(), broker.Patience)
	defer cancel()
	go func() {
		select {
		case <-l.Done:
			cancel()
		case <-ctx.Done():
		}
	}()
	l.load.run(ctx, l.Address(), records)
	select {
	case <-l.Done:
		return false
	default:
		return true
	}
}

// end stops it in order; it says whether the broker had no complaint.
func (l *life) end() bool {
	l.t.Helper()
	_ = l.Cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
	return l.Wait() == 0
}

// live is a whole life: a first start, work, an orderly end, and the same again on what is there. It ends when the broker
// does, or says something of storage when it ends.
func (l *life) live() {
	l.t.Helper()
	for range 2 {
		if !l.began() || !l.work(128) || !l.end() {
			return
		}
	}
}
