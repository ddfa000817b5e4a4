package vfs

import (
	"errors"
	"math"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Space is SpaceOf the directory name of f, which may be another disk's; errors.ErrUnsupported where f is none of the operating
// system's.
func Space(f FS, name string) (total, free int64, err error) {
	o, ok := f.(*osFS)
	if !ok {
		return 0, 0, errors.ErrUnsupported
	}
	return SpaceOf(filepath.Join(o.root.Name(), name))
}

// SpaceOf is the bytes of the file system that dir lies on, and those of them that may still be written.
func SpaceOf(dir string) (total, free int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return bytesOf(uint64(s.Blocks), uint64(s.Bsize)), bytesOf(uint64(s.Bavail), uint64(s.Bsize)), nil
}

func bytesOf(blocks, size uint64) int64 {
	if size > 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64
	}
	return int64(blocks * size)
}
