package batch

import "os"

// Ref is what keeps an extent's bytes alive and in place; *arena.Buf and the files of the log are Refs.
type Ref interface{ Release() }

// Extent is a run of record bytes, in memory (Mem) or in a file (File, Off, Len). Whoever holds an Extent calls
// Release once when it has sent or copied the bytes; until then they neither move nor change.
type Extent struct {
	Mem  []byte   // nil when the bytes are in File
	File *os.File // never read through its own offset: it is shared
	Off  int64
	Len  int64
	Ref  Ref // may be nil
}

// Size is the number of bytes.
func (e *Extent) Size() int64 {
	if e.File == nil {
		return int64(len(e.Mem))
	}
	return e.Len
}

// Release gives the bytes back.
func (e *Extent) Release() {
	if e.Ref != nil {
		e.Ref.Release()
		e.Ref = nil
	}
}

// TimeOffset is a record found by its timestamp (ms).
type TimeOffset struct {
	Offset, Timestamp int64
	LeaderEpoch       int32
}
