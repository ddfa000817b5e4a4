package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// ItemKind is what an Item describes.
type ItemKind string

// The kinds of items, in the order in which Walk comes to them.
const (
	CheckpointItem ItemKind = "checkpoint" // Seq, Base, Number: the first file, its Pos, its first group; Durable; Len of the payload
	FileItem       ItemKind = "file"       // Seq, Base, Len of its range, Durable
	GroupItem      ItemKind = "group"      // Number, Durable, Len, Entries, Closing
	EntryItem      ItemKind = "entry"      // Stream, Kind, End, Len; Off is that of the data
	EndItem        ItemKind = "end"        // File and Off: where Open would end the log; Number: of the next group
)

// Item is one thing in the files of a log.
type Item struct {
	What    ItemKind
	File    string
	Off     int64  // in File
	Why     string // what is wrong with it, "" when nothing is
	Seq     uint64
	Base    int64
	Number  uint64
	Durable uint64
	Len     int64
	Entries int
	Closing bool
	Stream  StreamID
	Kind    Kind
	End     int64
}

// Walk visits everything in the files of a log that is not open, damaged or not: the checkpoint, the files in their
// order, and in each the groups and their entries, as far as they can be told from noise. It changes nothing. It
// returns what Open would say, nil when Open would succeed, or visit's error.
func Walk(f vfs.FS, visit func(Item) error) error {
	lock, err := f.Lock("lock")
	if err != nil {
		return err
	}
	w := walker{fs: f, visit: visit, pool: arena.New(2 * windowRoom)}
	return errors.Join(w.walk(), lock.Close())
}

// Verify is Open up to where it would change something: it reads every entry, and says what is damaged.
func Verify(o Options, restore func(checkpoint []byte) error, replay func(Replayed) error) error {
	if err := o.complete(); err != nil {
		return err
	}
	lock, err := o.FS.Lock("lock")
	if err != nil {
		return err
	}
	r := &recovery{o: o, replay: replay, flag: vfs.ReadOnly, next: 1, last: -1}
	err = r.recover(restore)
	r.close()
	return errors.Join(err, lock.Close())
}

type walker struct {
	fs          vfs.FS
	visit       func(Item) error
	pool        *arena.Pool
	w           window
	incarnation [16]byte
}

func (w *walker) walk() error {
	w.w.pool = w.pool
	defer w.w.close()
	names, err := w.fs.List(".")
	if err != nil {
		return err
	}
	if err := w.checkpoint(); err != nil {
		return err
	}
	for _, name := range names {
		if seq, ok := seqOf(name); ok {
			if err := w.file(name, seq); err != nil {
				return err
			}
		}
	}
	return w.verdict()
}

func (w *walker) checkpoint() error {
	b, err := readAll(w.fs, checkpointName)
	if err != nil {
		return w.visit(Item{What: CheckpointItem, File: checkpointName, Why: err.Error()})
	}
	var c checkpoint
	why := c.decode(checkpointName, b)
	w.incarnation = c.incarnation
	return w.visit(Item{What: CheckpointItem, File: checkpointName, Why: why, Seq: c.seq, Base: c.base, Number: c.number,
		Durable: c.durable, Len: int64(len(c.payload))})
}

func (w *walker) file(name string, seq uint64) error {
	v, err := w.fs.Open(name, vfs.ReadOnly)
	if err != nil {
		return err
	}
	f := &file{f: v, name: name, seq: seq}
	f.refs.Store(1)
	defer f.Release()
	b, err := w.w.bytes(f, 0, page)
	if err != nil {
		return err
	}
	var h fileHeader
	why := h.decode(b)
	if why == "" && h.seq != seq {
		why = "its header is that of another file"
	}
	if w.incarnation == [16]byte{} {
		w.incarnation = h.incarnation
	}
	err = w.visit(Item{What: FileItem, File: name, Why: why, Seq: h.seq, Base: h.base, Len: h.size, Durable: h.durable})
	if err != nil || why != "" {
		return err
	}
	return w.groups(f, &h)
}

