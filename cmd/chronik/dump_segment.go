package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"chronik/kafka/batch"
)

// dumpSegmentsAt shows one segment, or all below a directory.
func dumpSegmentsAt(p *printer, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	name, ext := strings.TrimSuffix(path, filepath.Ext(path)), filepath.Ext(path)
	switch {
	case info.IsDir():
		if err := segmentKind.check(path); err != nil {
			return err
		}
		return dumpSegments(p, path)
	case ext != ".seg" && ext != ".idx":
		return segmentKind.wrong(path, "is none of the ")
	}
	return dumpSegment(p, name, false)
}

// segmentsBelow is the segments in a directory and those in it, without ".seg". What has another name is of no
// partition; the node passes it over.
func segmentsBelow(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		number, ok := strings.CutSuffix(filepath.Base(name), ".seg")
		if _, bad := strconv.ParseInt(number, 10, 64); err == nil && ok && bad == nil && !d.IsDir() {
			names = append(names, strings.TrimSuffix(name, ".seg"))
		}
		return err
	})
	return names, err
}

func dumpSegments(p *printer, dir string) error {
	names, err := segmentsBelow(dir)
	for i, name := range names {
		followed := i+1 < len(names) && filepath.Dir(names[i+1]) == filepath.Dir(name)
		err = errors.Join(err, dumpSegment(p, name, followed))
	}
	return err
}

// segmentDump shows one segment. The segment package opens segments in order to go on with them, which repairs what a
// crash left; this reads the files by FORMAT.md and leaves them as they are.
type segmentDump struct {
	*printer
	base   int64
	data   *os.File
	size   int64 // of the data
	index  string
	marked mark // the newest good one
	whole  bool // the index ends with it
	chunks []chunk
}

// A mark says how much of the data was durable when it was written; end -1 is none. Nothing follows a seal.
type mark struct {
	end, size int64
	seal      bool
}

type chunk struct {
	base, end, pos, length int64
	crc                    uint32
}

type segmentLine struct {
	What string `json:"what"`
	File string `json:"file"`
	Base int64  `json:"base_offset"`
	Size int64  `json:"bytes"`
}

// dumpSegment shows the segment of that name. One that is followed by another was made durable as a whole, with its index.
func dumpSegment(p *printer, name string, followed bool) error {
	base, err := strconv.ParseInt(filepath.Base(name), 10, 64)
	if err != nil {
		return fmt.Errorf("%s.seg: a segment is named by its base offset: %w", name, err)
	}
	p.count("segments")
	data, err := os.Open(name + ".seg")
	if err != nil {
		return err
	}
	defer data.Close()
	info, err := data.Stat()
	if err != nil {
		return err
	}
	d := &segmentDump{printer: p, base: base, data: data, size: info.Size(), index: name + ".idx", marked: mark{end: -1}}
	l := segmentLine{"segment", data.Name(), base, d.size}
	p.line(0, fmt.Sprintf("segment %s: base offset %d, %d bytes", l.File, l.Base, l.Size), l)
	if err := d.showIndex(); err != nil {
		return err
	}
	d.checkEnds(followed)
	if err := d.showBatches(); err != nil {
		return err
	}
	return d.checkChunks()
}

// checkEnds compares where the files end with what the index says.
func (d *segmentDump) checkEnds(followed bool) {
	switch m := d.marked; {
	case m.size > d.size:
		d.damaged(d.data.Name(), d.size, fmt.Sprintf("the file ends, %d bytes were durable", m.size))
	case m.seal && m.size < d.size:
		d.damaged(d.data.Name(), m.size, fmt.Sprintf("the file goes on, it was sealed with %d bytes", m.size))
	case followed && !d.whole:
		d.damaged(d.index, -1, "it is not whole, and later records are in another segment; it is made again from the data")
	case followed && m.size < d.size:
		d.damaged(d.index, -1, fmt.Sprintf("it ends with byte %d of the data, and later records are in another segment", m.size))
	}
}

// The index's records, from segment/FORMAT.md.
const (
	recordSize  = 48
	headerKind  = 1
	chunkKind   = 2
	abortedKind = 3
	ongoingKind = 4
	markKind    = 5
	sealKind    = 6
	indexMagic  = "CHRSEGIX"
)

type indexRecord []byte

func (r indexRecord) field(i int) int64 { return int64(binary.BigEndian.Uint64(r[8*i:])) }

func (r indexRecord) kind() byte { return r[40] }

// good says whether r is the record of that number in the index of base.
func (r indexRecord) good(base, number int64) bool {
	place := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(base)), uint64(number))
	return crc32.Update(crc32.Checksum(place, castagnoli), castagnoli, r[:44]) == binary.BigEndian.Uint32(r[44:])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type indexLine struct {
	What   string  `json:"what"`
	Number int64   `json:"number"`
	Kind   string  `json:"kind"`
	Fields []int64 `json:"fields"`
}

