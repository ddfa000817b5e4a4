package vfs

import (
	"errors"
	"io/fs"
	"sync"
)

// Final returns f with directories whose failed sync is the last one, of any of them: kernels drop what they could not
// write, so the next sync of the directory, be it somebody else's, would succeed for nothing.
func Final(f FS) FS { return &finalFS{FS: f, dirs: map[string]*finalDir{}} }

type finalFS struct {
	FS

	mu   sync.Mutex           // guards what follows, up to and with users
	err  error                // the first one
	dirs map[string]*finalDir // that are being synced
}

// finalDir lets one sync of a directory end before the next one begins.
type finalDir struct {
	users int
	sync.Mutex
}

func (f *finalFS) SyncDir(name string) error {
	d := f.enter(name)
	defer f.leave(name, d)
	d.Lock()
	defer d.Unlock()
	if err := f.failed(nil); err != nil {
		return err
	}
	err := f.FS.SyncDir(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.failed(err)
}

// failed returns the first error, which is err when there is none so far.
func (f *finalFS) failed(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	return f.err
}

func (f *finalFS) enter(name string) *finalDir {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.dirs[name]
	if d == nil {
		d = &finalDir{}
		f.dirs[name] = d
	}
	d.users++
	return d
}

func (f *finalFS) leave(name string, d *finalDir) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.users--; d.users == 0 {
		delete(f.dirs, name)
	}
}