// groups visits the groups of f. Behind one that is damaged it looks for more at every page.
func (w *walker) groups(f *file, h *fileHeader) error {
	size, err := f.f.Size()
	for pos := int64(page); err == nil && pos < size; {
		var g groupHeader
		var ok bool
		if ok, err = w.w.header(f, h, pos, &g); err != nil {
			return err
		}
		if !ok {
			pos += page
			continue
		}
		var whole bool
		if whole, err = w.group(f, h, pos, &g); whole {
			pos += int64(g.total)
		} else {
			pos += page
		}
	}
	return err
}

func (w *walker) group(f *file, h *fileHeader, pos int64, g *groupHeader) (whole bool, err error) {
	item := Item{What: GroupItem, File: f.name, Off: pos, Seq: g.seq, Number: g.number, Durable: g.durable,
		Len: int64(g.total), Entries: int(g.frames), Closing: g.flags&flagClosing != 0}
	b, err := w.w.group(f, h, pos, g)
	switch {
	case err != nil:
		return false, err
	case b == nil:
		item.Why = "the file ends within it"
	case !intact(b, g):
		item.Why = "not all of its entries are whole"
	}
	if err := w.visit(item); err != nil || b == nil {
		return false, err
	}
	return item.Why == "", w.entries(f, pos, b, g)
}

func (w *walker) entries(f *file, pos int64, b []byte, g *groupHeader) error {
	err := eachFrame(b, g, func(h *frameHeader, at int) error {
		item := Item{What: EntryItem, File: f.name, Off: pos + int64(at), Number: g.number, Stream: h.stream, Kind: h.kind,
			End: h.end, Len: int64(h.len)}
		if crc32.Checksum(b[at:at+int(h.len)], castagnoli) != h.dataCRC {
			item.Why = "its CRC is wrong"
		}
		return w.visit(item)
	})
	if errors.Is(err, errFrame) {
		return nil // the group said so
	}
	return err
}

// verdict runs the recovery without its consequences.
func (w *walker) verdict() error {
	r := &recovery{o: Options{FS: w.fs, Pool: w.pool, Incarnation: w.incarnation}, flag: vfs.ReadOnly, next: 1, last: -1}
	defer r.close()
	err := r.recover(nil)
	end := Item{What: EndItem, Number: r.next, Off: r.end}
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt):
		end.File, end.Off, end.Why = corrupt.File, corrupt.Pos, corrupt.Why
	case err != nil:
		return err
	case r.last >= 0:
		end.File = r.files[r.last].name
	}
	return errors.Join(w.visit(end), err)
}

// String is the item on one line.
func (i Item) String() string {
	var b strings.Builder
	i.describe(&b)
	if i.Why != "" {
		b.WriteString(": ")
		b.WriteString(i.Why)
	}
	return b.String()
}

func (i Item) describe(b *strings.Builder) {
	fmt.Fprintf(b, "%s %s at %d", i.What, i.File, i.Off)
	switch i.What {
	case CheckpointItem:
		fmt.Fprintf(b, " file=%d base=%d group=%d durable=%d payload=%d", i.Seq, i.Base, i.Number, i.Durable, i.Len)
	case FileItem:
		fmt.Fprintf(b, " number=%d base=%d size=%d durable=%d", i.Seq, i.Base, i.Len, i.Durable)
	case GroupItem:
		fmt.Fprintf(b, " number=%d durable=%d bytes=%d entries=%d", i.Number, i.Durable, i.Len, i.Entries)
		if i.Closing {
			b.WriteString(" closing")
		}
	case EntryItem:
		fmt.Fprintf(b, " stream=%d kind=%d end=%d bytes=%d", i.Stream, i.Kind, i.End, i.Len)
	case EndItem:
		fmt.Fprintf(b, " next=%d", i.Number)
	}
}
