package metalog

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// recordFile is the metadata log of a node that is alone for good, as one plain file: a snapshot, then groups of entries, each
// synced before the next is written. FORMAT.md draws it. One goroutine at a time uses it.
type recordFile struct {
	disk vfs.FS // the log's directory
	file vfs.File
	salt uint32 // begins every checksum behind the first block, so that nobody can have a block written as an entry's data
	end  int64  // of the last whole block
	base int64  // where the snapshot ends

	index, term uint64 // of the last entry, and the term that goes on
}

const (
	recordsFile = "metadata.log"
	recordsTemp = recordsFile + ".tmp"

	blockMagic  = "CMF"
	blockHead   = len(blockMagic) + 1 + 4 + 8 + 8 // kind, length of the body, index, term
	blockSums   = 8                               // of the head, and of the body
	blockOfBase = 1                               // identity and image; the first one, and no other
	blockOfSome = 2                               // entries
	blockOfTerm = 3                               // a new term, without a body
)

// block is a piece of the file. Index is of the first entry in it, or of the last one before it.
type block struct {
	kind        byte
	index, term uint64
	body        []byte
}

func (f *block) size() int64 { return int64(blockHead + blockSums + len(f.body)) }

func (f *block) append(dst []byte, salt uint32) []byte {
	at := len(dst)
	dst = append(append(dst, blockMagic...), f.kind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.body)))
	dst = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, f.index), f.term)
	dst = binary.BigEndian.AppendUint32(dst, crc32.Update(salt, castagnoli, dst[at:]))
	return binary.BigEndian.AppendUint32(append(dst, f.body...), crc32.Update(salt, castagnoli, f.body))
}

// readBlock is false when b does not begin with a whole block.
func readBlock(b []byte, salt uint32) (f block, ok bool) {
	if len(b) < blockHead+blockSums || string(b[:len(blockMagic)]) != blockMagic {
		return f, false
	}
	head, rest := b[:blockHead], b[blockHead:]
	if binary.BigEndian.Uint32(rest) != crc32.Update(salt, castagnoli, head) {
		return f, false
	}
	n, rest := int64(binary.BigEndian.Uint32(head[len(blockMagic)+1:])), rest[4:]
	if n+4 > int64(len(rest)) || binary.BigEndian.Uint32(rest[n:]) != crc32.Update(salt, castagnoli, rest[:n]) {
		return f, false
	}
	f.kind = head[len(blockMagic)]
	f.index = binary.BigEndian.Uint64(head[blockHead-16:])
	f.term = binary.BigEndian.Uint64(head[blockHead-8:])
	f.body = rest[:n]
	return f, true
}

// base is what the first block holds.
type base struct {
	who   identity
	image *image.Image
}

// begin puts a file that holds b, as of an entry, in the place of what is there. It is on disk when begin returns; an error
// leaves what was there, unless it is an unsyncedNames.
func (r *recordFile) begin(b base, index, term uint64) (err error) {
	fresh := recordFile{disk: r.disk, index: index, term: term}
	if fresh.file, err = r.disk.Open(recordsTemp, vfs.Create|vfs.Truncate); err != nil {
		return err
	}
	if err = fresh.writeBase(b); err == nil {
		err = fresh.file.Sync()
	}
	if err == nil {
		err = r.disk.Rename(recordsTemp, recordsFile)
	}
	if err != nil {
		return errors.Join(err, fresh.file.Close(), r.disk.Remove(recordsTemp))
	}
	if err = r.disk.SyncDir("."); err != nil {
		return errors.Join(&unsyncedNames{err}, fresh.file.Close())
	}
	if r.file != nil {
		err = r.file.Close()
	}
	*r = fresh
	return err
}

func (r *recordFile) writeBase(b base) error {
	var salt [4]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return err
	}
	text := b.who.text()
	body := bytes.NewBuffer(append(binary.AppendUvarint(salt[:4:4], uint64(len(text))), text...))
	if err := b.image.Encode(body); err != nil {
		return err
	}
	if body.Len() > math.MaxUint32 {
		return fmt.Errorf("the snapshot has %d bytes, and the file has room for 4 GiB", body.Len())
	}
	r.salt = binary.BigEndian.Uint32(salt[:])
	err := r.write(block{blockOfBase, r.index, r.term, body.Bytes()}, 0)
	r.base = r.end
	return err
}

// append writes entries of the present term behind the last one, and syncs them.
func (r *recordFile) append(entries [][]byte) error {
	body := binary.AppendUvarint(nil, uint64(len(entries)))
	for _, e := range entries {
		body = append(binary.AppendUvarint(body, uint64(len(e))), e...)
	}
	if err := r.write(block{blockOfSome, r.index + 1, r.term, body}, r.salt); err != nil {
		return err
	}
	r.index += uint64(len(entries))
	return nil
}

