package cluster

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"chronik/cluster/partlog"
	"chronik/metalog"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// verifyMemory is what Verify reads the write-ahead log with.
const verifyMemory = 32 << 20

// Verify says why a node would not start on the data directory dir, as far as the reason lies there, and changes nothing.
// The node must be stopped.
func Verify(dir string) error {
	meta, err := metalog.Load(filepath.Join(dir, "metalog"))
	if err != nil {
		return fmt.Errorf("metadata log: %w", err)
	}
	logger := slog.New(slog.DiscardHandler)
	settings, err := newSettings(meta.Image, meta.NodeID, nil, logger)
	if err != nil {
		return err
	}
	if err := checkLost(Options{Dir: dir, ID: meta.NodeID}, meta.Image, meta.Incarnation); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "wal")); errors.Is(err, os.ErrNotExist) {
		return nil // the first start was cut short
	}
	fs, err := vfs.OS(dir)
	if err != nil {
		return err
	}
	err = partlog.Verify(partlog.Options{
		FS: fs, Pool: arena.New(verifyMemory), Incarnation: meta.Incarnation, Now: time.Now, Logger: logger,
		Known: known(meta.Image, settings),
	})
	if root, ok := fs.(io.Closer); ok {
		err = errors.Join(err, root.Close())
	}
	if err != nil {
		return fmt.Errorf("partition logs: %w", err)
	}
	return nil
}
