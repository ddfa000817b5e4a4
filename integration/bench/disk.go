package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	probeWriters = 2
	probeFile    = 64 << 20 // bytes of each
	probeWrite   = 1 << 20
	probeTime    = time.Second
)

// diskSpeed is how many MB/s the disk takes when blocks are written as Chronik's write-ahead log does it at its best: large ones,
// past the page cache, each on disk before the writer's next, into files whose blocks are there.
func diskSpeed(dir string) (mbps float64, err error) {
	var all errgroup.Group
	var sums [probeWriters]int
	begin := make(chan struct{})
	for i := range sums {
		file := filepath.Join(dir, fmt.Sprint("probe", i))
		defer func() { err = errors.Join(err, os.Remove(file)) }()
		if err := zeroes(file); err != nil {
			return 0, err
		}
		all.Go(func() (err error) {
			<-begin
			sums[i], err = overwrite(file)
			return err
		})
	}
	began := time.Now()
	close(begin)
	err = all.Wait()
	took := time.Since(began).Seconds()
	for _, n := range sums {
		mbps += float64(n) / 1e6 / took
	}
	return mbps, err
}

func zeroes(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeFile))
	return errors.Join(err, f.Sync(), f.Close())
}

// overwrite writes over a file again and again, and returns how many bytes. A file system without O_DIRECT goes through its cache.
func overwrite(file string) (sum int, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|unix.O_DIRECT|unix.O_DSYNC, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(file, os.O_WRONLY|unix.O_DSYNC, 0)
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	block, err := unix.Mmap(-1, 0, probeWrite, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unix.Munmap(block)) }()
	for end := time.Now().Add(probeTime); time.Now().Before(end); {
		n, err := f.WriteAt(block, int64(sum%probeFile))
		if err != nil {
			return sum, err
		}
		sum += n
	}
	return sum, nil
}