// nextTerm begins another term.
func (r *recordFile) nextTerm() error {
	r.term++
	return r.write(block{blockOfTerm, r.index, r.term, nil}, r.salt)
}

func (r *recordFile) write(f block, salt uint32) error {
	b := f.append(nil, salt)
	if err := r.file.WriteSync([][]byte{b}, r.end, true); err != nil {
		return err
	}
	r.end += int64(len(b))
	return nil
}

// grown is how much has come behind the snapshot, in bytes.
func (r *recordFile) grown() int64 { return r.end - r.base }

// reader is told what a recordFile holds: the first block, then each entry.
type reader interface {
	base(b base, index, term uint64) error
	entry(index, term uint64, data []byte) error
}

// openRecords gives to what the file holds. What a power cut has torn of the last group, which nobody was told of, is cut off
// unless the file is opened to be read only. Errors wrap fs.ErrNotExist, or image.ErrCorrupt with the file's name and the
// position.
func openRecords(disk vfs.FS, flag vfs.Flag, to reader) (*recordFile, error) {
	r := &recordFile{disk: disk}
	var err error
	if r.file, err = disk.Open(recordsFile, flag); err != nil {
		return nil, err
	}
	if err = r.read(to); err == nil && flag&vfs.ReadOnly == 0 {
		err = r.cut()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", recordsFile, err), r.file.Close())
	}
	return r, nil
}

func (r *recordFile) read(to reader) error {
	size, err := r.file.Size()
	if err != nil {
		return err
	}
	content := make([]byte, size)
	if n, err := r.file.ReadAt(content, 0); n < len(content) {
		return err
	}
	first, ok := readBlock(content, 0)
	if !ok || first.kind != blockOfBase || len(first.body) < 4 {
		return damage("its beginning is damaged, or it is no metadata log")
	}
	r.salt = binary.BigEndian.Uint32(first.body)
	b, err := readBase(first.body[4:])
	if err == nil {
		err = to.base(b, first.index, first.term)
	}
	if err != nil {
		return fmt.Errorf("the snapshot at its beginning: %w", err)
	}
	r.index, r.term, r.end, r.base = first.index, first.term, first.size(), first.size()
	for rest := content[r.end:]; len(rest) > 0; rest = content[r.end:] {
		f, ok := readBlock(rest, r.salt)
		if !ok {
			return r.torn(rest)
		}
		if err := r.take(f, to); err != nil {
			return fmt.Errorf("at %d: %w", r.end, err)
		}
		r.end += f.size()
	}
	return nil
}

func readBase(body []byte) (b base, err error) {
	n, size := binary.Uvarint(body)
	if size <= 0 || n > uint64(len(body)-size) {
		return b, damage("it says nothing of its node")
	}
	text, rest := body[size:size+int(n)], body[size+int(n):]
	if b.who, err = parseIdentity(text); err != nil {
		return b, err
	}
	b.image, err = image.Read(bytes.NewReader(rest))
	return b, err
}

// torn is nil for what a cut short write can have left: a block is written when the one before it is on disk, so there is
// none behind a torn one.
func (r *recordFile) torn(rest []byte) error {
	for at := 1; ; at++ {
		next := bytes.Index(rest[at:], []byte(blockMagic))
		if next < 0 {
			return nil
		}
		at += next
		if _, ok := readBlock(rest[at:], r.salt); ok {
			return damage(fmt.Sprintf("damaged at %d: at %d it goes on", r.end, r.end+int64(at)))
		}
	}
}

// take goes on with a block behind the first.
func (r *recordFile) take(f block, to reader) error {
	switch {
	case f.kind == blockOfTerm && f.term > r.term && f.index == r.index && len(f.body) == 0:
		r.term = f.term
		return nil
	case f.kind != blockOfSome || f.term != r.term || f.index != r.index+1:
		return damage(fmt.Sprintf("a block of kind %d, entry %d and term %d does not follow entry %d of term %d", f.kind, f.index, f.term, r.index, r.term))
	}
	count, n := binary.Uvarint(f.body)
	body := f.body[max(n, 0):]
	for i := uint64(0); n > 0 && i < count; i++ {
		size, m := binary.Uvarint(body)
		if m <= 0 || size > uint64(len(body)-m) {
			return damage(fmt.Sprintf("entry %d is cut short", r.index+1))
		}
		if err := to.entry(r.index+1, r.term, body[m:m+int(size)]); err != nil {
			return err
		}
		body = body[m+int(size):]
		r.index++
	}
	if n <= 0 || len(body) > 0 {
		return damage(fmt.Sprintf("bytes behind entry %d", r.index))
	}
	return nil
}

// cut removes what is behind the last whole block. That is made durable, because what comes behind may be shorter than it was.
func (r *recordFile) cut() error {
	size, err := r.file.Size()
	if err != nil || size == r.end {
		return err
	}
	if err := r.file.Truncate(r.end); err != nil {
		return err
	}
	return r.file.Sync()
}
