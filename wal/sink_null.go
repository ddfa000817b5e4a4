//go:build nullsink

package wal

import (
	"context"
	"errors"
	"log/slog"

	"chronik/wal/vfs"
)

// A build with the tag nullsink measures what everything but the disk costs: the log takes entries, keeps their newest
// bytes in memory, calls their sinks, and writes none of them.

// endless is the size of the only file that such a log ever begins: there is nothing to recycle and nothing to cut.
const endless = 1 << 60

func (l *Log) put(vfs.File, *group, *groupHeader, int64, bool) error { return nil }

// announceSink refuses to run where nobody would be told.
func (l *Log) announceSink() error {
	if l.opt.Logger == nil || !l.opt.Logger.Enabled(context.Background(), slog.LevelError) {
		return errors.New("wal: this build writes no record to disk, and has no log to say so in")
	}
	l.opt.Logger.Error("NULL SINK: THIS BUILD WRITES NO RECORD TO DISK AND LOSES EVERY ONE OF THEM WHEN IT ENDS. It is for measuring only")
	l.files.active().size = endless
	return nil
}
