package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"chronik/kafka/batch"
	"chronik/wal"
	"chronik/wal/vfs"
)

// The kinds of entries, from cluster/partlog/FORMAT.md.
const (
	kindBatches   wal.Kind = 1
	kindLogStart  wal.Kind = 2
	kindBarrier   wal.Kind = 3
	kindDirectory wal.Kind = 4
	kindTruncated wal.Kind = wal.Truncates | 5
	kindRemoved   wal.Kind = wal.Truncates | 6
)

// walDump shows a write-ahead log.
type walDump struct {
	*printer
	dir     string
	only    string // if set: the file to show; all are checked
	shown   bool   // the file
	file    *os.File
	group   wal.Item
	suspect []suspect
}

// suspect is damage if its group counts: behind the log's end it is a torn write, which nobody was promised.
type suspect struct {
	group uint64
	file  string
	badBatch
}

func dumpWALAt(p *printer, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	d := &walDump{printer: p, dir: path}
	if !info.IsDir() {
		d.dir, d.only = filepath.Dir(path), filepath.Base(path)
		if ok, err := isWAL(d.dir); !ok && err == nil {
			return walKind.wrong(path, "is of no ")
		}
	}
	if err := walKind.check(d.dir); err != nil {
		return err
	}
	if err = d.dump(); err == nil && d.only != "" && !d.shown {
		err = walKind.wrong(path, "is nothing to show of a ")
	}
	return err
}

func dumpWAL(p *printer, dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	return (&walDump{printer: p, dir: dir}).dump()
}

func (d *walDump) dump() error {
	if err := stopped(d.dir); err != nil {
		return err
	}
	files, err := vfs.OSReader(d.dir)
	if err != nil {
		return err
	}
	err = errors.Join(wal.Walk(files, d.visit), closeFS(files))
	if d.file != nil {
		err = errors.Join(err, d.file.Close())
	}
	var corrupt *wal.CorruptError
	if errors.As(err, &corrupt) {
		d.damaged(filepath.Join(d.dir, corrupt.File), corrupt.Pos, corrupt.Why)
		return nil
	}
	return err
}

// walLine is a wal.Item by the names of its fields; those that mean nothing for its kind are left out.
type walLine struct {
	What     string `json:"what"`
	File     string `json:"file"`
	Position int64  `json:"position"`
	Why      string `json:"why,omitempty"`
	Sequence uint64 `json:"file_number,omitempty"`
	Base     int64  `json:"base,omitempty"`
	Number   uint64 `json:"group,omitempty"`
	Durable  uint64 `json:"durable,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	Entries  int    `json:"entries,omitempty"`
	Closing  bool   `json:"closing,omitempty"`
	Stream   uint64 `json:"stream,omitempty"`
	Kind     string `json:"kind,omitempty"`
	End      int64  `json:"end,omitempty"`
}

func (d *walDump) visit(i wal.Item) error {
	hidden := d.quiet
	d.quiet = hidden || d.only != "" && i.File != d.only
	defer func() { d.quiet = hidden }()
	l := walLine{string(i.What), i.File, i.Off, i.Why, i.Seq, i.Base, i.Number, i.Durable, i.Len, i.Entries, i.Closing, uint64(i.Stream), "", i.End}
	d.shown = d.shown || i.What != wal.EndItem && i.File == d.only
	depth := 0
	switch i.What {
	case wal.FileItem:
		d.count("log files")
	case wal.GroupItem:
		d.count("groups")
		d.group, depth = i, 1
	case wal.EntryItem:
		d.count("entries")
		l.Kind, depth = kindName(i.Kind), 2
	case wal.EndItem:
		d.judge(i.Number)
	}
	if !d.quiet {
		d.line(depth, i.String(), l)
	}
	if i.What == wal.EntryItem {
		return d.entry(i)
	}
	return nil
}

func kindName(k wal.Kind) string {
	switch k {
	case kindBatches:
		return "batches"
	case kindLogStart:
		return "log start"
	case kindBarrier:
		return "barrier"
	case kindDirectory:
		return "directory"
	case kindTruncated:
		return "truncated"
	case kindRemoved:
		return "removed"
	}
	return fmt.Sprint(k)
}

func (d *walDump) entry(i wal.Item) error {
	if d.group.Why != "" || i.Why != "" {
		return nil
	}
	if err := d.open(i.File); err != nil {
		return err
	}
	switch i.Kind {
	case kindBatches:
		return d.batches(i)
	case kindLogStart:
		return d.logStart(i)
	}
	return nil
}

func (d *walDump) open(name string) (err error) {
	path := filepath.Join(d.dir, name)
	if d.file != nil {
		if d.file.Name() == path {
			return nil
		}
		if err := d.file.Close(); err != nil {
			return err
		}
	}
	d.file, err = os.Open(path)
	return err
}

func (d *walDump) batches(i wal.Item) error {
	end := int64(-1)
	err := eachBatch(d.file, i.Off, i.Off+i.Len, func(b batch.Batch, pos int64) error {
		end = b.NextOffset()
		return d.showBatch(3, i.File, b, pos)
	})
	bad, err := asBad(err)
	if err != nil {
		return err
	}
	if bad == nil && end != i.End {
		bad = &badBatch{i.Off, fmt.Sprintf("the entry says that it ends at offset %d, its batches end at %d", i.End, end)}
	}
	if bad != nil {
		d.suspect = append(d.suspect, suspect{i.Number, i.File, *bad})
	}
	return nil
}

func (d *walDump) logStart(i wal.Item) error {
	b := make([]byte, 16)
	if i.Len != int64(len(b)) {
		d.suspect = append(d.suspect, suspect{i.Number, i.File, badBatch{i.Off, fmt.Sprintf("a log start of %d bytes", i.Len)}})
		return nil
	}
	if _, err := d.file.ReadAt(b, i.Off); err != nil {
		return err
	}
	stream, offset := binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))
	d.line(3, fmt.Sprintf("stream %d starts at offset %d", stream, offset), struct {
		What   string `json:"what"`
		Stream uint64 `json:"stream"`
		Offset int64  `json:"offset"`
	}{"log start", stream, offset})
	return nil
}

// judge is called at the log's end: groups below next count.
func (d *walDump) judge(next uint64) {
	for _, s := range d.suspect {
		if s.group < next {
			d.damaged(filepath.Join(d.dir, s.file), s.pos, s.why)
		}
	}
}