// showIndex keeps the chunks up to the newest mark. A bad record before another good one is damage; behind the last
// good one it is what a crash left.
func (d *segmentDump) showIndex() error {
	raw, err := os.ReadFile(d.index)
	if errors.Is(err, os.ErrNotExist) {
		d.line(1, "no index: it is made again from the data", map[string]string{"what": "no index"})
		return nil
	}
	if err != nil {
		return err
	}
	if len(raw) >= recordSize && indexRecord(raw[:recordSize]).good(d.base, 0) && string(raw[:8]) != indexMagic {
		d.damaged(d.index, 0, "not an index")
		return nil
	}
	firstBad, chunks := int64(-1), 0
	for n := int64(0); (n+1)*recordSize <= int64(len(raw)); n++ {
		r := indexRecord(raw[n*recordSize : (n+1)*recordSize])
		if !r.good(d.base, n) {
			if firstBad < 0 {
				firstBad = n
			}
			continue
		}
		if firstBad >= 0 {
			d.damaged(d.index, firstBad*recordSize, "a record is bad and a later one good; the index is made again from the data")
			break
		}
		d.showRecord(r, n)
		switch r.kind() {
		case chunkKind:
			d.chunks = append(d.chunks, chunk{r.field(0), r.field(1), r.field(2), r.field(3) >> 32, uint32(r.field(3))})
		case markKind, sealKind:
			d.marked, chunks = mark{r.field(0), r.field(1), r.kind() == sealKind}, len(d.chunks)
			d.whole = (n+1)*recordSize == int64(len(raw))
		}
	}
	d.chunks = d.chunks[:chunks]
	if d.marked.end < 0 {
		d.line(1, "no mark in the index: it is made again from the data", map[string]string{"what": "no mark"})
	}
	return nil
}

func (d *segmentDump) showRecord(r indexRecord, number int64) {
	fields := make([]int64, 5)
	for i := range fields {
		fields[i] = r.field(i)
	}
	var name, text string
	switch r.kind() {
	case headerKind:
		name, text = "header", fmt.Sprintf("version %d", fields[1])
	case chunkKind:
		name, text = "chunk", fmt.Sprintf("offsets %d to %d, %d bytes at %d, CRC %08x, times up to %s",
			fields[0], fields[1]-1, fields[3]>>32, fields[2], uint32(fields[3]), timeText(fields[4]))
	case abortedKind:
		name, text = "aborted", fmt.Sprintf("producer %d, offsets %d to %d, last stable offset %d", fields[0], fields[1], fields[2], fields[3])
	case ongoingKind:
		name, text = "ongoing", fmt.Sprintf("producer %d from offset %d", fields[0], fields[1])
	case markKind, sealKind:
		name, text = "mark", fmt.Sprintf("end offset %d, %d bytes, times %s to %s, %d ongoing", fields[0], fields[1], timeText(fields[2]), timeText(fields[3]), fields[4])
		if r.kind() == sealKind {
			name = "seal"
		}
	default:
		name, text = fmt.Sprintf("kind %d", r.kind()), fmt.Sprint(fields)
	}
	d.line(1, fmt.Sprintf("index %d %s: %s", number, name, text), indexLine{"index", number, name, fields})
}

// showBatches takes bad bytes that were durable for damage, and what lies behind them for what a crash left: the next
// start cuts it.
func (d *segmentDump) showBatches() error {
	for pos := int64(0); pos < d.size; {
		end := d.marked.size
		if pos >= end {
			end = d.size
		}
		bad, err := asBad(eachBatch(d.data, pos, min(end, d.size), func(b batch.Batch, pos int64) error {
			return d.showBatch(1, d.data.Name(), b, pos)
		}))
		if err != nil {
			return err
		}
		if bad != nil && bad.pos >= d.marked.size {
			d.line(1, fmt.Sprintf("from %d on: %s; it was never durable", bad.pos, bad.why), damage{"torn", d.data.Name(), bad.pos, bad.why})
			return nil
		}
		if bad != nil {
			d.damaged(d.data.Name(), bad.pos, bad.why)
		}
		pos = end
	}
	return nil
}

// checkChunks compares the data with the index; a chunk's CRC covers the bytes that a batch's own does not.
func (d *segmentDump) checkChunks() error {
	sum := crc32.New(castagnoli)
	for _, c := range d.chunks {
		if c.pos+c.length > d.size {
			return nil
		}
		sum.Reset()
		if _, err := io.Copy(sum, io.NewSectionReader(d.data, c.pos, c.length)); err != nil {
			return err
		}
		if sum.Sum32() != c.crc {
			d.damaged(d.data.Name(), c.pos, fmt.Sprintf("the CRC of the %d bytes with offsets %d to %d does not match the index", c.length, c.base, c.end-1))
		}
	}
	return nil
}
