//go:build !nullsink

package wal

import "chronik/wal/vfs"

// put writes g, with header h, at off in f. Only the writer calls it.
func (l *Log) put(f vfs.File, g *group, h *groupHeader, off int64, sync bool) error {
	return f.WriteSync(g.vector(h), off, sync)
}

// announceSink has nothing to say of a log that writes.
func (l *Log) announceSink() error { return nil }
