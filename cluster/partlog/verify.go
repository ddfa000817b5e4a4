package partlog

import (
	"errors"
	"io"

	"chronik/wal"
	"chronik/wal/vfs"
)

// Verify says what Open would say of the directory of a stopped node, and changes nothing: it recovers every log on a
// file system that forgets what is written to it.
func Verify(o Options) error {
	o.fill()
	o.FS = forgetful{o.FS}
	s := &Store{options: o, files: o.FS, logs: map[wal.StreamID]*Log{}, dying: map[wal.StreamID]grave{}}
	s.clock.now = func() int64 { return o.Now().UnixMilli() }
	s.clock.read()
	r := newRecovery(s)
	dir, err := vfs.Sub(o.FS, walDir)
	if err != nil {
		return err
	}
	err = wal.Verify(wal.Options{FS: dir, Pool: o.Pool, Incarnation: o.Incarnation, Logger: o.Logger}, r.restore, r.replay)
	if err != nil {
		return err
	}
	_, err = r.unowned() // a start moves it aside
	problems := []error{err}
	for _, l := range s.logs {
		problems = append(problems, r.sound(l), l.closeSegments())
	}
	return errors.Join(problems...)
}

// forgetful reads a file system, and says yes to every change without making it.
type forgetful struct{ vfs.FS }

func (f forgetful) Open(name string, flag vfs.Flag) (vfs.File, error) {
	file, err := f.FS.Open(name, vfs.ReadOnly)
	if err != nil && flag&vfs.Create != 0 {
		return forgetfulFile{emptyFile{}}, nil
	}
	if err != nil {
		return nil, err
	}
	return forgetfulFile{file}, nil
}

// Lock locks nothing: that is the caller's, and would make a file.
func (forgetful) Lock(string) (io.Closer, error) { return forgetfulFile{emptyFile{}}, nil }

func (forgetful) MkdirAll(string) error       { return nil }
func (forgetful) Remove(string) error         { return nil }
func (forgetful) Rename(string, string) error { return nil }
func (forgetful) SyncDir(string) error        { return nil }

type forgetfulFile struct{ vfs.File }

func (forgetfulFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (forgetfulFile) WriteSync([][]byte, int64, bool) error  { return nil }
func (forgetfulFile) Sync() error                            { return nil }
func (forgetfulFile) Truncate(int64) error                   { return nil }
func (forgetfulFile) Allocate(int64) error                   { return nil }

// emptyFile is one that would have been made.
type emptyFile struct{ vfs.File }

func (emptyFile) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
func (emptyFile) Size() (int64, error)              { return 0, nil }
func (emptyFile) Close() error                      { return nil }
