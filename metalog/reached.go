package metalog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// reached is how far the log is known to have gone. Every version of raft.db is whole in itself: that one is older than
// the files beside it, and entries that were acknowledged are not in it, shows only here and in a snapshot that goes
// further. It is noted at each start and at each orderly end, so what came after the start of a run that was killed, and
// after its last snapshot, is known to raft.db alone.
type reached struct {
	term      uint64
	committed uint64 // index of an entry that was committed in that term or before
}

const (
	reachedFile = "log.end"
	reachedHead = "chronik log end 1\n"
)

func (r reached) text() []byte {
	b := fmt.Appendf(nil, reachedHead+"term=%d\ncommitted=%d\n", r.term, r.committed)
	return appendSum(b)
}

func parseReached(b []byte) (r reached, err error) {
	var sum uint32
	_, err = fmt.Sscanf(string(b), reachedHead+"term=%d\ncommitted=%d\ncrc32c=%x\n", &r.term, &r.committed, &sum)
	if err != nil || !bytes.Equal(r.text(), b) {
		return reached{}, checkText(b)
	}
	return r, nil
}

// checkStored holds the log against the note. sent is the entry behind which a leader's snapshot ends that stands for the log.
func checkStored(dir string, st *store, sent uint64) (was reached, err error) {
	last, err := st.LastIndex()
	if err != nil {
		return was, err
	}
	term, err := st.GetUint64([]byte(keyTerm))
	if known(err) != nil {
		return was, err
	}
	return checkReached(dir, st.path, reached{term, max(last, sent)})
}

// checkReached holds how far a log goes against the note, if there is one: directories of older versions of this program have
// none.
func checkReached(dir, store string, is reached) (was reached, err error) {
	path := filepath.Join(dir, reachedFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return was, nil
	}
	if err != nil {
		return was, err
	}
	if was, err = parseReached(b); err != nil {
		return was, fmt.Errorf("%s: %w", path, err)
	}
	if is.term < was.term || is.committed < was.committed {
		return was, damage(fmt.Sprintf("%s ends with entry %d in term %d, and %s says that entry %d was committed in term %d: "+
			"it is older than the files beside it", store, is.committed, is.term, reachedFile, was.committed, was.term))
	}
	return was, nil
}

// note writes down how far raft has come. (Its commit index does not say that a snapshot was installed.) What a follower
// hears of is less than what it knew before, until a leader has told it. The note before stays good: a full disk is no
// reason to stop.
func (l *Log) note() error {
	l.noting.Lock()
	defer l.noting.Unlock()
	now := reached{max(l.was.term, l.engine.CurrentTerm()), max(l.was.committed, l.engine.CommitIndex(), l.engine.AppliedIndex())}
	path := filepath.Join(l.dir, reachedFile)
	err := writeWhole(path, now.text())
	if !outOfSpace(err) {
		l.was = now
		return err
	}
	l.logger.Warn("the disk is full: how far the metadata log has come could not be noted", "error", err)
	if err := os.Remove(path + ".tmp"); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
