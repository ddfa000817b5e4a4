package metalog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// A Raft entry carries proposals: each is a list of records that is applied whole or not at all. FORMAT.md draws it.

const (
	entryMagic   = "CME"
	entryVersion = 2
	entryHeader  = len(entryMagic) + 1 + 4

	// entryRoom is for what an entry has besides its proposals: header, term, count.
	entryRoom = entryHeader + binary.MaxVarintLen64 + binary.MaxVarintLen32

	// maxEntry bounds an entry: followers get it in one message, and a heartbeat waits behind it.
	maxEntry = 1 << 20

	// maxProposal leaves room for those and one length.
	maxProposal = maxEntry - entryRoom - binary.MaxVarintLen32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealEntry is the entry with these proposals, each of encoded records, that a leader makes in a term.
func sealEntry(term uint64, proposals [][]byte) []byte {
	size := entryRoom
	for _, p := range proposals {
		size += binary.MaxVarintLen32 + len(p)
	}
	b := make([]byte, entryHeader, size)
	copy(b, entryMagic)
	b[len(entryMagic)] = entryVersion
	b = binary.AppendUvarint(b, term)
	b = binary.AppendUvarint(b, uint64(len(proposals)))
	for _, p := range proposals {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	binary.BigEndian.PutUint32(b[entryHeader-4:], crc32.Checksum(b[entryHeader:], castagnoli))
	return b
}

// openEntry is the proposals of an entry, none and late when it was made in another term than it came into the log in: what
// its maker went by then, the order of what it was sent above all, is no more. Its errors wrap image.ErrCorrupt or
// image.ErrUnknown.
func openEntry(entry *raft.Log) (proposals [][]image.Record, late bool, err error) {
	b := entry.Data
	if len(b) < entryHeader || string(b[:len(entryMagic)]) != entryMagic {
		return nil, false, fmt.Errorf("entry header: %w", image.ErrCorrupt)
	}
	version, body := b[len(entryMagic)], b[entryHeader:]
	if version == 0 || version > entryVersion {
		return nil, false, fmt.Errorf("entry of version %d: %w", version, image.ErrUnknown)
	}
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[entryHeader-4:]) {
		return nil, false, fmt.Errorf("entry checksum: %w", image.ErrCorrupt)
	}
	if version > 1 {
		term, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, false, fmt.Errorf("entry's term: %w", image.ErrCorrupt)
		}
		body, late = body[n:], term != entry.Term
	}
	proposals, err = openProposals(body)
	if late {
		proposals = nil
	}
	return proposals, late, err
}

func openProposals(body []byte) ([][]image.Record, error) {
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
