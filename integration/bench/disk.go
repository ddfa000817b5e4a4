package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	probeWriters = 2
	probeFile    = 64 << 20 // bytes of each
	probeWrite   = 1 << 20
	probeGroup   = 16 << 10 // about what the write-ahead log writes at once at 100,000 records of 1 KiB in a second
	probeTime    = time.Second
)

// diskSpeed is how many MB/s the disk takes when large blocks are written over files.
func diskSpeed(dir string) (mbps float64, err error) {
	var all errgroup.Group
	var writes [probeWriters]int
	begin := make(chan struct{})
	for i := range writes {
		file := filepath.Join(dir, fmt.Sprint("probe", i))
		defer func() { err = errors.Join(err, os.Remove(file)) }()
		if err := zeroes(file); err != nil {
			return 0, err
		}
		all.Go(func() error {
			<-begin
			end := time.After(probeTime)
			return overwrite(file, probeWrite, end, func(time.Duration) { writes[i]++ })
		})
	}
	began := time.Now()
	close(begin)
	err = all.Wait()
	took := time.Since(began).Seconds()
	for _, n := range writes {
		mbps += float64(n*probeWrite) / 1e6 / took
	}
	return mbps, err
}

// A latency is in ms; zero where it was not measured.
type latency struct{ p50, p99 float64 }

// syncs is how long a synced write of a group takes, one under way at a time, while the null sink runs the load: what the disk
// takes when the machine has as much to do beside it as a broker's client gives it, and no broker writes.
func (b *bench) syncs(p *pair, c contest, l load) (of latency, err error) {
	if p.null == nil || !c.timesWrites() {
		return latency{}, nil
	}
	l.beside = append(slices.Clone(l.beside), func(b *bench, _ load, _ subject) (func() error, error) { return b.timeWrites(&of) })
	_, err = b.saying("beside synced writes: ").turn(l, p.null)
	return of, err
}

// timesWrites says whether a latency of the load has a target, which writing may keep it from.
func (c contest) timesWrites() bool {
	return c.onNull() && slices.ContainsFunc(c.rows, func(r row) bool { return r.target != "" && r.unit == "ms" })
}

// timeWrites begins to write groups, one after the other, and returns what ends that and sets what they took.
func (b *bench) timeWrites(of *latency) (end func() error, err error) {
	file := filepath.Join(b.dataDir, "probe")
	if err := zeroes(file); err != nil {
		return nil, err
	}
	var ms []float64
	stop, ended := make(chan time.Time), make(chan error, 1)
	go func() {
		ended <- overwrite(file, probeGroup, stop, func(took time.Duration) { ms = append(ms, took.Seconds()*1000) })
	}()
	return func() error {
		close(stop)
		err := errors.Join(<-ended, os.Remove(file))
		slices.Sort(ms)
		if len(ms) > 0 {
			*of = latency{percentile(ms, 50), percentile(ms, 99)}
		}
		return err
	}, nil
}

func zeroes(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeFile))
	return errors.Join(err, f.Sync(), f.Close())
}

// overwrite writes blocks over a file again and again until end, as the write-ahead log does at its best: past the page cache,
// each on disk before the next, where blocks of the file are. It says how long each took. A file system without O_DIRECT goes
// through its cache.
func overwrite(file string, size int, end <-chan time.Time, wrote func(time.Duration)) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|unix.O_DIRECT|unix.O_DSYNC, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(file, os.O_WRONLY|unix.O_DSYNC, 0)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Munmap(block)) }()
	for at := 0; ; at += size {
		began := time.Now()
		if _, err := f.WriteAt(block, int64(at%probeFile)); err != nil {
			return err
		}
		wrote(time.Since(began))
		select {
		case <-end:
			return nil
		default:
		}
	}
}
