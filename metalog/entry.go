package metalog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"chronik/metalog/image"
)

// A Raft entry carries proposals: each is a list of records that is applied whole or not at all. FORMAT.md draws it.

const (
	entryMagic   = "CME"
	entryVersion = 1
	entryHeader  = len(entryMagic) + 1 + 4

	// maxEntry bounds an entry: followers get it in one message, and a heartbeat waits behind it.
	maxEntry = 1 << 20

	// maxProposal leaves room for the header, the count and one length.
	maxProposal = maxEntry - entryHeader - 2*binary.MaxVarintLen32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealEntry is the entry with these proposals, each of encoded records.
func sealEntry(proposals [][]byte) []byte {
	size := entryHeader + binary.MaxVarintLen32
	for _, p := range proposals {
		size += binary.MaxVarintLen32 + len(p)
	}
	b := make([]byte, entryHeader, size)
	copy(b, entryMagic)
	b[len(entryMagic)] = entryVersion
	b = binary.AppendUvarint(b, uint64(len(proposals)))
	for _, p := range proposals {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	binary.BigEndian.PutUint32(b[entryHeader-4:], crc32.Checksum(b[entryHeader:], castagnoli))
	return b
}

// openEntry is the proposals of an entry. Its errors wrap image.ErrCorrupt or image.ErrUnknown.
func openEntry(b []byte) ([][]image.Record, error) {
	if len(b) < entryHeader || string(b[:len(entryMagic)]) != entryMagic {
		return nil, fmt.Errorf("entry header: %w", image.ErrCorrupt)
	}
	if v := b[len(entryMagic)]; v != entryVersion {
		return nil, fmt.Errorf("entry of version %d: %w", v, image.ErrUnknown)
	}
	body := b[entryHeader:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[entryHeader-4:]) {
		return nil, fmt.Errorf("entry checksum: %w", image.ErrCorrupt)
	}
	count, n := binary.Uvarint(body)
	if n <= 0 || count > uint64(len(body)) {
		return nil, fmt.Errorf("entry's count of proposals: %w", image.ErrCorrupt)
	}
	body = body[n:]
	var proposals [][]image.Record
	for i := range count {
		size, n := binary.Uvarint(body)
		if n <= 0 || size > uint64(len(body)-n) {
			return nil, fmt.Errorf("length of proposal %d: %w", i, image.ErrCorrupt)
		}
		recs, err := image.DecodeAll(body[n : n+int(size)])
		if err != nil {
			return nil, fmt.Errorf("proposal %d: %w", i, err)
		}
		proposals, body = append(proposals, recs), body[n+int(size):]
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("%d bytes after the last proposal: %w", len(body), image.ErrCorrupt)
	}
	return proposals, nil
}
