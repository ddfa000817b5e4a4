package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// A kind is what PATH may be. A wrong PATH must look neither like damage nor like nothing being there.
type kind struct {
	what  string // it is
	want  string // what PATH is to be
	below string // the data directory
	in    func(dir string) (bool, error)
}

var (
	walKind     = kind{"write-ahead log", "its directory or one of its .wal files", "wal", isWAL}
	segmentKind = kind{"segments", "one's .seg or .idx file, or a directory above some", "partitions", hasSegments}
	metalogKind = kind{"metadata log", "its directory", "metalog", isMetalog}
	nodeKind    = kind{"node's data", "a data directory", ".", isNode}
)

// check fails where dir does not hold one.
func (k kind) check(dir string) error {
	ok, err := k.in(dir)
	if !ok && err == nil {
		err = k.wrong(dir, "holds no ")
	}
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%s may not be read: %w", dir, err)
	}
	return err
}

// wrong says what PATH is to be, and where that is if it is near.
func (k kind) wrong(path, how string) error {
	hint := ""
	above := filepath.Dir(path)
	for _, dir := range []string{path, above, filepath.Dir(above)} {
		near := filepath.Join(dir, k.below)
		if ok, err := k.in(near); !ok || err != nil {
			if near = dir; dir == path {
				continue
			}
			if ok, err = k.in(near); !ok || err != nil {
				continue
			}
		}
		if near != path {
			hint = ": did you mean " + near + "?"
			break
		}
	}
	return fmt.Errorf("%s %s%s; PATH is %s%s", path, how, k.what, k.want, hint)
}

func isWAL(dir string) (bool, error) {
	return holds(dir, func(name string) bool {
		return name == "checkpoint" || name == "closed" || filepath.Ext(name) == ".wal"
	})
}

func isMetalog(dir string) (bool, error) {
	return holds(dir, func(name string) bool {
		return slices.Contains([]string{"raft.db", "node.id", "log.end", "snapshots"}, name)
	})
}

func isNode(dir string) (bool, error) {
	return holds(dir, func(name string) bool { return name == "metalog" })
}

// holds says whether there is such a name in a directory; there is none in a file.
func holds(dir string, such func(name string) bool) (bool, error) {
	found, err := os.ReadDir(dir)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return slices.ContainsFunc(found, func(d fs.DirEntry) bool { return such(d.Name()) }), err
}

func hasSegments(dir string) (bool, error) {
	names, err := segmentsBelow(dir)
	return len(names) > 0, err
}

// onePath has a subcommand's PATH be there, once.
func onePath(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("which %s? %s", what, cmd.UseLine())
		case 1:
			return nil
		}
		return fmt.Errorf("one %s at a time: %s", what, cmd.UseLine())
	}
}
