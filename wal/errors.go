package wal

import (
	"fmt"

	"chronik/kafka/kerr"
)

// MaxEntry is the greatest length of an entry's Data.
const MaxEntry = 1 << 30

var (
	// ErrGone is Read's answer for bytes whose file was recycled.
	ErrGone = fmt.Errorf("wal: recycled: %w", kerr.OffsetOutOfRange)
	// ErrClosed is the answer of a closed log.
	ErrClosed = fmt.Errorf("wal: closed: %w", kerr.KafkaStorageError)

	errTooLarge = fmt.Errorf("wal: an entry of more than %d bytes: %w", MaxEntry, kerr.MessageTooLarge)
)

// CorruptError says that the log on disk is not what was written, and where. Nothing was changed.
type CorruptError struct {
	File string // in the log's directory
	Pos  int64  // of the first byte that does not fit, in File
	Why  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("wal: %s is damaged at byte %d: %s", e.File, e.Pos, e.Why)
}

// Unwrap is Kafka's code for it.
func (e *CorruptError) Unwrap() error { return kerr.KafkaStorageError }

// failure is an error that ended the log: it is Kafka's KAFKA_STORAGE_ERROR, and still the system's error.
type failure struct{ err error }

func (f *failure) Error() string   { return "wal: " + f.err.Error() }
func (f *failure) Unwrap() []error { return []error{f.err, kerr.KafkaStorageError} }
