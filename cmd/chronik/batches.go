package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"

	"chronik/kafka/batch"
)

// batchLine is a batch's header as it is shown.
type batchLine struct {
	What          string `json:"what"`
	File          string `json:"file"`
	Position      int64  `json:"position"`
	Bytes         int    `json:"bytes"`
	BaseOffset    int64  `json:"base_offset"`
	LastOffset    int64  `json:"last_offset"`
	LeaderEpoch   int32  `json:"leader_epoch"`
	Records       int32  `json:"records"`
	ProducerID    int64  `json:"producer_id"`
	ProducerEpoch int16  `json:"producer_epoch"`
	BaseSequence  int32  `json:"base_sequence"`
	BaseTime      int64  `json:"base_timestamp"`
	MaxTime       int64  `json:"max_timestamp"`
	TimestampType string `json:"timestamp_type"`
	Codec         string `json:"codec"`
	Transactional bool   `json:"transactional,omitempty"`
	Control       bool   `json:"control,omitempty"`
	CRC           bool   `json:"crc_ok"`
}

func newBatchLine(b batch.Batch, file string, position int64) batchLine {
	return batchLine{
		What: "batch", File: file, Position: position, Bytes: len(b),
		BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset(), LeaderEpoch: b.LeaderEpoch(), Records: b.Count(),
		ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence(),
		BaseTime: b.BaseTimestamp(), MaxTime: b.MaxTimestamp(), TimestampType: b.TimestampType(),
		Codec: b.Codec().String(), Transactional: b.IsTransactional(), Control: b.IsControl(), CRC: b.CheckCRC() == nil,
	}
}

func (l batchLine) String() string {
	text := fmt.Sprintf("batch at %d: offsets %d to %d, %s, %d bytes, epoch %d, %s, %s %s to %s",
		l.Position, l.BaseOffset, l.LastOffset, counted(l.Records, "record"), l.Bytes, l.LeaderEpoch, l.Codec, l.TimestampType, timeText(l.BaseTime), timeText(l.MaxTime))
	if l.ProducerID != batch.NoProducerID {
		text += fmt.Sprintf(", producer %d epoch %d sequence %d", l.ProducerID, l.ProducerEpoch, l.BaseSequence)
	}
	if l.Transactional {
		text += ", transactional"
	}
	if l.Control {
		text += ", control"
	}
	if l.CRC {
		return text + ", CRC ok"
	}
	return text + ", CRC WRONG"
}

// A badBatch is where batches end that ought to go on.
type badBatch struct {
	pos int64
	why string
}

func (e *badBatch) Error() string { return fmt.Sprintf("at %d: %s", e.pos, e.why) }

// eachBatch visits the batches between two positions of a file; b is valid during the call only. It returns a *badBatch
// for bytes that are not a whole batch whose offsets follow the one before; visit sees those with a wrong CRC too.
func eachBatch(from io.ReaderAt, pos, end int64, visit func(b batch.Batch, pos int64) error) error {
	in := bufio.NewReaderSize(io.NewSectionReader(from, pos, end-pos), 256<<10)
	next, buf := int64(-1), []byte(nil)
	for pos < end {
		head, err := in.Peek(int(min(batch.HeaderSize, end-pos)))
		if err != nil && err != io.EOF {
			return err
		}
		size, err := batch.SizeHint(head)
		if err != nil || int64(size) > end-pos {
			return &badBatch{pos, fmt.Sprintf("no whole batch in the %d bytes up to %d", end-pos, end)}
		}
		buf = slices.Grow(buf[:0], size)[:size]
		if _, err := io.ReadFull(in, buf); err != nil {
			return err
		}
		b := batch.Batch(buf)
		if b.BaseOffset() < next || b.NextOffset() <= b.BaseOffset() {
			return &badBatch{pos, fmt.Sprintf("offsets %d to %d after %d", b.BaseOffset(), b.LastOffset(), next-1)}
		}
		if err := visit(b, pos); err != nil {
			return err
		}
		next = b.NextOffset()
		pos += int64(size)
	}
	return nil
}

// showBatch prints a batch; the error is a *badBatch when its CRC is wrong.
func (p *printer) showBatch(depth int, file string, b batch.Batch, pos int64) error {
	p.count("batches")
	l := newBatchLine(b, file, pos)
	p.lineOf(depth, l)
	if !l.CRC {
		return &badBatch{pos, fmt.Sprintf("the CRC of the batch with offsets %d to %d is wrong", l.BaseOffset, l.LastOffset)}
	}
	return nil
}

// asBad splits an error of eachBatch into what is bad in the file and what kept it from being read.
func asBad(err error) (*badBatch, error) {
	var bad *badBatch
	if errors.As(err, &bad) {
		return bad, nil
	}
	return nil, err
}
