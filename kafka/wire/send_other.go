//go:build !linux

package wire

import "os"

func (s *Sender) sendFile(f *os.File, off, n int64) error { return s.copyFile(f, off, n) }
