package partlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"chronik/kafka/kerr"
	"chronik/segment"
)

// Damage is a log that does not hold what it did, and why.
type Damage struct {
	ID  ID
	Err error // names the file
}

// isDamage says whether the disk has lost what was read, and not only the process something that it needs for that, as a
// free file descriptor.
func isDamage(err error) bool {
	var corrupt *segment.CorruptError
	for _, sign := range []error{kerr.CorruptMessage, io.EOF, io.ErrUnexpectedEOF, fs.ErrNotExist, syscall.EIO} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return errors.As(err, &corrupt)
}

// sound says why a log is not what it was, once all entries have been replayed; one that is has its segments open.
func (r *recovery) sound(l *Log) error {
	if err := r.damaged[l.id.Stream]; err != nil {
		return err
	}
	if err := r.check(l); err != nil {
		return err
	}
	if err := l.openSegments(); err != nil {
		return fmt.Errorf("%s: %w: %w", l.id.name(), kerr.KafkaStorageError, err)
	}
	return nil
}

// repair gives damaged logs up, if whoever opens the store says that they may be. Nothing was written that would hide the
// damage from the next start.
func (r *recovery) repair(damage []Damage) error {
	if len(damage) == 0 {
		return nil
	}
	var errs []error
	for _, d := range damage {
		errs = append(errs, d.Err)
	}
	if r.store.options.Repair == nil {
		return errors.Join(errs...)
	}
	if err := r.store.options.Repair(damage); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, d := range damage {
		if err := r.store.Remove(d.ID.Stream); err != nil {
			return fmt.Errorf("give up %s: %w", d.ID.name(), err)
		}
	}
	return nil
}
