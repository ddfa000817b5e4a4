package vfs

import (
	"io"
	"io/fs"
	"path"
	"strings"
)

// Sub returns the directory name of any file system as one of its own, for a part that owns it alone. There is nothing to close: it
// holds nothing but f.
func Sub(f FS, name string) (FS, error) {
	if name == "." || strings.Trim(name, "/") != name {
		return nil, &fs.PathError{Op: "sub", Path: name, Err: fs.ErrInvalid}
	}
	return &subFS{f, name}, nil
}

// subFS is a directory of another file system.
type subFS struct {
	fs  FS
	dir string
}

// at is the other file system's name of name. One that would leave the directory stays as it is, for that to refuse.
func (s *subFS) at(name string) string {
	if !fs.ValidPath(name) {
		return name
	}
	return path.Join(s.dir, name)
}

func (s *subFS) Open(name string, flag Flag) (File, error) { return s.fs.Open(s.at(name), flag) }
func (s *subFS) MkdirAll(name string) error                { return s.fs.MkdirAll(s.at(name)) }
func (s *subFS) Remove(name string) error                  { return s.fs.Remove(s.at(name)) }
func (s *subFS) Rename(from, to string) error              { return s.fs.Rename(s.at(from), s.at(to)) }
func (s *subFS) List(dir string) ([]string, error)         { return s.fs.List(s.at(dir)) }
func (s *subFS) SyncDir(dir string) error                  { return s.fs.SyncDir(s.at(dir)) }
func (s *subFS) Lock(name string) (io.Closer, error)       { return s.fs.Lock(s.at(name)) }
