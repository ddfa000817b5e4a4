package wal

import "fmt"

// A file of the log has its full size from the start, so that one which is shorter lost its end, and with it groups that
// may have been durable. Two are shorter and whole: one made for a single group, which grows as that is written, and one
// that a recovery has cut behind its last group. The first says so in its header; the second stands in the file cutName,
// which is written before the cut: a checkpoint without a payload, with the file's number, the length that is left of it
// as base, and the number of the next group. It is left lying: as long as its file is the last with groups it is true,
// and then nobody asks.
const cutName = "cut"

// noteCut writes down what cutTail is about to do.
func (l *Log) noteCut(r *recovery) error {
	if r.last < 0 {
		return nil
	}
	size, err := r.files[r.last].f.Size()
	if err != nil || size <= r.end {
		return err
	}
	return writeCheckpoint(l.fs, cutName, &checkpoint{
		incarnation: l.opt.Incarnation, seq: r.files[r.last].seq, base: r.end, number: r.next, durable: r.next - 1,
	})
}

// cutShort says whether a recovery has left the file with the last group as long as it is.
func (r *recovery) cutShort(size int64) bool {
	return size == r.end && r.cut != nil && r.cut.seq == r.files[r.last].seq && r.cut.base == size
}

// checkSizes looks for a file that lost its end: among those before the one with the last group a lost end shows in what
// comes behind.
func (r *recovery) checkSizes() error {
	for i := max(r.last, 0); i < len(r.files); i++ {
		f, h := r.files[i], &r.headers[i]
		size, err := f.f.Size()
		if err != nil {
			return err
		}
		whole := size >= h.size || h.grows && i != r.last || i == r.last && r.cutShort(size)
		if !whole {
			return &CorruptError{f.name, size, fmt.Sprintf("the file ends, it had %d bytes", h.size)}
		}
	}
	return nil
}
