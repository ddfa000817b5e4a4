package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chronik/cluster"
	"chronik/segment"
	"chronik/wal"
	"chronik/wal/vfs"
)

func dumpCommand() *cobra.Command {
	var format string
	var verify bool
	dump := &cobra.Command{
		Use:   "dump",
		Short: "Show and verify what a stopped node keeps on disk",
		Long: "dump shows what stands in the files of a stopped node and checks it, or with --verify checks a whole data\n" +
			"directory. It changes nothing. Exit code 2 says that it found damage, with file and position on a line each.",
		Args: cobra.ArbitraryArgs, // RunE says what to write
	}
	run := func(what func(*printer, string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), format)
			if err != nil {
				return err
			}
			err = what(p, filepath.Clean(args[0]))
			return errors.Join(err, p.close())
		}
	}
	dump.PersistentFlags().StringVar(&format, "format", "text", "`format`: text, or json with an object on each line")
	dump.Flags().BoolVar(&verify, "verify", false, "check everything in a data directory, and show only what is damaged")
	dump.RunE = func(cmd *cobra.Command, args []string) error {
		if !verify || len(args) != 1 {
			return errors.New("write dump --verify DATA_DIR, or what to dump: dump wal, dump segment or dump metalog and a PATH")
		}
		return run(verifyDataDir)(cmd, args)
	}
	dump.AddCommand(
		&cobra.Command{Use: "wal PATH", Short: "A write-ahead log's directory, or one of its files",
			Args: onePath("folder"), RunE: run(dumpWALAt)},
		&cobra.Command{Use: "segment PATH", Short: "A segment's data or index file, or all below a directory",
			Args: onePath("file or folder"), RunE: run(dumpSegmentsAt)},
		&cobra.Command{Use: "metalog PATH", Short: "A metadata log's directory",
			Args: onePath("folder"), RunE: run(dumpMetalogAt)},
	)
	return dump
}

// verifyDataDir goes on to the end, whatever it finds.
func verifyDataDir(p *printer, dir string) error {
	metalogDir := filepath.Join(dir, "metalog")
	if err := nodeKind.check(dir); err != nil {
		return err
	}
	if err := stopped(metalogDir); err != nil {
		return err
	}
	p.quiet = true
	err := dumpMetalog(p, metalogDir)
	if walErr := dumpWAL(p, filepath.Join(dir, "wal")); !errors.Is(walErr, os.ErrNotExist) {
		err = errors.Join(err, walErr)
	}
	segments := filepath.Join(dir, "partitions")
	if info, statErr := os.Stat(segments); statErr == nil && info.IsDir() { // of anything else the node will speak
		err = errors.Join(err, dumpSegments(p, segments))
	}
	p.quiet = false
	p.wouldStart(dir)
	p.summary()
	return err
}

// wouldStart asks the node itself what it would say of the directory: it holds the files against each other. What it
// says counts as damage where the files alone have shown none of it.
func (p *printer) wouldStart(dir string) {
	err := cluster.Verify(dir)
	p.verdict = "; the node would start"
	if err != nil {
		p.verdict = "; the node would not start"
	}
	found := p.damage
	for _, e := range parts(err) {
		file, position := placeOf(dir, e)
		if !slices.ContainsFunc(found, func(d damage) bool { return d.of(dir, file, e.Error()) }) {
			why := strings.TrimPrefix(strings.TrimPrefix(e.Error(), "metadata log: "), file+": ")
			p.damaged(file, position, "the node would not start: "+why)
		}
	}
}

// of says whether an error speaks of the damaged file: of a segment's two either may be named. What the node says of a
// file that is damaged is one of the things that were found in it.
func (d damage) of(dir, file, text string) bool {
	name := strings.TrimSuffix(d.File, filepath.Ext(d.File))
	rel, err := filepath.Rel(dir, name)
	return name == strings.TrimSuffix(file, filepath.Ext(file)) || err == nil && strings.Contains(text, rel)
}

// parts is the errors that were joined, each one line.
func parts(err error) (all []error) {
	if err == nil {
		return nil
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := parts(e.Unwrap()); len(inner) > 1 {
			return inner
		}
	case interface{ Unwrap() []error }:
		if inner := e.Unwrap(); errors.Join(inner...).Error() == err.Error() {
			for _, e := range inner {
				all = append(all, parts(e)...)
			}
			return all
		}
	}
	return []error{err}
}

// placeOf is the file that an error of the node speaks of, the whole directory if it speaks of several.
func placeOf(dir string, err error) (file string, position int64) {
	if e, ok := errors.AsType[*wal.CorruptError](err); ok {
		return filepath.Join(dir, "wal", e.File), e.Pos
	}
	if e, ok := errors.AsType[*segment.CorruptError](err); ok {
		return filepath.Join(dir, e.File), e.Pos
	}
	text := strings.TrimPrefix(err.Error(), "metadata log: ")
	if file, _, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(file, filepath.Join(dir, "metalog")+string(filepath.Separator)) {
		if _, err := os.Stat(file); err == nil {
			return file, -1
		}
	}
	return dir, -1
}

// stopped refuses the directory of a process that runs: what it shows would change under the reader.
func stopped(dir string) error {
	err := tryLock(dir)
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return fmt.Errorf("%s: stop the node first: %w", filepath.Join(dir, "lock"), vfs.ErrLocked)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s may not be read: %w", dir, err)
	}
	return err
}

func tryLock(dir string) error {
	fs, err := vfs.OSReader(dir)
	if err != nil {
		return err
	}
	lock, err := fs.Lock("lock")
	if err == nil {
		err = lock.Close()
	}
	return errors.Join(err, closeFS(fs))
}

func closeFS(fs vfs.FS) error {
	if c, ok := fs.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
