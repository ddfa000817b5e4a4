package metalog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// raftLogger gives raft's lines to slog. What raft says at INFO is of interest to who debugs raft; its WARN lines while
// starting ("heartbeat timeout reached" before each first election) are how a start looks, so they count as DEBUG until
// settled is set.
type raftLogger struct {
	to      *slog.Logger
	settled atomic.Bool
}

func (l *raftLogger) hclog() hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off})
	h.RegisterSink(l)
	return h
}

// Accept implements hclog.SinkAdapter.
func (l *raftLogger) Accept(_ string, level hclog.Level, msg string, args ...any) {
	l.to.Log(context.Background(), l.level(level), "raft: "+msg, plain(args)...)
}

func (l *raftLogger) level(level hclog.Level) slog.Level {
	switch {
	case level >= hclog.Error:
		return slog.LevelError
	case level == hclog.Warn && l.settled.Load():
		return slog.LevelWarn
	case level == hclog.Warn, level == hclog.Info:
		return slog.LevelDebug
	}
	return slog.LevelDebug - 4
}

// plain prints what hclog would format, because slog would show the parts of it.
func plain(args []any) []any {
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(f[0].(string), f[1:]...)
		}
	}
	return args
}
