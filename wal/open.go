package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"chronik/wal/vfs"
)

const defaultFileSize = 64 << 20

// Open reads the checkpoint and then every entry after it, in the order of the appends. restore gets the payload of the
// newest Checkpoint (nil when there is none) before the first call of replay. A torn tail is cut; anything else that
// does not fit is a *CorruptError and the log stays closed.
func Open(o Options, restore func(checkpoint []byte) error, replay func(Replayed) error) (*Log, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	lock, err := o.FS.Lock("lock")
	if err != nil {
		return nil, err
	}
	l, err := open(o, restore, replay)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.lock = lock
	if err := l.announceSink(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.run()
	return l, nil
}

func (o *Options) complete() error {
	o.FileSize = max(whole(o.FileSize), 0)
	if o.FileSize == 0 {
		o.FileSize = defaultFileSize
	}
	o.FileSize = max(o.FileSize, 8*page)
	if o.SyncEvery <= 0 {
		o.SyncEvery = 100 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch o.Sync {
	case "":
		o.Sync = SyncAlways
	case SyncAlways, SyncInterval, SyncNever:
	default:
		return fmt.Errorf("wal: no sync mode %q", o.Sync)
	}
	return nil
}

// open recovers the log and makes its next file; no goroutine runs yet.
func open(o Options, restore func([]byte) error, replay func(Replayed) error) (*Log, error) {
	l := newLog(o)
	r, err := recoverLog(o, restore, replay)
	if err != nil {
		return nil, err
	}
	l.resume(r)
	if err := l.tidy(r); err != nil {
		r.close()
		return nil, err
	}
	if r.last >= 0 && !r.tidy {
		o.Logger.Info("the last stop was not in order: the write-ahead log was read back", "files", len(r.kept()), "groups", r.next-r.ck.number)
	}
	return l, nil
}

func newLog(o Options) *Log {
	l := &Log{}
	l.fs, l.pool, l.opt = directory{vfs.Final(o.FS)}, o.Pool, o
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	l.salt = binary.LittleEndian.Uint64(salt[:])
	l.idle.L = &l.mu
	l.failed, l.stop = make(chan struct{}), make(chan struct{})
	l.wake = make(chan struct{}, 1)
	l.prep.want, l.prep.grown = make(chan struct{}, 1), make(chan struct{}, 1)
	l.files.trimmed = map[StreamID]int64{}
	l.queue.cap = int(min(groupCap, o.FileSize-page))
	l.queue.chunk = int(min(1<<20, max(whole(o.Pool.Limit()/16), 2*spanMin)))
	return l
}

// resume takes over what was recovered: its files, and the number of the next group.
func (l *Log) resume(r *recovery) {
	l.files.list, l.files.last = r.kept(), r.next-1
	for _, f := range l.files.list {
		l.files.needing.Add(int64(f.live.len()))
	}
	l.start = r.next - 1
	l.written.Store(l.start)
	l.durable.Store(l.start)
	l.queue.next = r.next
}

func (l *Log) run() {
	l.pool.OnPressure(l.press)
	l.tasks.Add(2)
	go l.relay()
	go l.prepare()
	if l.opt.Sync == SyncInterval {
		l.tasks.Add(1)
		go l.syncing()
	}
}

// tidy brings the directory in order: what is torn is cut, files without entries go, and a new file begins. Nothing is
// ever written behind what a run before has left, so nothing that it left can be taken for what is written now.
func (l *Log) tidy(r *recovery) error {
	if err := l.settle(r); err != nil {
		return err
	}
	if err := l.adopt(r.names); err != nil {
		return err
	}
	if err := l.noteCut(r); err != nil {
		return err
	}
	if err := r.cutTail(); err != nil {
		return err
	}
	if err := l.salvage(r.needless); err != nil {
		return err
	}
	seq, base := r.place()
	if err := l.discard(r.surplus(), seq); err != nil {
		return err
	}
	f, err := l.first(seq, base)
	if err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	l.files.add(f)
	if r.bare {
		return writeCheckpoint(l.fs, checkpointName, &checkpoint{incarnation: l.opt.Incarnation, seq: seq, base: base, number: r.next})
	}
	return nil
}

// settle makes durable what recovery has read. After a kill it may have come from the page cache alone, and from here on
// it is said to be durable: to the log's readers, in the next file's header, and in the note of a cut. The same goes for
// names: files go because the checkpoint does not need them, or because those behind them are gone.
func (l *Log) settle(r *recovery) error {
	for _, f := range r.kept() {
		if err := syncFile(f); err != nil {
			return err
		}
	}
	return l.fs.SyncDir(".")
}

// adopt keeps the spares of the run before, and removes what it did not finish.
func (l *Log) adopt(names []string) error {
	for _, name := range names {
		stem, ext, _ := strings.Cut(name, ".")
		n, err := strconv.Atoi(stem)
		if err == nil && ext == "spare" {
			l.prep.serial = max(l.prep.serial, n)
			if err := l.adoptSpare(name); err != nil {
				return err
			}
		} else if ext == "tmp" {
			if err := l.fs.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Log) adoptSpare(name string) error {
	f, err := l.fs.Open(name, vfs.Direct)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil && size == l.opt.FileSize {
		l.prep.spares = append(l.prep.spares, spare{f, name})
		return nil
	}
	return errors.Join(err, f.Close(), l.fs.Remove(name))
}

// discard removes the files behind the log's end, the newest first and each durably, so that at no time one is missing
// between others. The one with the number of the file to be made stays, for that to replace it in one step.
func (l *Log) discard(surplus []*file, seq uint64) error {
	for i := len(surplus) - 1; i >= 0; i-- {
		f := surplus[i]
		f.Release()
		if f.seq == seq {
			continue
		}
		if err := l.fs.Remove(f.name); err != nil {
			return err
		}
		if err := l.fs.SyncDir("."); err != nil {
			return err
		}
	}
	return nil
}
